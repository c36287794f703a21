package spawn

import (
	"net"
	"os"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

// worker is an instance with a directory of its own, as one that a configuration describes.
func worker(dir string) messages.AppInstance {
	app := sleeper("a")
	app.WorkDir = dir
	return app
}

// state_dir was changed: what runs under the former one is not started a second time, and not taken over without a
// record.
func TestAnInstanceThatRunsUnderAnotherStateDirectoryIsNotStarted(t *testing.T) {
	t.Parallel()
	work := t.TempDir()
	for name, change := range map[string]func(a *messages.AppInstance){
		"as it is":                        func(*messages.AppInstance) {},
		"with another environment by now": func(a *messages.AppInstance) { a.Env = map[string]string{"NEW": "1"} },
	} {
		t.Run(name, func(t *testing.T) {
			former, dir := stateDir(t), stateDir(t)
			app := worker(work)
			pid := orphaned(t, former, app)
			settledAs(t, pid, "sleep")
			change(&app)
			s := opened(t, dir)
			require.Empty(t, survivors(t, s))
			for range 2 {
				_, err := s.Spawn(t.Context(), messages.Launch{App: app, Run: 1})
				require.Equal(t, messages.FaultElsewhere, faultOf(t, err))
				for _, what := range []string{"process " + strconv.Itoa(pid), string(former), "no manager"} {
					require.Contains(t, err.Error(), what)
				}
			}
			found, err := Elsewhere(t.Context(), messages.StateDir(string(dir)+"-none"), []*messages.AppInstance{&app})
			require.NoError(t, err)
			require.Equal(t, []Foreign{{ID: "a", PID: pid, Dir: former}}, found)
			require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
			eventually(t, "it has ended", func() bool { return !alive(pid) })
			p, err := s.Spawn(t.Context(), messages.Launch{App: app, Run: 1})
			require.NoError(t, err, "it goes on by itself")
			require.NoError(t, p.Signal(syscall.SIGKILL, messages.LeftoversEnd))
		})
	}
}

func TestWhatBelongsToAnotherProjectIsNoReasonNotToStart(t *testing.T) {
	t.Parallel()
	work := t.TempDir()
	for name, other := range map[string]messages.AppInstance{
		"another directory": worker(t.TempDir()),
		"another id":        func() messages.AppInstance { a := worker(work); a.InstanceID = "b"; return a }(),
		"another program": {InstanceID: "a", Executable: "/bin/sh", Args: []string{"-c", "read x </dev/zero; exit"},
			WorkDir: work},
	} {
		t.Run(name, func(t *testing.T) {
			theirs, ours := stateDir(t), stateDir(t)
			orphaned(t, theirs, other)
			s := opened(t, ours)
			survivors(t, s)
			p, err := s.Spawn(t.Context(), messages.Launch{App: worker(work), Run: 1})
			require.NoError(t, err)
			require.NoError(t, p.Signal(syscall.SIGKILL, messages.LeftoversEnd))
		})
	}
}

func TestTheManagerUnderWhichItRunsIsNamed(t *testing.T) {
	t.Parallel()
	former, dir := stateDir(t), stateDir(t)
	app := worker(t.TempDir())
	m := predecessor(t, "manager", order{Dir: former, Launches: []messages.Launch{{App: app, Run: 1}}})
	settledAs(t, m.pids[0], "sleep")
	s := opened(t, dir)
	survivors(t, s)
	_, err := s.Spawn(t.Context(), messages.Launch{App: app, Run: 1})
	require.Equal(t, messages.FaultElsewhere, faultOf(t, err))
	require.Contains(t, err.Error(), "the manager with pid "+strconv.Itoa(m.cmd.Process.Pid))
	require.NotContains(t, err.Error(), "--socket", "it does not answer there")
	l, listenErr := net.Listen("unix", former.Socket())
	require.NoError(t, listenErr)
	defer l.Close()
	_, err = s.Spawn(t.Context(), messages.Launch{App: app, Run: 1})
	require.Contains(t, err.Error(), "`procman --socket "+former.Socket()+" stop a`")
}

// Two things were changed at once: where the state lies, and with it everything else. Then it is the record that
// counts.
func TestARecordThatCameAlongIsNoStranger(t *testing.T) {
	t.Parallel()
	former := stateDir(t)
	app := worker(t.TempDir())
	pid := orphaned(t, former, app)
	settledAs(t, pid, "sleep")
	dir := messages.StateDir(string(former) + "-next")
	require.NoError(t, os.Rename(string(former), string(dir)))
	found, err := Elsewhere(t.Context(), dir, []*messages.AppInstance{&app})
	require.NoError(t, err)
	require.Empty(t, found)
	s := opened(t, dir)
	require.Equal(t, pid, survivors(t, s)["a"].PID)
}
