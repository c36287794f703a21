package spawn

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/actors"
	"procman/actors/kernel"
	"procman/messages"
	"procman/test/fake"
)

// bare is an instance that shows nothing: no environment, and with closed no descriptor but the first three.
func bare(closed string) messages.AppInstance { return shell("exec env -i sleep 300 " + closed) }

// settledAs waits until the process is what it executes last. In the middle of an exec it has the new name, and no
// arguments.
func settledAs(t testing.TB, pid int, name string) {
	eventually(t, "it executes "+name, func() bool {
		st, err := kernel.Procfs("/proc").Stat(pid)
		line, lineErr := kernel.Procfs("/proc").CommandLine(pid)
		return err == nil && lineErr == nil && st.Name == name && line[0] == name
	})
}

// orphanedAs is orphaned for what executes something else first.
func orphanedAs(t testing.TB, dir messages.StateDir, app messages.AppInstance) int {
	pid := orphaned(t, dir, app)
	settledAs(t, pid, "sleep")
	endAfter(t, pid)
	return pid
}

// endAfter ends a process that does not show whose it is.
func endAfter(t testing.TB, pid int) { t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) }) }

func TestAProcessThatShowsAndHoldsNothingIsTheOneOnRecord(t *testing.T) {
	t.Parallel()
	for name, app := range map[string]messages.AppInstance{"its environment is empty": bare(""),
		"and its descriptors are closed": bare("3>&-")} {
		t.Run(name, func(t *testing.T) {
			dir := stateDir(t)
			pid := orphanedAs(t, dir, app)
			for range 2 { // two managers, one after the other
				s := opened(t, dir)
				v := survivors(t, s)["a"]
				require.Equal(t, []any{true, "", pid, 7, 30007}, []any{v.Alive, v.Unclear, v.PID, v.Run, v.Port})
				require.Equal(t, pid, adopted(t, s).PID())
				_, err := s.Spawn(t.Context(), messages.Launch{App: app, Run: 8})
				require.Equal(t, messages.FaultLocked, faultOf(t, err))
				require.NoError(t, s.Close())
			}
			require.Equal(t, []any{true, pid}, []any{looked(t, dir).Survivor.Alive, looked(t, dir).Survivor.PID})
		})
	}
}

// On an upgrade the process is a child of ours that nobody has reaped: that is proof without any other.
func TestAnUnreapedChildOfOursIsOurs(t *testing.T) {
	t.Parallel()
	for _, what := range []string{"its start time is not on record", "/proc does not show it"} {
		t.Run(what, func(t *testing.T) {
			dir := stateDir(t)
			s := opened(t, dir)
			pid := spawned(t, s, bare("3>&-")).PID()
			endAfter(t, pid)
			settledAs(t, pid, "sleep")
			require.NoError(t, s.Close())
			o := Options{}
			if what == "/proc does not show it" {
				o.Proc = blindProc(t)
			} else {
				rewrite(t, dir, func(r *runRecord) { r.Start = 0 })
			}
			s = openedWith(t, dir, o)
			require.Equal(t, pid, adopted(t, s).PID())
		})
	}
}

// blindProc is a /proc that shows no process, as one with hidepid does not those of other users.
func blindProc(t testing.TB) string {
	dir := t.TempDir()
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(dir+"/sys/kernel/random", 0o700))
	write(t, dir+"/sys/kernel/random/boot_id", string(boot))
	return dir
}

func faultOf(t testing.TB, err error) messages.StartFault {
	t.Helper()
	var start *messages.StartError
	require.ErrorAs(t, err, &start)
	return start.Fault
}

// requireDoubt holds a Spawner to what it must do while it cannot tell: nothing, and say so.
func requireDoubt(t testing.TB, s *Spawner, pid int) {
	t.Helper()
	v := survivors(t, s)["a"]
	require.True(t, v.Alive)
	require.Contains(t, v.Unclear, "process "+strconv.Itoa(pid))
	_, err := s.Adopt(t.Context(), "a", actors.AnyRun)
	require.Equal(t, messages.FaultUnclear, faultOf(t, err))
	_, err = s.Spawn(t.Context(), messages.Launch{App: sleeper("a"), Run: 8})
	require.Equal(t, messages.FaultUnclear, faultOf(t, err))
	require.Contains(t, err.Error(), "process "+strconv.Itoa(pid))
	require.True(t, alive(pid))
}

