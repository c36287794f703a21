package spawn

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"procman/actors"
	"procman/actors/runas"
	"procman/messages"
)

// another is an instance that runs as another user, in a directory that this one may enter.
func another(t *testing.T, script string) messages.AppInstance {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root may run a process as another user")
	}
	app := shell(script)
	app.WorkDir = "/"
	app.Process = messages.ProcessPolicy{User: "nobody", Umask: "027", Nice: 15, OOMScoreAdj: 200, Limits: "nofile=200"}
	return app
}

func TestAProcessOfAnotherUserWritesToTheOutputIsAdoptedAndEndsWithAllOfIts(t *testing.T) {
	t.Parallel()
	dir := stateDir(t)
	const script = `(setsid sh -c 'echo away $$; exec sleep 300' &); id -un; umask; nice; cat /proc/self/oom_score_adj; ulimit -n; echo $USER $HOME; exec sleep 300`
	app := another(t, script)
	if _, err := runas.Resolve(app.Process); err != nil { // root without the capability
		app.Process.Limits = ""
	}
	m := predecessor(t, "manager", order{Dir: dir, Launches: []messages.Launch{{App: app, Run: 1, Port: 30001}}})
	pid := m.pids[0]
	text := func() string {
		text, err := os.ReadFile(dir.Stdout("a"))
		require.NoError(t, err)
		return string(text)
	}
	eventually(t, "it has written", func() bool { return strings.Count(text(), "\n") == 7 })
	var helper int
	_, err := fmt.Sscanf(text()[strings.Index(text(), "away"):], "away %d", &helper)
	require.NoError(t, err)
	for _, line := range []string{"nobody", "0027", "15", "200", "nobody /nonexistent"} {
		require.Contains(t, strings.Split(text(), "\n"), line)
	}
	info, err := os.Stat(dir.Stdout("a"))
	require.NoError(t, err)
	require.Zero(t, info.Sys().(*syscall.Stat_t).Uid, "the files stay the daemon's")
	m.kill()

	s := opened(t, dir)
	found, err := s.Survivors(t.Context())
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.Empty(t, found[0].Unclear)
	p, err := s.Adopt(t.Context(), "a", actors.AnyRun)
	require.NoError(t, err)
	require.Equal(t, pid, p.PID())
	require.NoError(t, p.Signal(syscall.SIGTERM, messages.LeftoversEnd))
	p.Wait()
	eventually(t, "all of it has ended", func() bool { return !alive(pid) && !alive(helper) })
}

func TestAStartAsAnotherUserSaysBeforeTheForkWhatThatOneMayNot(t *testing.T) {
	t.Parallel()
	app := another(t, "exit 0")
	app.Process = messages.ProcessPolicy{User: "nobody"}
	s := opened(t, stateDir(t))
	refused := func(app messages.AppInstance, f messages.StartFault, want string) {
		t.Helper()
		_, err := s.Spawn(t.Context(), messages.Launch{App: app, Run: 1, Port: 30001})
		var start *messages.StartError
		require.ErrorAs(t, err, &start)
		require.Equal(t, f, start.Fault, err.Error())
		require.ErrorContains(t, err, want)
	}
	closed := t.TempDir()
	for dir := filepath.Dir(closed); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		require.NoError(t, os.Chmod(dir, 0o755))
	}
	require.NoError(t, os.Chmod(closed, 0o700))
	inside := app
	inside.WorkDir = closed
	refused(inside, messages.FaultDirMissing, "let nobody enter it")
	hidden := app
	program, err := exec.LookPath("true")
	require.NoError(t, err)
	text, err := os.ReadFile(program)
	require.NoError(t, err)
	hidden.Executable = filepath.Join(closed, "true")
	require.NoError(t, os.WriteFile(hidden.Executable, text, 0o755))
	refused(hidden, messages.FaultNotExecutable, "let nobody enter "+closed)
	nobody := app
	nobody.Process.User = "no-such-user"
	refused(nobody, messages.FaultProcess, `there is no user "no-such-user"`)
	beyond := app
	// more than the kernel gives to anybody
	beyond.Process = messages.ProcessPolicy{Limits: "nofile=9223372036854775807"}
	refused(beyond, messages.FaultProcess, "process.limits.nofile: operation not permitted")
	require.NoFileExists(t, s.dir.Run("a"), "no process was left behind")
}
