package spawn

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"procman/actors"
	"procman/actors/kernel"
	"procman/actors/record"
	"procman/messages"
)

func TestALiveProcessIsFoundWhateverBecameOfItsRecord(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("the manager is a process of its own that is killed: a race in it fails no test, and with the " +
			"detector it begins slowly")
	}
	for name, spoil := range map[string]func(t *testing.T, dir messages.StateDir){
		"deleted": func(t *testing.T, dir messages.StateDir) { require.NoError(t, os.Remove(dir.Run("a"))) },
		"empty":   func(t *testing.T, dir messages.StateDir) { require.NoError(t, os.Truncate(dir.Run("a"), 0)) },
		"torn":    func(t *testing.T, dir messages.StateDir) { require.NoError(t, os.Truncate(dir.Run("a"), 100)) },
		"NULs":    func(t *testing.T, dir messages.StateDir) { write(t, dir.Run("a"), strings.Repeat("\x00", 400)) },
		"garbage": func(t *testing.T, dir messages.StateDir) { write(t, dir.Run("a"), "{\"schema\":1") },
		"too big": func(t *testing.T, dir messages.StateDir) { require.NoError(t, os.Truncate(dir.Run("a"), 1<<30)) },
		"newer":   func(t *testing.T, dir messages.StateDir) { write(t, dir.Run("a"), `{"schema":2,"pids":[1]}`) },
		"older":   func(t *testing.T, dir messages.StateDir) { write(t, dir.Run("a"), `{"schema":0}`) },
		"a fifo": func(t *testing.T,
			dir messages.StateDir) {
			os.Remove(dir.Run("a"))
			unix.Mkfifo(dir.Run("a"), 0o600)
		},
		"directory": func(t *testing.T, dir messages.StateDir) {
			os.Remove(dir.Run("a"))
			os.MkdirAll(dir.Run("a")+"/x", 0o700)
		},
		"another instance's": func(t *testing.T, dir messages.StateDir) {
			rewrite(t, dir, func(r *runRecord) { r.ID = "b" })
		},
		"of the run before": func(t *testing.T, dir messages.StateDir) {
			rewrite(t, dir, func(r *runRecord) {
				r.PID, r.Tag, r.Run, r.Exit = r.PID+1, "other", 6, readClock().exitRecord(unknownExit(time.Now()))
			})
		},
		"with everything else": func(t *testing.T,
			dir messages.StateDir) {
			require.NoError(t, os.RemoveAll(string(dir)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := stateDir(t)
			app := sleeper("a")
			pid := orphaned(t, dir, app)
			started := time.Now()
			spoil(t, dir)
			check := func(s *Spawner, v messages.Survivor) {
				require.Equal(t, []any{true, pid, 7, 30007, app.SpecHash()},
					[]any{v.Alive, v.PID, v.Run, v.Port, v.SpecHash})
				require.WithinDuration(t, started, v.StartedAt, 30*time.Second)
			}
			// Adopt finds it by itself,
			s := opened(t, dir)
			require.Equal(t, pid, adopted(t, s).PID())
			require.NoError(t, s.Close())
			if name != "directory" {
				require.NoError(t, record.Read(dir.Run("a"), runKind, &runRecord{}), "the record is good again")
			}
			// and so does Survivors.
			_ = os.RemoveAll(string(dir))
			s = opened(t, dir)
			check(s, survivors(t, s)["a"])
			check(s, survivors(t, s)["a"])
			require.Equal(t, pid, adopted(t, s).PID())
		})
	}
}

func write(t testing.TB, path, text string) {
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
}

func TestADamagedRecordIsReportedAndStopsNothing(t *testing.T) {
	t.Parallel()
	dir := stateDir(t)
	pid := orphaned(t, dir, sleeper("a"))
	good, err := os.ReadFile(dir.Run("a"))
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(dir.Instance("b"), 0o700))
	write(t, dir.Run("b"), "{}")
	require.NoError(t, os.MkdirAll(dir.Instances()+"/not an id", 0o700))
	for n := 0; n < len(good); n += 17 {
		bad := append([]byte(nil), good...)
		bad[n] ^= 1 << (n % 8)
		write(t, dir.Run("a"), string(bad))
		var log journal
		s := openedWith(t, dir, Options{Logger: log.logger()})
		list, err := s.Survivors(t.Context())
		require.ErrorIs(t, err, errSchemaOrDamaged(err))
		require.Contains(t, err.Error(), dir.Run("b"))
		require.Contains(t, log.String(), "the record of a run cannot be used")
		require.Len(t, list, 1)
		require.Equal(t, pid, list[0].PID)
		require.NoError(t, s.Close())
	}
}