// requireSettled holds it to a start as soon as the process has ended.
func requireSettled(t testing.TB, s *Spawner, pid int) {
	t.Helper()
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	eventually(t, "it has ended", func() bool { return !alive(pid) })
	_, err := s.Adopt(t.Context(), "a", actors.AnyRun)
	var gone *messages.GoneError
	require.True(t, errors.As(err, &gone) || errors.Is(err, messages.ErrNoRun), "%v", err)
	p := spawned(t, s, sleeper("a"))
	require.NoError(t, p.Signal(syscall.SIGKILL, messages.LeftoversEnd))
	p.Wait()
}

func TestWhileItCannotBeToldWhoseAProcessIsNothingIsStartedAndNothingIsSignalled(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		app   messages.AppInstance
		spoil func(t *testing.T, dir messages.StateDir)
		proc  bool
	}{
		"it shows its tag, and there is no record and no lock": {
			shell("exec sleep 300 3>&-"), func(t *testing.T, dir messages.StateDir) {
				require.NoError(t, os.Remove(dir.Run("a")))
				require.NoError(t, os.Truncate(dir.InstanceLock("a"), 0))
			}, false,
		},
		"it holds the lock, which was emptied, and there is no record": {
			bare(""), func(t *testing.T, dir messages.StateDir) {
				require.NoError(t, os.Remove(dir.Run("a")))
				require.NoError(t, os.Truncate(dir.InstanceLock("a"), 0))
			}, false,
		},
		"its start time is not on record": {
			bare("3>&-"), func(t *testing.T,
				dir messages.StateDir) {
				rewrite(t, dir, func(r *runRecord) { r.Start = 0 })
			}, false,
		},
		"/proc does not show it": {bare("3>&-"), func(*testing.T, messages.StateDir) {}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // it waits
			dir := stateDir(t)
			pid := orphanedAs(t, dir, c.app)
			c.spoil(t, dir)
			o := Options{}
			if c.proc {
				o.Proc = blindProc(t)
			} else { // who only looks says the same
				traces, err := Look(t.Context(), dir)
				require.NoError(t, err)
				if len(traces) > 0 {
					require.Contains(t, traces[0].Survivor.Unclear, "process "+strconv.Itoa(pid))
				}
			}
			s := openedWith(t, dir, o)
			requireDoubt(t, s, pid)
			requireDoubt(t, s, pid)
			requireSettled(t, s, pid)
		})
	}
}

// A record that cannot be used, and a program that has cleared its environment: its lock tells whose it is.
func TestTheLockTellsWhoseAProcessIsThatHasNothingElse(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(t *testing.T, dir messages.StateDir){
		"a record of the run before": func(t *testing.T, dir messages.StateDir) {
			rewrite(t, dir, func(r *runRecord) { r.PID, r.Run, r.Tag, r.Exit = 1, 6, "other", &exitRecord{} })
		},
		"no record": func(t *testing.T, dir messages.StateDir) { require.NoError(t, os.Remove(dir.Run("a"))) },
		"a torn record": func(t *testing.T,
			dir messages.StateDir) {
			require.NoError(t, os.Truncate(dir.Run("a"), 60))
		},
	} {
		for _, closed := range []string{"", "3>&-"} {
			t.Run(name+" "+closed, func(t *testing.T) {
				dir := stateDir(t)
				app := bare(closed)
				pid := orphanedAs(t, dir, app)
				spoil(t, dir)
				s := opened(t, dir)
				p := adopted(t, s)
				require.Equal(t, []any{pid, 7, 30007, app.SpecHash()}, []any{p.PID(), p.Run(), p.Port(), p.SpecHash()})
				v := survivors(t, s)["a"]
				require.Equal(t, []any{true, pid, ""}, []any{v.Alive, v.PID, v.Unclear})
			})
		}
	}
}

