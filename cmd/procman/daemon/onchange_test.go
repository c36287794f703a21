package daemon

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

// renewable is a supervisor of processes that were started at a given time.
type renewable struct {
	listed  chan struct{}
	mu      sync.Mutex
	started map[messages.InstanceID]time.Time
	renewed chan string
}

func (s *renewable) Listed() <-chan struct{} { return s.listed }

func (s *renewable) Lookup(id messages.InstanceID) (messages.Status, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, there := s.started[id]
	return messages.Status{ID: id, PID: 7, StartedAt: &at, Phase: messages.Running}, there
}

func (s *renewable) Renew(_ context.Context, id messages.InstanceID, why string) error {
	s.mu.Lock()
	s.started[id] = time.Now()
	s.mu.Unlock()
	s.renewed <- string(id) + ": " + why
	return nil
}

func (s *renewable) next(t *testing.T) string {
	t.Helper()
	select {
	case said := <-s.renewed:
		return said
	case <-time.After(time.Minute):
		t.Fatal("nothing is renewed")
		return ""
	}
}

func TestAFileThatChangesRestartsWhatIsOlderAndSaysSoAndNothingElse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	write := func(name string) { require.NoError(t, os.WriteFile(path(name), []byte(time.Now().String()), 0o755)) }
	replace := func(name string) { write(name + ".new"); require.NoError(t, os.Rename(path(name+".new"), path(name))) }
	for _, name := range []string{"old", "server", "a.wasm", "b.wasm"} {
		write(name)
	}
	require.NoError(t, os.Symlink("old", path("link")))
	app := func(id messages.InstanceID, program, wasm string, on messages.WordList) *messages.AppInstance {
		a := messages.AppInstance{InstanceID: id, Executable: path(program), WasmPath: path(wasm),
			Restart: messages.RestartPolicy{OnChange: on}}.WithDefaults()
		return &a
	}
	now := time.Now()
	s := &renewable{listed: make(chan struct{}), renewed: make(chan string, 9),
		started: map[messages.InstanceID]time.Time{
			"a": now, "b": now, "deaf": now.Add(-time.Hour), "link": now, "late": now.Add(-time.Hour),
			"young": now.Add(time.Hour)}}
	r := newRenewal(slog.New(slog.DiscardHandler), 20*time.Millisecond)
	defer func() { require.NoError(t, r.Close()) }()
	r.with <- s
	r.list([]*messages.AppInstance{app("deaf", "server", "a.wasm", "")})
	require.False(t, r.begun, "it costs nothing until somebody wants it")
	all := []*messages.AppInstance{app("a", "server", "a.wasm", "wasm"),
		app("b", "server", "b.wasm", "executable wasm env_file"),
		app("link", "link", "b.wasm", "executable"), app("deaf", "server", "a.wasm", "")}
	r.list(append(all, app("late", "server", "a.wasm", "wasm"))) // its file was written while no daemon looked
	close(s.listed)
	require.Equal(t, "late: wasm changed", s.next(t))

	replace("a.wasm")
	got := []string{s.next(t), s.next(t)}
	require.ElementsMatch(t, []string{"a: wasm changed", "late: wasm changed"}, got)
	write("server") // in place
	require.Equal(t, "b: executable changed", s.next(t))
	write("new")
	require.NoError(t, os.Symlink("new", path("link.new")))
	require.NoError(t, os.Rename(path("link.new"), path("link")))
	require.Equal(t, "link: executable changed", s.next(t))
	require.NoError(t, os.Remove(path("b.wasm"))) // nothing to be started from
	require.NoError(t, os.Chmod(path("a.wasm"), 0o700))
	replace("server")
	require.Equal(t, "b: executable changed", s.next(t), "and a change of permissions is none")
	write("b.wasm")
	require.Equal(t, "b: wasm changed", s.next(t))
	require.Empty(t, s.renewed)
}