func errSchemaOrDamaged(err error) error {
	if errors.Is(err, record.ErrSchema) {
		return record.ErrSchema
	}
	return record.ErrDamaged
}

// imitate starts a process that looks in every way like another run of instance "a", its lock included.
func imitate(t *testing.T, dir messages.StateDir, tag string, run int, script string) int {
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.Env = []string{EnvStateDir + "=" + string(dir), EnvInstance + "=a", EnvTag + "=" + tag,
		EnvRun + "=" + strconv.Itoa(run)}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	lock, err := os.OpenFile(dir.InstanceLock("a"), os.O_RDWR, 0o600)
	require.NoError(t, err)
	defer lock.Close()
	cmd.ExtraFiles = []*os.File{lock}
	require.NoError(t, cmd.Start())
	eventually(t, "it shows its environment", func() bool {
		for _, x := range tagged(t, dir) {
			if x.PID == cmd.Process.Pid {
				return true
			}
		}
		return false
	})
	done := make(chan struct{})
	go func() { defer close(done); _ = cmd.Wait() }()
	t.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); <-done })
	return cmd.Process.Pid
}

func TestOfTwoProcessesOfOneInstanceTheOneOnRecordStays(t *testing.T) {
	t.Parallel()
	dir := stateDir(t)
	pid := orphaned(t, dir, sleeper("a"))
	second := imitate(t, dir, "other", 99, "sleep 300; exit")
	var log journal
	s := openedWith(t, dir, Options{Logger: log.logger()})
	require.Equal(t, pid, survivors(t, s)["a"].PID)
	eventually(t, "the second is ended", func() bool { return !alive(second) })
	require.Contains(t, log.String(), "an instance had two processes; one is ended")
	require.True(t, alive(pid))
}

func TestOfTwoProcessesWithoutARecordTheOneWithTheLockStays(t *testing.T) {
	t.Parallel()
	dir := stateDir(t)
	pid := orphaned(t, dir, sleeper("a"))
	second := imitate(t, dir, "other", 99, "sleep 300; exit")
	require.NoError(t, os.Remove(dir.Run("a")))
	s := opened(t, dir)
	require.Equal(t, pid, survivors(t, s)["a"].PID)
	require.Equal(t, pid, adopted(t, s).PID())
	eventually(t, "the second is ended", func() bool { return !alive(second) })
	require.True(t, alive(pid))
}

func TestASecondProcessThatIgnoresTERMDoesNotKeepCloseWaiting(t *testing.T) {
	t.Parallel()
	dir := stateDir(t)
	orphaned(t, dir, sleeper("a"))
	ready := t.TempDir() + "/ready"
	second := imitate(t, dir, "other", 99, "trap '' TERM; : >"+ready+"; while :; do sleep 0.02; done")
	eventually(t, "TERM is ignored", func() bool { _, err := os.Stat(ready); return err == nil })
	s := opened(t, dir)
	survivors(t, s)
	before := time.Now()
	require.NoError(t, s.Close())
	require.Less(t, time.Since(before), endGrace/2)
	require.True(t, alive(second))
}