// helped is an instance that starts a helper in a session of its own, without our descriptors, as Popen with
// start_new_session does.
func helped() messages.AppInstance {
	return shell("setsid sleep 301 3>&- >/dev/null 2>&1 & exec sleep 300")
}

// helper returns the helper that the run with that leader has started.
func helper(t testing.TB, dir messages.StateDir, leader int) int {
	pid := 0
	eventually(t, "its helper runs", func() bool {
		tag := ""
		all := tagged(t, dir)
		for _, x := range all {
			if x.PID == leader {
				tag = x.Tag
			}
		}
		for _, x := range all {
			if x.Tag == tag && x.PID != leader && x.Leads(x.PID) && x.Name == "sleep" {
				pid = x.PID
			}
		}
		return pid != 0
	})
	endAfter(t, pid)
	return pid
}

func TestAHelperOfAnEarlierRunIsNeitherSurvivorNorRival(t *testing.T) {
	t.Parallel()
	dir := stateDir(t)
	var helpers []int
	start := func(run int) int {
		m := predecessor(t, "manager", order{Dir: dir,
			Launches: []messages.Launch{{App: helped(), Run: run, Port: 30000 + run}}})
		helpers = append(helpers, helper(t, dir, m.pids[0]))
		m.kill()
		return m.pids[0]
	}
	end := func(pid int) {
		require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
		eventually(t, "it has ended", func() bool { return !alive(pid) })
	}
	end(start(1))
	second := start(2)

	s := opened(t, dir)
	require.Equal(t, second, survivors(t, s)["a"].PID)
	require.Equal(t, second, adopted(t, s).PID())
	require.Empty(t, s.ending, "no rival")
	require.NoError(t, s.Close())
	end(second)
	third := start(3)
	end(third)

	v := looked(t, dir).Survivor
	require.Equal(t, []any{false, 3, ""}, []any{v.Alive, v.Run, v.Unclear})
	s = opened(t, dir)
	found := survivors(t, s)["a"]
	require.Equal(t, []any{true, 3, ""}, []any{found.Outlived, found.Run, found.Unclear}, "no helper is taken for it")
	left := adopted(t, s)
	rest, err := left.Rest(t.Context(), nil)
	require.NoError(t, err)
	require.Len(t, rest, 1, "those of earlier runs are none of its business")
	require.Equal(t, helpers[2], rest[0].PID)
	require.NoError(t, left.Signal(syscall.SIGKILL, messages.LeftoversEnd))
	eventually(t, "its helper is ended", func() bool { return !alive(helpers[2]) })
	for _, pid := range helpers[:2] {
		require.True(t, alive(pid))
	}
	p, err := s.Spawn(t.Context(), messages.Launch{App: sleeper("a"), Run: 4})
	require.NoError(t, err)
	require.Empty(t, s.ending)
	require.NoError(t, p.Signal(syscall.SIGKILL, messages.LeftoversEnd))
}

// The process has forked a child with all its descriptors, in a session of its own, and has ended: a daemon.
func TestAChildThatHasTheTagAndTheLockIsNotItsParent(t *testing.T) {
	t.Parallel()
	dir := stateDir(t)
	pid := orphaned(t, dir, shell("setsid sleep 301 & exec sleep 300"))
	child := helper(t, dir, pid)
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	eventually(t, "it has ended", func() bool { return !alive(pid) })
	for _, record := range []string{"with its record", "without a record"} {
		if record == "without a record" {
			require.NoError(t, os.Remove(dir.Run("a")))
		}
		s := opened(t, dir)
		v := survivors(t, s)["a"]
		require.Equal(t, []any{true, ""}, []any{v.Outlived, v.Unclear}, record)
		rest, err := adopted(t, s).Rest(t.Context(), nil)
		require.NoError(t, err)
		require.Equal(t, child, rest[0].PID, "it belongs to the run, and is not its process")
		require.True(t, alive(child))
		require.NoError(t, s.Close())
	}
}

func copyDir(t testing.TB, from, to messages.StateDir) {
	require.NoError(t, os.CopyFS(string(to), os.DirFS(string(from))))
}

