package test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"

	"procman/actors/output"
	"procman/messages"
)

// The recipes go by the journal: what they say of a record is what the daemon logs of a line, and the unit is the one
// that is there.
func TestTheRecipesForShippingLogsNameWhatIsWritten(t *testing.T) {
	t.Parallel()
	const dir = "../cmd/procman/deploy/"
	read := func(name string) string {
		text, err := os.ReadFile(dir + name)
		require.NoError(t, err)
		return string(text)
	}
	read("procman.service")
	for _, name := range []string{"logs/vector.yaml", "logs/fluent-bit.yaml"} {
		var tree map[string]any
		require.NoError(t, yaml.Unmarshal([]byte(read(name)), &tree), name)
	}
	var state messages.StateDir = "STATE_DIR"
	matches, err := filepath.Match("STATE_DIR/instances/*/stdout.log", state.Stdout("users"))
	require.NoError(t, err)
	require.True(t, matches, "what is said not to be tailed is what is there")

	state = messages.StateDir(t.TempDir())
	require.NoError(t, os.MkdirAll(state.Instance("users"), 0o700))
	require.NoError(t, os.WriteFile(state.Stdout("users"), []byte("hello\n"), 0o600))
	var log bytes.Buffer
	u, err := output.New(state, output.Options{Forward: true, Logger: slog.New(slog.NewJSONHandler(&log, nil))})
	require.NoError(t, err)
	u.Follow("users", 1, os.Getpid()).Stop()
	require.NoError(t, u.Close())
	line, _, _ := strings.Cut(log.String(), "\n")
	var record map[string]any
	require.NoError(t, json.Unmarshal([]byte(line), &record), line)
	require.Equal(t, "output", record["msg"])
	require.Equal(t, "hello", record["line"])
	at, is := record["time"].(string)
	require.True(t, is)
	_, err = time.Parse(time.RFC3339Nano, at)
	require.NoError(t, err)
	for _, name := range []string{"logs/vector.yaml", "logs/fluent-bit.yaml", "logs/journald.sh"} {
		text := read(name)
		require.Contains(t, text, "procman.service", name)
		if said := regexp.MustCompile(`each (?:event|record) has ([a-z, ]+) and`).FindStringSubmatch(
			text); said != nil {
			for _, field := range strings.Split(said[1], ", ") {
				require.Contains(t, record, field, name)
			}
		}
	}
	require.Contains(t, line, `"msg":"output"`, "what journald.sh looks for")
}