func TestARunWhoseLeaderEndedWhileNobodyWatchedIsNotOverWhileOthersOfItLive(t *testing.T) {
	t.Parallel()
	for _, record := range []string{"with its record", "without a record"} {
		t.Run(record, func(t *testing.T) {
			dir := stateDir(t)
			pid := orphaned(t, dir, shell("sleep 300 & echo ready; wait"))
			eventually(t, "both run", func() bool { return len(tagged(t, dir)) == 2 })
			require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
			eventually(t, "the leader is gone", func() bool { return !alive(pid) })
			if record == "without a record" {
				require.NoError(t, os.Remove(dir.Run("a")))
			}
			s := opened(t, dir)
			v := survivors(t, s)["a"]
			require.True(t, v.Alive && v.Outlived)
			p := adopted(t, s)
			p.Wait() // returns
			rest, err := p.Rest(t.Context(), nil)
			require.NoError(t, err)
			require.Len(t, rest, 1)
			require.NoError(t, p.Signal(syscall.SIGKILL, messages.LeftoversEnd))
			rest, err = p.Rest(t.Context(), rest)
			require.NoError(t, err)
			require.Empty(t, rest)
			goneWith(t, s)
			eventually(t, "nobody is left", func() bool { return len(tagged(t, dir)) == 0 })
			require.NotNil(t, spawned(t, s, sleeper("a")), "the lock is free")
		})
	}
}

func TestAStrayGrandchildOfALiveProcessIsNeitherAdoptedNorEnded(t *testing.T) {
	t.Parallel()
	dir := stateDir(t)
	pid := orphaned(t, dir, shell("setsid sleep 300 & sleep 300; wait"))
	var all []kernel.Process
	eventually(t, "three run", func() bool {
		all = tagged(t, dir)
		sleeps := 0
		for _, x := range all {
			if name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", x.PID)); err == nil && string(name) == "sleep\n" {
				sleeps++
			}
		}
		return len(all) == 3 && sleeps == 2
	})
	for _, spoil := range []func(){func() {}, func() { require.NoError(t, os.Remove(dir.Run("a"))) }} {
		spoil()
		s := opened(t, dir)
		require.Equal(t, pid, survivors(t, s)["a"].PID)
		require.NoError(t, s.Close())
		for _, x := range all {
			require.True(t, alive(x.PID))
		}
	}
}

func TestASearchThatIsGivenUpSaysSo(t *testing.T) {
	t.Parallel()
	s := opened(t, stateDir(t))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Survivors(ctx)
	require.ErrorIs(t, err, context.Canceled)
}

func TestWithoutProcNothingIsClaimed(t *testing.T) {
	t.Parallel()
	dir := stateDir(t)
	orphaned(t, dir, sleeper("a"))
	s := openedWith(t, dir, Options{Proc: t.TempDir() + "/none", BootID: func() string { return "x" }})
	list, err := s.Survivors(t.Context())
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.Empty(t, list)
	_, err = s.Adopt(t.Context(), "a", actors.AnyRun)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NotErrorIs(t, err, messages.ErrNoRun)
}

func TestAProcessThatHasNoEnvironmentYetIsWaitedFor(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"alone":              "sleep 0.04; exec env $TAGS sleep 300",
		"among those it has": "env $TAGS sleep 300 & sleep 0.04; exec env $TAGS sleep 300",
	} {
		t.Run(name, func(t *testing.T) {
			dir := stateDir(t)
			s := opened(t, dir)
			require.NoError(t, s.makeDir("a"))
			lock, err := record.Open(dir.InstanceLock("a"), os.O_RDWR|os.O_CREATE, 0o600)
			require.NoError(t, err)
			require.NoError(t, s.awaitLock(t.Context(), s.instance("a"), lock))
			// exec takes a while, as on a slow disk: the lock is held by a process that does not show whose it is.
			cmd := exec.Command("/bin/sh", "-c", script)
			cmd.Env = []string{fmt.Sprintf("TAGS=%s=%s %s=a %s=tag %s=3 PORT=5", EnvStateDir, dir, EnvInstance,
				EnvTag, EnvRun)}
			cmd.ExtraFiles = []*os.File{lock}
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
			require.NoError(t, cmd.Start())
			require.NoError(t, lock.Close())
			pid := cmd.Process.Pid
			require.NoError(t, cmd.Process.Release())
			if name != "alone" {
				eventually(t, "its child shows its environment", func() bool { return len(tagged(t, dir)) > 0 })
			}
			v := survivors(t, s)["a"]
			require.Equal(t, []any{true, pid, 3, 5}, []any{v.Alive, v.PID, v.Run, v.Port})
			p := adopted(t, s)
			require.NoError(t, p.Signal(syscall.SIGKILL, messages.LeftoversEnd))
			require.Equal(t, "KILL", p.Wait().Signal)
		})
	}
}

