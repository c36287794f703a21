package spawn

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

// checkOf is a check of the app by a script of sh.
func checkOf(app messages.AppInstance, script string) messages.Target {
	return messages.Target{ID: app.InstanceID, Port: 30001, App: &app,
		Policy: messages.HealthPolicy{Kind: messages.HealthCommand,
			Check: &messages.HealthCheck{Command: []string{"sh", "-c", script, "{id}", "{port}"}}}}
}

// pidIn returns the number that a script wrote to a file.
func pidIn(t testing.TB, path string) (pid int) {
	t.Helper()
	eventually(t, path+" is written", func() bool {
		text, _ := os.ReadFile(path)
		pid, _ = strconv.Atoi(strings.TrimSpace(string(text)))
		return pid > 0 && strings.HasSuffix(string(text), "\n")
	})
	return pid
}

func TestTheCommandOfACheckRunsAsItsInstanceDoesAndIsNoneOfItsProcesses(t *testing.T) {
	t.Parallel()
	s := opened(t, stateDir(t))
	app := sleeper("a")
	app.WorkDir = t.TempDir()
	app.Env = map[string]string{"MINE": "1", "PORT": "x", EnvTag: "x", EnvStateDir: "x", EnvCheck: "x"}
	p := spawned(t, s, app)
	out, exit, err := s.RunCheck(t.Context(), checkOf(app,
		`echo "$0 $1 $PORT $MINE $PROCMAN_INSTANCE_ID"; pwd; env | grep -c 'PROCMAN_[RS]'; for n in 0 1 2 3 4 5 6 7 8 9; do [ -e /proc/$$/fd/$n ] && printf $n; done; echo; cat; echo bad >&2; exit 3`))
	require.NoError(t, err)
	require.Equal(t, fmt.Sprintf("a 30001 30001 1 a\n%s\n0\n012\nbad\n", app.WorkDir), string(out),
		"0 to 2 are open, and the first is empty")
	require.Equal(t, "exited with code 3", exit.String())

	out, exit, err = s.RunCheck(t.Context(), checkOf(app, "kill -SEGV $$"))
	require.NoError(t, err)
	require.Empty(t, out)
	require.Equal(t, "SEGV", exit.Signal)

	// While one runs, nobody takes it for the instance or a part of it.
	file := filepath.Join(t.TempDir(), "pid")
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	work.Go(func() { _, _, _ = s.RunCheck(ctx, checkOf(app, "echo $$ > "+file+"; sleep 300")) })
	check := pidIn(t, file)
	for _, x := range tagged(t, s.dir) {
		require.Equal(t, p.PID(), x.PID)
	}
	survivors, err := s.Survivors(t.Context())
	require.NoError(t, err)
	require.Len(t, survivors, 1)
	require.True(t, alive(check), "it is this manager's own")
	require.NoError(t, p.Signal(syscall.SIGKILL, messages.LeftoversEnd))
	p.Wait()
	rest, err := p.Rest(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, rest)
	cancel()
	work.Wait()
	require.False(t, alive(check))
}

// TestACheckRunsAsTheUserOfItsInstance needs root.
func TestACheckRunsAsTheUserOfItsInstance(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root may be another user")
	}
	s := opened(t, stateDir(t))
	app := sleeper("a")
	app.Process = messages.ProcessPolicy{User: "nobody", Umask: "027"}
	out, exit, err := s.RunCheck(t.Context(), checkOf(app, "id -un; umask; echo $PORT"))
	require.NoError(t, err)
	require.Equal(t, "nobody\n0027\n30001\n", string(out))
	require.Equal(t, "exited with code 0", exit.String())
	app.Process.User = "nobody-at-all"
	_, _, err = s.RunCheck(t.Context(), checkOf(app, "true"))
	require.ErrorContains(t, err, "nobody-at-all")
}

func TestACheckEndsInTimeWithAllThatItHasStarted(t *testing.T) {
	t.Parallel()
	s := opened(t, stateDir(t))
	app := sleeper("a")
	dir := t.TempDir()
	for name, script := range map[string]string{
		"one that hangs": "sleep 300 & echo $! > DIR/child; echo so far; echo $$ > DIR/pid; wait",
		"one that minds no signal": "trap '' TERM HUP INT; (trap '' TERM HUP; exec sleep 300) & echo $! > " +
			"DIR/child; echo so far; echo $$ > DIR/pid; while :; do sleep 1; done",
		"one that leaves another one": "sleep 300 & echo $! > DIR/child; echo so far; echo $$ > DIR/pid",
	} {
		t.Run(name, func(t *testing.T) {
			at := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
			require.NoError(t, os.Mkdir(at, 0o700))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			leaves := strings.Contains(name, "leaves")
			if !leaves {
				go func() {
					pidIn(t, at+"/pid")
					cancel()
				}()
			}
			out, _, err := s.RunCheck(ctx, checkOf(app, strings.ReplaceAll(script, "DIR", at)))
			require.Equal(t, ctx.Err(), err)
			require.Equal(t, "so far\n", string(out))
			eventually(t, "all of it is gone",
				func() bool { return !alive(pidIn(t, at+"/pid")) && !alive(pidIn(t, at+"/child")) })
			_, err = os.Stat(fmt.Sprintf("/proc/%d", pidIn(t, at+"/pid")))
			require.ErrorIs(t, err, os.ErrNotExist, "it is reaped")
		})
	}
}

func TestOfWhatACheckWritesTheFirstBytesAreKeptAndTheRestIsRead(t *testing.T) {
	t.Parallel()
	s := opened(t, stateDir(t))
	out, exit, err := s.RunCheck(t.Context(), checkOf(sleeper("a"), "head -c 1000000 /dev/zero | tr '\\0' x"))
	require.NoError(t, err)
	require.Zero(t, exit.Code)
	require.Equal(t, strings.Repeat("x", checkOutput), string(out))
}

