package config

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/fsnotify/fsnotify"
	"github.com/stretchr/testify/require"
)

func TestWhatAnEventHasToldIsNotSaidAgainByTheLookThatFollows(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "procman.yaml")
	require.NoError(t, os.WriteFile(path, []byte("1"), 0o600))
	watch, err := fsnotify.NewWatcher()
	require.NoError(t, err)
	defer watch.Close()
	touched := make(chan struct{}, 1)
	w := &watcher{log: slog.New(slog.DiscardHandler), fs: watch, touched: touched,
		sights: sights{files: []string{path}}}
	said := func() bool {
		select {
		case <-touched:
			return true
		default:
			return false
		}
	}
	w.look()
	require.False(t, said())

	require.NoError(t, os.WriteFile(path, []byte("22"), 0o600))
	w.got(fsnotify.Event{Name: path, Op: fsnotify.Write})
	require.True(t, said())
	w.look()
	require.False(t, said(), "the pause that is waited for has begun with the event")

	require.NoError(t, os.WriteFile(path, []byte("333"), 0o600))
	w.look()
	require.True(t, said(), "no event has told of it")

	w.got(fsnotify.Event{Name: path, Op: fsnotify.Write})
	require.True(t, said())
	other := filepath.Join(t.TempDir(), "a.env")
	require.NoError(t, os.WriteFile(other, nil, 0o600))
	w.sights.files = append(w.sights.files, other)
	w.look()
	require.True(t, said(), "before a directory was watched no event could tell")
}