func TestARecordHoldsUnderAnotherNameOfTheStateDirectory(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("the manager is a process of its own that is killed: a race in it fails no test, and with the " +
			"detector it begins slowly")
	}
	for what, app := range map[string]messages.AppInstance{"shows its tag": sleeper("a"),
		"shows nothing": bare("3>&-")} {
		for how, move := range map[string]func(t *testing.T, from, to messages.StateDir){
			"moved": func(t *testing.T, from, to messages.StateDir) {
				require.NoError(t, os.Rename(string(from), string(to)))
			},
			"copied": func(t *testing.T, from, to messages.StateDir) { copyDir(t, from, to) },
			"copied, and the first removed": func(t *testing.T, from, to messages.StateDir) {
				copyDir(t, from, to)
				require.NoError(t, os.RemoveAll(string(from)))
			},
		} {
			t.Run(how+", "+what, func(t *testing.T) {
				dir := stateDir(t)
				pid := orphanedAs(t, dir, app)
				next := messages.StateDir(string(dir) + "-next")
				move(t, dir, next)
				s := opened(t, next)
				v := survivors(t, s)["a"]
				require.Equal(t, []any{true, pid, ""}, []any{v.Alive, v.PID, v.Unclear})
				require.Equal(t, pid, adopted(t, s).PID())
				// One process has one manager: the directory it was started under has none meanwhile, and none on top.
				first, err := Open(dir, Options{})
				if how == "copied" {
					require.ErrorIs(t, err, ErrInUse)
					require.Contains(t, err.Error(), "process "+strconv.Itoa(os.Getpid()))
					return
				}
				require.NoError(t, err)
				defer first.Close()
				list, err := first.Survivors(t.Context())
				require.NoError(t, err)
				for _, v := range list {
					require.NotEmpty(t, v.Unclear)
				}
				_, err = first.Adopt(t.Context(), "a", actors.AnyRun)
				require.Error(t, err)
			})
		}
	}
}

func TestACopyOfAStateDirectoryThatHasAManagerIsNoSecondOwner(t *testing.T) {
	t.Parallel()
	for what, app := range map[string]messages.AppInstance{"it shows its tag": sleeper("a"),
		"it shows nothing": bare("3>&-")} {
		t.Run(what, func(t *testing.T) {
			t.Parallel() // it waits
			dir := stateDir(t)
			m := predecessor(t, "manager", order{Dir: dir,
				Launches: []messages.Launch{{App: app, Run: 7, Port: 30007}}})
			pid := m.pids[0]
			settledAs(t, pid, "sleep")
			endAfter(t, pid)
			next := messages.StateDir(string(dir) + "-next")
			copyDir(t, dir, next)
			t.Cleanup(func() { killAll(t, next) })
			v := looked(t, next).Survivor
			require.Contains(t, v.Unclear, "the manager with pid "+strconv.Itoa(m.cmd.Process.Pid))
			s := opened(t, next)
			require.Empty(t, survivors(t, s), "the record is no claim")
			_, err := s.Adopt(t.Context(), "a", actors.AnyRun)
			require.Equal(t, messages.FaultUnclear, faultOf(t, err))
			_, err = s.Spawn(t.Context(), messages.Launch{App: app, Run: 8})
			require.Equal(t, messages.FaultUnclear, faultOf(t, err), "the same is not started twice")
			for _, named := range []string{"process " + strconv.Itoa(pid), string(dir),
				"the manager with pid " + strconv.Itoa(m.cmd.Process.Pid)} {
				require.Contains(t, err.Error(), named)
			}
			require.True(t, alive(pid))
			if what == "it shows nothing" {
				p, err := s.Spawn(t.Context(), messages.Launch{App: shell("exec sleep 299"), Run: 8})
				require.NoError(t, err, "something else is")
				require.NoError(t, p.Signal(syscall.SIGKILL, messages.LeftoversEnd))
				require.True(t, alive(pid))
				return
			}
			m.kill()
			require.Equal(t, pid, adopted(t, s).PID(), "its manager has gone: it is settled")
		})
	}
}

