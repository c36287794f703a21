package api

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

func TestAStatusSaysWhatHasChangedSinceTheProcessWasStarted(t *testing.T) {
	dir := t.TempDir()
	app := messages.AppInstance{InstanceID: "web", Executable: filepath.Join(dir, "server"), WasmPath: "a.wasm", WorkDir: dir}.WithDefaults()
	for _, name := range []string{"server", "a.wasm"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o755))
	}
	w := newWorld("web")
	w.app = &app
	_, _, c := w.serve(t, nil)
	at := func(started time.Time) messages.WordList {
		w.mu.Lock()
		w.statuses["web"] = messages.Status{ID: "web", Phase: messages.Running, PID: 7, StartedAt: &started}
		w.mu.Unlock()
		one, err := c.Instance(t.Context(), "web")
		require.NoError(t, err)
		all, err := c.Instances(t.Context())
		require.NoError(t, err)
		require.Equal(t, one.Outdated, all.Instances[0].Outdated)
		return one.Outdated
	}
	require.Empty(t, at(time.Now().Add(time.Hour)))
	require.Equal(t, messages.WordList("executable wasm"), at(time.Now().Add(-time.Hour)), "whether restart.on_change says so or not")
	require.NoError(t, os.Remove(filepath.Join(dir, "a.wasm")))
	require.Equal(t, messages.WordList("executable"), at(time.Now().Add(-time.Hour)))
}