// Whenever the manager dies, its successor finds each process, and one of each instance.
func TestAManagerKilledAtAnyInstantLosesNoProcess(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("the manager is a process of its own that is killed: a race in it fails no test, and with the " +
			"detector it begins slowly")
	}
	const rounds, many = 8, 20
	dir := stateDir(t)
	for round := range rounds {
		o := order{Dir: dir}
		for n := range many {
			o.Launches = append(o.Launches, messages.Launch{App: sleeper(messages.InstanceID("i" + strconv.Itoa(n))),
				Run: round + 1})
		}
		// The first process shows that the manager is at work.
		predecessor(t, "manager", o, "KILL_AFTER="+(time.Duration(2*round)*time.Millisecond).String())
		s := opened(t, dir)
		found := survivors(t, s)
		live := tagged(t, dir)
		for _, x := range live {
			require.Equal(t, x.PID, found[x.ID].PID, "round %d", round)
			require.True(t, found[x.ID].Alive)
		}
		maps.DeleteFunc(found, func(_ messages.InstanceID, v messages.Survivor) bool {
			return !v.Alive && !v.Exit.Known // the manager died on the way to the fork
		})
		require.Len(t, found, len(live))
		for id := range found {
			p, err := s.Adopt(t.Context(), id, actors.AnyRun)
			require.NoError(t, err)
			require.NoError(t, p.Signal(syscall.SIGKILL, messages.LeftoversEnd))
			p.Wait()
			require.NoError(t, s.Expunge(id))
		}
		require.NoError(t, s.Close())
	}
}

func TestSurvivorsMayBeAskedForWhileProcessesComeAndGo(t *testing.T) {
	t.Parallel()
	var log journal
	s := openedWith(t, stateDir(t), Options{Logger: log.logger()})
	var work sync.WaitGroup
	for n := range 4 {
		app := shell("exit 3")
		app.InstanceID = messages.InstanceID("i" + strconv.Itoa(n))
		work.Go(func() {
			for run := range 20 {
				p, err := s.Spawn(context.Background(), messages.Launch{App: app, Run: run + 1})
				if err != nil {
					t.Error(err)
					return
				}
				if code := p.Wait().Code; code != 3 {
					t.Errorf("exit code %d", code)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { work.Wait(); close(done) }()
	for running := true; running; {
		_, err := s.Survivors(t.Context())
		require.NoError(t, err)
		select {
		case <-done:
			running = false
		default:
		}
	}
	require.NotContains(t, log.String(), "two processes")
}

// A worker that shows no tag and holds no lock is in the session of the one that started it, and nearly as old.
func TestAWorkerThatShowsNothingIsOfTheRunWhoseSessionItIsInThoughItsLeaderHasEnded(t *testing.T) {
	t.Parallel()
	dir := stateDir(t)
	worker := t.TempDir() + "/worker"
	pid := orphaned(t, dir, shell("set -m; env -i /bin/sh -c 'echo $$ >"+worker+"; exec /bin/sleep 300' 3>&- & wait"))
	member := 0
	eventually(t, "the worker runs", func() bool {
		text, _ := os.ReadFile(worker)
		member, _ = strconv.Atoi(strings.TrimSpace(string(text)))
		return member != 0 && len(tagged(t, dir)) == 1
	})
	t.Cleanup(func() { _ = syscall.Kill(member, syscall.SIGKILL) })
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	eventually(t, "the leader is gone, and reaped",
		func() bool { _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); return err != nil })
	s := opened(t, dir)
	v := survivors(t, s)["a"]
	require.True(t, v.Alive && v.Outlived, "nothing is started beside it")
	p, err := s.Adopt(t.Context(), "a", actors.AnyRun)
	require.NoError(t, err)
	require.NoError(t, p.Signal(syscall.SIGTERM, messages.LeftoversEnd))
	eventually(t, "it is ended", func() bool { return !alive(member) })
}
