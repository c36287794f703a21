package daemon

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"procman/messages"
	"procman/supervisor/config"
)

func TestPointersToWhatIsGoneWithItsStateDirectoryAreRemoved(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", dir)
	left := func(name string) string {
		path := filepath.Join(dir, name+".yaml")
		require.NoError(t, Point(&config.File{Path: path, StateDir: messages.StateDir(filepath.Join(dir, name))},
			nil, os.Getenv))
		return filepath.Join(dir, "procman", pointerNames(path)[0])
	}
	gone, kept := left("gone"), left("kept")
	require.NoError(t, os.Mkdir(filepath.Join(dir, "kept"), 0o700))
	require.NoError(t, prune(t.Context(), os.Getenv))
	require.NoFileExists(t, gone)
	require.FileExists(t, kept, "its last good configuration may be there")
}
