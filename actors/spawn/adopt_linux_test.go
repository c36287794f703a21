package spawn

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"procman/actors"
	"procman/actors/kernel"
	"procman/actors/record"
	"procman/messages"
)

func adopted(t testing.TB, s *Spawner) actors.Process {
	t.Helper()
	p, err := s.Adopt(t.Context(), "a", actors.AnyRun)
	require.NoError(t, err)
	return p
}

// goneWith returns the exit that Adopt tells of.
func goneWith(t testing.TB, s *Spawner) messages.Exit {
	t.Helper()
	_, err := s.Adopt(t.Context(), "a", actors.AnyRun)
	var gone *messages.GoneError
	require.ErrorAs(t, err, &gone)
	return gone.Exit
}

func TestTheEndOfOneRunIsNotThatOfAnother(t *testing.T) {
	t.Parallel()
	s := opened(t, stateDir(t))
	spawned(t, s, shell("exit 3")).Wait()
	var gone *messages.GoneError
	_, err := s.Adopt(t.Context(), "a", 1)
	require.ErrorAs(t, err, &gone)
	require.Equal(t, 3, gone.Exit.Code)
	_, err = s.Adopt(t.Context(), "a", 2)
	require.ErrorIs(t, err, messages.ErrNoRun, "run 2 never had a process")
	live := spawned(t, s, sleeper("a"))
	p, err := s.Adopt(t.Context(), "a", 2)
	require.NoError(t, err)
	require.Same(t, live, p, "what lives is the instance's, whatever its run")
}

func TestAdoptionWaitsForAStartThatIsUnderWay(t *testing.T) {
	t.Parallel()
	s := opened(t, stateDir(t))
	s.patience = time.Minute
	spawned(t, s, shell("exit 3")).Wait()
	lock, err := os.Open(s.dir.InstanceLock("a"))
	require.NoError(t, err)
	defer lock.Close()
	require.NoError(t, unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB))
	started := make(chan actors.Process)
	go func() {
		p, err := s.Spawn(context.Background(), messages.Launch{App: sleeper("a"), Run: 2, Port: 30001})
		assert.NoError(t, err)
		started <- p
	}()
	eventually(t, "a start has the instance's turn", func() bool { return s.instance("a").turn.isTaken() })
	adopted := make(chan actors.Process)
	go func() {
		p, err := s.Adopt(context.Background(), "a", 2) // as after the loss of the actor that asked for the start
		assert.NoError(t, err)
		adopted <- p
	}()
	require.NoError(t, unix.Flock(int(lock.Fd()), unix.LOCK_UN))
	require.Same(t, <-started, <-adopted)
}

func survivors(t testing.TB, s *Spawner) map[messages.InstanceID]messages.Survivor {
	t.Helper()
	list, err := s.Survivors(t.Context())
	require.NoError(t, err)
	return byID(list)
}

func byID(list []messages.Survivor) map[messages.InstanceID]messages.Survivor {
	m := map[messages.InstanceID]messages.Survivor{}
	for _, v := range list {
		m[v.ID] = v
	}
	return m
}

// statusIsTold reports whether the kernel tells how a process ended that somebody else has reaped.
func statusIsTold(t testing.TB) bool {
	cmd := exec.Command("true")
	require.NoError(t, cmd.Start())
	fd, err := kernel.OpenPidfd(cmd.Process.Pid)
	require.NoError(t, err)
	defer fd.Close()
	require.NoError(t, cmd.Wait())
	_, untold := fd.Status()
	told := untold == nil
	var host unix.Utsname
	require.NoError(t, unix.Uname(&host))
	var major, minor int
	_, err = fmt.Sscanf(unix.ByteSliceToString(host.Release[:]), "%d.%d", &major, &minor)
	require.NoError(t, err)
	require.True(t, told || major < 6 || major == 6 && minor < 15)
	return told
}

