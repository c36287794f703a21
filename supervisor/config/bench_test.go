package config

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// crowdText is a file of n instances.
func crowdText(n int) []byte {
	var file bytes.Buffer
	file.WriteString("executable: /bin/true\nstate_dir: state\nports: {range: 30000-31000}\n")
	file.WriteString("health: {interval: 10s}\nrestart: {stable_after: 1ms}\n")
	file.WriteString("defaults:\n  args: [-port, \"{port}\", -slot, \"{id}\"]\ninstances:\n")
	for i := range n {
		fmt.Fprintf(&file, "  - id: app-%05d\n    db_name: app-%05[1]d.db\n    env: {LOG_LEVEL: info}\n    labels: "+
			"{app: payload}\n", i)
	}
	return file.Bytes()
}

// BenchmarkFirstRead reads a file of which nothing is known yet.
func BenchmarkFirstRead(b *testing.B) {
	for _, n := range []int{1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "procman.yaml")
			text := crowdText(n)
			b.ReportAllocs()
			for b.Loop() {
				f, err := Parse(path, text, ThisHost())
				if err != nil || len(f.Instances) != n {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkOneAdded reads a file again to which one instance is added.
func BenchmarkOneAdded(b *testing.B) {
	for _, n := range []int{1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "procman.yaml")
			texts := [][]byte{crowdText(n), crowdText(n + 1)}
			require.NoError(b, os.WriteFile(path, texts[0], 0o600))
			p, err := NewProvider(path, ProviderOptions{})
			require.NoError(b, err)
			defer p.Close()
			b.ReportAllocs()
			for i := 1; b.Loop(); i++ {
				b.StopTimer()
				require.NoError(b, os.WriteFile(path, texts[i%2], 0o600))
				b.StartTimer()
				list, err := p.Shared(b.Context())
				if err != nil || len(list) != n+i%2 {
					b.Fatal(err)
				}
			}
		})
	}
}