// mv under a live manager, which then starts something: what it had locked lies elsewhere, and stays locked.
func TestADirectoryThatWasMovedUnderItsManagerGetsNoSecondOne(t *testing.T) {
	t.Parallel() // it waits
	dir := stateDir(t)
	var log journal
	s := openedWith(t, dir, Options{Logger: log.logger()})
	first := spawned(t, s, sleeper("a"))
	moved := messages.StateDir(string(dir) + "-moved")
	require.NoError(t, os.Rename(string(dir), string(moved)))
	_, err := Open(moved, Options{})
	require.ErrorIs(t, err, ErrInUse)
	app := sleeper("b")
	_, err = s.Spawn(t.Context(), messages.Launch{App: app, Run: 1})
	require.NoError(t, err)
	require.Contains(t, log.String(), "moved_to="+string(moved))
	_, err = Open(moved, Options{})
	require.ErrorIs(t, err, ErrInUse)
	_, err = Open(dir, Options{})
	require.ErrorIs(t, err, ErrInUse)
	require.NoError(t, first.Signal(syscall.SIGKILL, messages.LeftoversEnd))
	first.Wait()
}

func TestOneDirectoryWithTwoNamesIsOne(t *testing.T) {
	t.Parallel()
	dir := stateDir(t)
	pid := orphaned(t, dir, sleeper("a"))
	other := messages.StateDir(t.TempDir() + "/bound")
	require.NoError(t, os.MkdirAll(string(other), 0o700))
	if err := syscall.Mount(string(dir), string(other), "", syscall.MS_BIND, ""); err != nil {
		t.Skip("a bind mount needs root: ", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(string(other), syscall.MNT_DETACH) })
	s := opened(t, other)
	require.Equal(t, pid, adopted(t, s).PID())
	require.NoError(t, os.Remove(dir.Run("a")))
	require.NoError(t, s.Close())
	s = opened(t, other)
	require.Equal(t, pid, survivors(t, s)["a"].PID, "found by its tag, which has the other name")
	_, err := Open(dir, Options{})
	require.ErrorIs(t, err, ErrInUse)
}

// The binary was replaced by a rename while the instance runs.
func TestAProcessWhoseProgramWasReplacedIsAdopted(t *testing.T) {
	t.Parallel()
	dir := stateDir(t)
	program := filepath.Join(t.TempDir(), "server")
	sleep, err := exec.LookPath("sleep")
	require.NoError(t, err)
	copyFile := func(to string) {
		text, err := os.ReadFile(sleep)
		require.NoError(t, err)
		require.NoError(t, fake.Executable(to, text))
	}
	copyFile(program)
	pid := orphaned(t, dir, messages.AppInstance{InstanceID: "a", Executable: program, Args: []string{"300"}})
	eventually(t, "it runs",
		func() bool { exe, _ := os.Readlink("/proc/" + strconv.Itoa(pid) + "/exe"); return exe == program })
	copyFile(program + ".new")
	require.NoError(t, os.Rename(program+".new", program))
	exe, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/exe")
	require.NoError(t, err)
	require.True(t, strings.HasSuffix(exe, " (deleted)"))
	require.Equal(t, pid, adopted(t, opened(t, dir)).PID())
}

// The records of an earlier version have no state directory, and its locks say nothing.
func TestWhatAnEarlierVersionLeftIsAdopted(t *testing.T) {
	t.Parallel()
	for _, record := range []string{"with its record", "without a record"} {
		dir := stateDir(t)
		pid := orphaned(t, dir, sleeper("a"))
		rewrite(t, dir, func(r *runRecord) { r.Dir = "" })
		require.NoError(t, os.Truncate(dir.InstanceLock("a"), 0))
		if record == "without a record" {
			require.NoError(t, os.Remove(dir.Run("a")))
		}
		require.Equal(t, pid, adopted(t, opened(t, dir)).PID(), record)
	}
}

func TestAThousandAreAdoptedWithoutALookAtEachOther(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it starts many processes")
	}
	dir := stateDir(t)
	o := order{Dir: dir}
	for n := range 60 {
		o.Launches = append(o.Launches, messages.Launch{App: sleeper(messages.InstanceID("i" + strconv.Itoa(n))),
			Run: 1})
	}
	predecessor(t, "manager", o).kill()
	before := time.Now()
	require.Len(t, survivors(t, opened(t, dir)), 60)
	t.Logf("60 in %v", time.Since(before))
}