func TestAProcessOutlivesItsManagerAndIsAdopted(t *testing.T) {
	t.Parallel()
	dir := stateDir(t)
	app := sleeper("a")
	before := time.Now()
	pid := orphaned(t, dir, app)
	s := opened(t, dir)
	for _, look := range []func() (pid int, port int, run int, spec string, started time.Time){
		func() (int, int, int, string, time.Time) {
			p := adopted(t, s)
			return p.PID(), p.Port(), p.Run(), p.SpecHash(), p.StartedAt()
		},
		func() (int, int, int, string, time.Time) {
			v := survivors(t, s)["a"]
			require.True(t, v.Alive)
			return v.PID, v.Port, v.Run, v.SpecHash, v.StartedAt
		},
	} {
		gotPID, port, run, spec, started := look()
		require.Equal(t, []any{pid, 30007, 7, app.SpecHash()}, []any{gotPID, port, run, spec})
		require.WithinRange(t, started, before, time.Now())
	}
	p := adopted(t, s)
	require.NoError(t, p.Signal(syscall.SIGTERM, messages.LeftoversEnd))
	exit := p.Wait()
	require.False(t, alive(pid))
	require.Equal(t, exit, goneWith(t, s))
	require.Equal(t, exit, survivors(t, s)["a"].Exit)
}

func TestTheExitOfAnAdoptedProcessIsExactOrUnknown(t *testing.T) {
	t.Parallel()
	dir := stateDir(t)
	told := statusIsTold(t)
	script := "trap 'exit $CODE' USR1; echo ready; while :; do sleep 0.01; done"
	codes := []int{0, 1, 7, 127, 255}
	signals := []syscall.Signal{unix.SIGKILL, unix.SIGTERM, unix.SIGHUP, 64}
	o := order{Dir: dir}
	for n := range len(codes) + len(signals) {
		app := shell(script)
		app.InstanceID = messages.InstanceID("i" + strconv.Itoa(n))
		if n < len(codes) {
			app.Env = map[string]string{"CODE": strconv.Itoa(codes[n])}
		}
		o.Launches = append(o.Launches, messages.Launch{App: app, Run: 1})
	}
	predecessor(t, "manager", o).kill()
	s := opened(t, dir)
	for n, l := range o.Launches {
		p, err := s.Adopt(t.Context(), l.App.InstanceID, actors.AnyRun)
		require.NoError(t, err)
		eventually(t, "ready", func() bool {
			text, _ := os.ReadFile(dir.Stdout(l.App.InstanceID))
			return string(text) == "ready\n"
		})
		want := messages.Exit{Code: -1, Known: true}
		sig := syscall.Signal(unix.SIGUSR1)
		if n < len(codes) {
			want.Code = codes[n]
		} else {
			sig = signals[n-len(codes)]
			want.Signal = signalName(sig)
		}
		require.NoError(t, p.Signal(sig, messages.LeftoversEnd))
		exit := p.Wait()
		exit.At = time.Time{}
		if told || exit.Known {
			require.Equal(t, want, exit)
		} else {
			require.Equal(t, unknownExit(time.Time{}), exit)
		}
	}
}

func TestAProcessThatEndedWhileNobodyWatchedHasAnUnknownExit(t *testing.T) {
	t.Parallel() // it waits
	dir := stateDir(t)
	pid := orphaned(t, dir, sleeper("a"))
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	eventually(t, "init has reaped it", func() bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) })
	s := opened(t, dir)
	exit := goneWith(t, s)
	require.False(t, exit.Known)
	require.Equal(t, -1, exit.Code)
	require.Equal(t, messages.ReasonUnknown, exit.Unasked())
	require.WithinDuration(t, time.Now(), exit.At, time.Minute)
	v := survivors(t, s)["a"]
	require.False(t, v.Alive)
	require.Equal(t, 7, v.Run)
}

func TestAnExitThatWasSeenIsOnRecord(t *testing.T) {
	t.Parallel()
	dir := stateDir(t)
	s := opened(t, dir)
	exit := spawned(t, s, shell("exit 6")).Wait()
	require.NoError(t, s.Close())
	s = opened(t, dir)
	again := goneWith(t, s)
	require.WithinDuration(t, exit.At, again.At, time.Millisecond)
	again.At = exit.At
	require.Equal(t, exit, again)
	v := survivors(t, s)["a"]
	require.Equal(t, 6, v.Exit.Code)
	require.False(t, v.Alive)
}

