package record

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// sample is a body as records have one.
type sample struct {
	ID  string `json:"id"`
	Run int    `json:"run"`
	At  *int64 `json:"at"`
}

func TestNoCutAndNoFlippedBitOfARecordGoesUnnoticed(t *testing.T) {
	good, err := Seal("run", sample{ID: "a", Run: 3})
	require.NoError(t, err)
	require.NoError(t, Unseal("run", good, &sample{}))
	require.Error(t, Unseal("memory", good, &sample{}), "a record of another kind")
	for n := range good {
		require.Error(t, Unseal("run", good[:n], &sample{}), "cut at %d", n)
		for bit := range 8 {
			bad := append([]byte(nil), good...)
			bad[n] ^= 1 << bit
			require.Error(t, Unseal("run", bad, &sample{}), "bit %d of byte %d", bit, n)
		}
	}
	require.Error(t, Unseal("run", append(good, ' '), &sample{}))
}

func TestARecordIsTheJSONOfItsEnvelope(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		body := sample{ID: rapid.String().Draw(t, "id"), Run: rapid.Int().Draw(t, "run")}
		sealed, err := Seal("run", body)
		require.NoError(t, err)
		var e envelope
		require.NoError(t, json.Unmarshal(sealed, &e))
		line, err := json.Marshal(e)
		require.NoError(t, err)
		require.Equal(t, string(line)+"\n", string(sealed))
		var back sample
		require.NoError(t, Unseal("run", sealed, &back))
		again, err := Seal("run", back)
		require.NoError(t, err)
		require.Equal(t, string(sealed), string(again))
	})
}

func TestNothingThatMayLieInARecordPanics(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		record := rapid.SliceOf(rapid.Byte()).Draw(t, "record")
		require.Error(t, Unseal("run", record, &sample{}))
		var raw json.RawMessage
		if json.Unmarshal(record, &raw) == nil {
			_ = Unseal("run", seal("run", []byte(head+string(raw)+"\n")), &sample{})
		}
	})
}

func TestOfALargeFileNoMoreIsReadThanTheLimit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	for size := range 5 {
		require.NoError(t, os.WriteFile(path, make([]byte, size), 0o600))
		content, err := ReadFile(path, 3)
		if size > 3 {
			require.Error(t, err, "of %d bytes", size)
			continue
		}
		require.NoError(t, err)
		require.Len(t, content, size)
	}
}