func TestACheckThatCannotBeRunSaysWhy(t *testing.T) {
	t.Parallel()
	s := opened(t, stateDir(t))
	app := sleeper("a")
	app.WorkDir = t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(app.WorkDir, "text"), []byte("x"), 0o600))
	run := func(app messages.AppInstance, program string) error {
		c := checkOf(app, "")
		c.Policy.Check.Command[0] = program
		_, _, err := s.RunCheck(t.Context(), c)
		return err
	}
	require.ErrorContains(t, run(app, "no-such-program"), `"no-such-program" is in no directory of its PATH`)
	require.EqualError(t, run(app, "./none"), "executable missing: "+app.WorkDir+"/none: no such file or directory")
	require.ErrorContains(t, run(app, "./text"), "not executable: "+app.WorkDir+"/text")
	elsewhere := app
	elsewhere.Env = map[string]string{"PATH": app.WorkDir}
	require.ErrorContains(t, run(elsewhere, "sh"), `"sh" is in no directory of its PATH, `+app.WorkDir)
	gone := app
	gone.WorkDir += "/gone"
	require.ErrorContains(t, run(gone, "sh"), "directory missing: "+gone.WorkDir)
	gone = app
	gone.EnvFault = "web.env is gone"
	require.EqualError(t, run(gone, "sh"), "web.env is gone")
	_, exit, err := s.RunCheck(t.Context(), checkOf(app, "exit 0"))
	require.NoError(t, err)
	require.Zero(t, exit.Code)
}

func TestThereIsOneCheckOfAnInstanceAtATime(t *testing.T) {
	t.Parallel()
	s := opened(t, stateDir(t))
	file := filepath.Join(t.TempDir(), "pid")
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	work.Go(func() { _, _, _ = s.RunCheck(ctx, checkOf(sleeper("a"), "echo $$ > "+file+"; sleep 300")) })
	pidIn(t, file)
	_, _, err := s.RunCheck(t.Context(), checkOf(sleeper("a"), "exit 0"))
	require.ErrorContains(t, err, "the one before has not ended")
	_, _, err = s.RunCheck(t.Context(), checkOf(sleeper("b"), "exit 0"))
	require.NoError(t, err)
	cancel()
	work.Wait()
	_, _, err = s.RunCheck(t.Context(), checkOf(sleeper("a"), "exit 0"))
	require.NoError(t, err)
}

func TestCloseEndsTheChecksThatRun(t *testing.T) {
	t.Parallel()
	s := opened(t, stateDir(t))
	file := filepath.Join(t.TempDir(), "pid")
	done := make(chan error, 1)
	go func() {
		_, _, err := s.RunCheck(context.Background(), checkOf(sleeper("a"), "echo $$ > "+file+"; sleep 300"))
		done <- err
	}()
	check := pidIn(t, file)
	require.NoError(t, s.Close())
	require.ErrorIs(t, <-done, ErrClosed)
	require.False(t, alive(check))
	_, _, err := s.RunCheck(t.Context(), checkOf(sleeper("a"), "exit 0"))
	require.ErrorIs(t, err, ErrClosed)
}

func TestWhatACheckHasStartedOutlivesNoManagerForLong(t *testing.T) {
	t.Parallel()
	dir, files := stateDir(t), t.TempDir()
	app := sleeper("a").WithDefaults()
	script := strings.ReplaceAll("sleep 300 & echo $! > DIR/child; setsid sleep 300 & echo $! > DIR/away; echo $$ > "+
		"DIR/pid; wait", "DIR", files)
	m := predecessor(t, "manager", order{Dir: dir, Launches: []messages.Launch{{App: app, Run: 1, Port: 30001}},
		Checks: []messages.Target{checkOf(app, script)}})
	check, child, away := pidIn(t, files+"/pid"), pidIn(t, files+"/child"), pidIn(t, files+"/away")
	t.Cleanup(func() {
		for _, pid := range []int{child, away} {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	m.kill()
	eventually(t, "the kernel has ended the check", func() bool { return !alive(check) })
	require.True(t, alive(child) && alive(away), "what it has started is left for the next manager")

	s := opened(t, dir)
	survivors, err := s.Survivors(t.Context())
	require.NoError(t, err)
	require.Len(t, survivors, 1)
	require.Equal(t, m.pids[0], survivors[0].PID, "the instance is found, and nothing else is taken for it")
	eventually(t, "all of the check is gone", func() bool { return !alive(child) && !alive(away) })
	require.True(t, alive(m.pids[0]))
	p, err := s.Adopt(t.Context(), "a", 1)
	require.NoError(t, err)
	out, _, err := s.RunCheck(t.Context(), checkOf(app, "echo $PORT"))
	require.NoError(t, err)
	require.Equal(t, "30001\n", string(out))
	require.NoError(t, p.Signal(syscall.SIGKILL, messages.LeftoversEnd))
	p.Wait()
}

func TestACheckOfAnotherStateDirectoryIsNotTouched(t *testing.T) {
	t.Parallel()
	other := opened(t, stateDir(t))
	file := filepath.Join(t.TempDir(), "pid")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	var work sync.WaitGroup
	work.Go(func() { _, _, _ = other.RunCheck(ctx, checkOf(sleeper("a"), "echo $$ > "+file+"; sleep 300")) })
	check := pidIn(t, file)
	_, err := opened(t, stateDir(t)).Survivors(t.Context())
	require.NoError(t, err)
	require.True(t, alive(check))
	cancel()
	work.Wait()
}