func TestAZombieHasEndedAndItsExitIsRead(t *testing.T) {
	t.Parallel() // it waits
	dir := stateDir(t)
	m := predecessor(t, "lazy subreaper", order{Dir: dir,
		Launches: []messages.Launch{{App: shell("sleep 0.3; exit 11"), Run: 1}}})
	manager, pid := m.pids[0], m.pids[1]
	require.NoError(t, syscall.Kill(manager, syscall.SIGKILL))
	eventually(t, "a zombie", func() bool {
		st, err := kernel.Procfs("/proc").Stat(pid)
		return err == nil && st.Zombie()
	})
	s := opened(t, dir)
	v := survivors(t, s)["a"]
	require.False(t, v.Alive)
	require.True(t, v.Exit.Known)
	require.Equal(t, 11, v.Exit.Code)
	require.Equal(t, 11, goneWith(t, s).Code)
}

// A manager that executes a new binary keeps its children.
func TestAnAdoptedChildOfOursIsReaped(t *testing.T) {
	t.Parallel()
	dir := stateDir(t)
	s := opened(t, dir)
	pid := spawned(t, s, shell("trap 'exit 12' TERM; echo ready; while :; do sleep 0.01; done")).PID()
	eventually(t, "ready", func() bool { return output(t, s) == "ready\n" })
	require.NoError(t, s.Close())
	s = opened(t, dir)
	p := adopted(t, s)
	require.Equal(t, pid, p.PID())
	require.NoError(t, p.Signal(syscall.SIGTERM, messages.LeftoversEnd))
	require.Equal(t, 12, p.Wait().Code)
	require.ErrorIs(t, syscall.Kill(pid, 0), syscall.ESRCH)
}

func TestNothingIsKnownOfAnInstanceThatNeverRan(t *testing.T) {
	t.Parallel()
	s := opened(t, stateDir(t))
	_, err := s.Adopt(t.Context(), "a", actors.AnyRun)
	require.ErrorIs(t, err, messages.ErrNoRun)
	require.Empty(t, survivors(t, s))
	_, err = s.Adopt(t.Context(), "../a", actors.AnyRun)
	require.Error(t, err)
	require.NotErrorIs(t, err, messages.ErrNoRun)
}

// rewrite changes the record of instance "a".
func rewrite(t testing.TB, dir messages.StateDir, change func(*runRecord)) {
	var r runRecord
	require.NoError(t, record.Read(dir.Run("a"), runKind, &r))
	change(&r)
	require.NoError(t, record.Stage(dir.Run("a"), runKind, r, false))
	require.NoError(t, record.Commit(dir.Run("a"), false))
}

func TestAStrangerIsNeverAdoptedAndNeverSignalled(t *testing.T) {
	t.Parallel()
	for name, forge := range map[string]func(t *testing.T, dir messages.StateDir, bystander int){
		"that was given the pid": func(t *testing.T, dir messages.StateDir, bystander int) {
			rewrite(t, dir, func(r *runRecord) { r.PID = bystander })
		},
		"of another boot": func(t *testing.T, dir messages.StateDir, bystander int) {
			st, err := kernel.Procfs("/proc").Stat(bystander)
			require.NoError(t, err)
			env, err := kernel.Procfs("/proc").Environ(bystander)
			require.NoError(t, err)
			rewrite(t, dir,
				func(r *runRecord) { r.PID, r.Start, r.Tag, r.Boot = bystander, st.Start, env.Tags().Tag, "other" })
		},
		"whose pid makes no sense": func(t *testing.T, dir messages.StateDir, _ int) {
			rewrite(t, dir, func(r *runRecord) { r.PID = -1 })
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := stateDir(t)
			own := orphaned(t, dir, sleeper("a"))
			time.Sleep(20 * time.Millisecond) // the kernel counts the start of a process in ticks of 10 ms
			bystander := exec.Command("sleep", "300")
			bystander.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
			require.NoError(t, bystander.Start())
			t.Cleanup(func() { _ = bystander.Process.Kill(); _ = bystander.Wait() })
			require.NoError(t, syscall.Kill(own, syscall.SIGKILL))
			eventually(t, "it is gone", func() bool { return !alive(own) })
			forge(t, dir, bystander.Process.Pid)
			s := opened(t, dir)
			require.False(t, goneWith(t, s).Known)
			require.False(t, survivors(t, s)["a"].Alive)
			require.True(t, alive(bystander.Process.Pid))
		})
	}
}

func TestARecordOfAnotherBootIsVoid(t *testing.T) {
	t.Parallel()
	dir := stateDir(t)
	s := openedWith(t, dir, Options{BootID: func() string { return "before" }})
	spawned(t, s, shell("exit 3")).Wait()
	require.NoError(t, s.Close())
	rewrite(t, dir, func(r *runRecord) {
		future := time.Now().Add(1000 * time.Hour)
		r.Exit.At.Wall = future
	})
	v := survivors(t, opened(t, dir))["a"]
	require.False(t, v.Alive)
	require.Equal(t, 3, v.Exit.Code)
	require.False(t, v.Exit.At.After(time.Now()), "the wall clock may have been wrong")
}

func TestAStateDirectoryMayBeRenamedUnderItsProcesses(t *testing.T) {
	t.Parallel()
	dir := stateDir(t)
	pid := orphaned(t, dir, sleeper("a"))
	moved := messages.StateDir(string(dir) + "-moved")
	require.NoError(t, os.Rename(string(dir), string(moved)))
	require.Equal(t, pid, adopted(t, opened(t, moved)).PID())
}

func TestAProcessThatOverwroteItsEnvironmentIsAdoptedByItsLock(t *testing.T) {
	t.Parallel()
	dir := stateDir(t)
	s := opened(t, dir)
	first := spawned(t, s, player(t, "overwritten environment"))
	t.Cleanup(func() { _ = syscall.Kill(first.PID(), syscall.SIGKILL) })
	eventually(t, "overwritten", func() bool { return output(t, s) == "overwritten\n" })
	require.Empty(t, tagged(t, dir))
	require.NoError(t, s.Close())
	s = opened(t, dir)
	require.True(t, survivors(t, s)["a"].Alive)
	p := adopted(t, s)
	require.Equal(t, first.PID(), p.PID())
	require.NoError(t, p.Signal(syscall.SIGKILL, messages.LeftoversEnd))
	require.Equal(t, "KILL", p.Wait().Signal)
}

func TestTheGroupOfAnAdoptedProcessIsReachedAfterItsEnd(t *testing.T) {
	t.Parallel()
	for _, old := range []bool{false, true} {
		dir := stateDir(t)
		pid := orphaned(t, dir, shell("sleep 300 & echo ready; wait"))
		eventually(t, "both run", func() bool { return len(tagged(t, dir)) == 2 })
		s := opened(t, dir)
		s.old = old
		p := adopted(t, s)
		require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
		p.Wait()
		require.NoError(t, p.Signal(syscall.SIGKILL, messages.LeftoversEnd))
		eventually(t, "nobody is left", func() bool { return len(tagged(t, dir)) == 0 })
	}
}

func TestAProcessOnRecordIsNotStartedAgainByAManagerThatDidNotLookForIt(t *testing.T) {
	t.Parallel() // it waits
	dir := stateDir(t)
	pid := orphaned(t, dir, sleeper("a"))
	require.NoError(t, os.Remove(dir.InstanceLock("a")))
	s := opened(t, dir)
	_, err := s.Spawn(t.Context(), messages.Launch{App: sleeper("a"), Run: 8})
	var start *messages.StartError
	require.ErrorAs(t, err, &start)
	require.Equal(t, messages.FaultLocked, start.Fault)
	require.Equal(t, pid, adopted(t, s).PID())
}
