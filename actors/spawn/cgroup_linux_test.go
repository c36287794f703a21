package spawn

import (
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/actors"
	"procman/actors/kernel"
	"procman/messages"
)

// grouped returns a Spawner whose runs may have cgroups, which are removed after the test.
func grouped(t *testing.T, dir messages.StateDir) *Spawner {
	t.Helper()
	s, err := Open(dir, Options{Cgroups: true})
	require.NoError(t, err)
	s.patience = 300 * time.Millisecond
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	if err := s.Cgroups().Absent(); err != nil {
		t.Skipf("this host has no cgroups to divide: %v", err)
	}
	return s
}

// makes returns the cgroup for a run of the instance "a".
func makes(t *testing.T, s *Spawner, run int) string {
	t.Helper()
	at, err := s.Cgroups().Make("a", run, messages.Resources{})
	require.NoError(t, err)
	if at == "" {
		t.Skip("no cgroup can be made here")
	}
	t.Cleanup(func() { eventually(t, "the cgroup is gone", func() bool { return gone(s, at) }) })
	return at
}

func gone(s *Spawner, at string) bool {
	s.Cgroups().Remove("a", at)
	fd, _, err := s.Cgroups().Enter(at)
	if err == nil {
		_ = syscall.Close(fd)
	}
	return err != nil
}

// escaping is an instance with a grandchild in a session of its own that has no environment, no descriptor and no
// parent of the run's.
func escaping(t *testing.T, does string) (app messages.AppInstance, pid func(t *testing.T) int) {
	file := t.TempDir() + "/pid"
	app = shell(`(env -i setsid /bin/sh -c 'echo $$ > ` + file + `; ` + does +
		`' 3>&- </dev/null >/dev/null 2>&1 &); exec sleep 300`)
	return app, func(t *testing.T) (pid int) {
		t.Helper()
		eventually(t, "it is there", func() bool {
			text, _ := os.ReadFile(file)
			_, err := fmt.Sscan(string(text), &pid)
			st, _ := kernel.Procfs("/proc").Stat(pid)
			return err == nil && st.Leads(pid) && kernel.Procfs("/proc").TagsOf(pid, make([]byte, 1<<16)).Tag == ""
		})
		t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
		return pid
	}
}

// ends sends the signals of a stop, and waits until nobody of the run lives.
func ends(t *testing.T, p actors.Process, signals ...syscall.Signal) {
	t.Helper()
	for _, sig := range signals {
		require.NoError(t, p.Signal(sig, messages.LeftoversEnd))
	}
	p.Wait()
	rest, err := p.Rest(t.Context(), nil)
	for err == nil && len(rest) > 0 {
		rest, err = p.Rest(t.Context(), rest)
	}
	require.NoError(t, err)
}

func TestWhatEscapedGroupSessionAndEnvironmentIsEndedByTheCgroupOfItsRun(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		does    string
		signals []syscall.Signal
	}{
		"it is asked": {`exec sleep 300`, []syscall.Signal{syscall.SIGTERM}},
		"it ignores what it is told": {`trap "" TERM; while :; do sleep 0.05; done`,
			[]syscall.Signal{syscall.SIGTERM, syscall.SIGKILL}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := grouped(t, stateDir(t))
			at := makes(t, s, 1)
			app, escaped := escaping(t, c.does)
			p, err := s.Spawn(t.Context(), messages.Launch{App: app, Run: 1, Port: 30001, Cgroup: at})
			require.NoError(t, err)
			pid := escaped(t)
			require.Equal(t, at, p.(actors.Grouped).Cgroup())
			ends(t, p, c.signals...)
			require.False(t, alive(pid))
			require.True(t, gone(s, at))
		})
	}
}

func TestWhatEscapedOutlivesTheManagerAndIsEndedByTheNextOne(t *testing.T) {
	t.Parallel()
	for name, leaderDies := range map[string]bool{"its run is adopted": false,
		"the first process of its run has ended meanwhile": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := stateDir(t)
			require.NotNil(t, grouped(t, stateDir(t))) // or it is skipped
			app, escaped := escaping(t, `exec sleep 300`)
			m := predecessor(t, "manager", order{Dir: dir,
				Launches: []messages.Launch{{App: app, Run: 7, Port: 30007}}}, "CGROUPS=1")
			pid := escaped(t)
			m.kill()
			if leaderDies {
				require.NoError(t, syscall.Kill(m.pids[0], syscall.SIGKILL))
				eventually(t, "it has ended", func() bool { return !alive(m.pids[0]) })
			}
			s := grouped(t, dir)
			survivors, err := s.Survivors(t.Context())
			require.NoError(t, err)
			require.Len(t, survivors, 1)
			require.True(t, survivors[0].Alive, "the run is not over")
			require.Equal(t, leaderDies, survivors[0].Outlived)
			p, err := s.Adopt(t.Context(), "a", 7)
			require.NoError(t, err)
			at := p.(actors.Grouped).Cgroup()
			require.NotEmpty(t, at)
			t.Cleanup(func() { eventually(t, "the cgroup is gone", func() bool { return gone(s, at) }) })
			ends(t, p, syscall.SIGTERM)
			require.False(t, alive(pid))
		})
	}
}

// A manager may be an instance: what it runs carries other tags, and is not ended with it.
func TestWhoShowsTheTagOfAnotherRunIsNotEndedWithTheCgroup(t *testing.T) {
	t.Parallel()
	s := grouped(t, stateDir(t))
	at := makes(t, s, 1)
	file := t.TempDir() + "/pid"
	app := shell(`(PROCMAN_RUN_TAG=another PROCMAN_INSTANCE_ID=b setsid /bin/sh -c 'echo $$ > ` +
		file + `; exec sleep 300' 3>&- >/dev/null 2>&1 &); exec sleep 300`)
	p, err := s.Spawn(t.Context(), messages.Launch{App: app, Run: 1, Port: 30001, Cgroup: at})
	require.NoError(t, err)
	var pid int
	eventually(t, "it is there", func() bool {
		text, _ := os.ReadFile(file)
		_, err := fmt.Sscan(string(text), &pid)
		// not while it executes that, when nothing is to be seen of it
		name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		return err == nil && string(name) == "sleep\n" &&
			kernel.Procfs("/proc").TagsOf(pid, make([]byte, 1<<16)).Tag == "another"
	})
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
	ends(t, p, syscall.SIGTERM, syscall.SIGKILL)
	require.True(t, alive(pid))
	require.False(t, gone(s, at), "and its cgroup stays for as long as it lives")
	require.NoError(t, s.Clear(t.Context(), app.WithDefaults()), "no start waits for it")
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
}

func TestWhatAnEarlierRunLeftInItsCgroupIsEndedBeforeAStartOrLeftAsThePolicySays(t *testing.T) {
	t.Parallel()
	s := grouped(t, stateDir(t))
	at := makes(t, s, 1)
	app, escaped := escaping(t, `exec sleep 300`)
	p, err := s.Spawn(t.Context(), messages.Launch{App: app, Run: 1, Port: 30001, Cgroup: at})
	require.NoError(t, err)
	pid := escaped(t)
	require.NoError(t, p.Signal(syscall.SIGKILL, messages.LeftoversLeave))
	p.Wait()
	require.False(t, gone(s, at), "nothing is removed in which somebody lives")
	remain, err := s.Remain()
	require.NoError(t, err)
	require.Equal(t, pid, remain["a"][0].PID)

	app = app.WithDefaults()
	app.Stop.Leftovers = messages.LeftoversLeave
	require.NoError(t, s.Clear(t.Context(), app))
	require.True(t, alive(pid))
	app.Stop.Leftovers = messages.LeftoversEnd
	var start *messages.StartError
	require.ErrorAs(t, s.Clear(t.Context(), app), &start)
	require.Equal(t, messages.FaultLocked, start.Fault)
	require.Contains(t, start.Error(), fmt.Sprintf("waits for pid %d (sleep) in the cgroup a@1 of an ended run; it "+
		"was sent TERM", pid))
	eventually(t, "it has ended, and the start goes on",
		func() bool { return s.Clear(t.Context(), app) == nil && !alive(pid) })
}

func TestTheCgroupsOfRunsThatAreOverAreRemovedByTheNextManager(t *testing.T) {
	t.Parallel()
	dir := stateDir(t)
	require.NotNil(t, grouped(t, stateDir(t))) // or it is skipped
	m := predecessor(t, "manager", order{Dir: dir,
		Launches: []messages.Launch{{App: sleeper("over"), Run: 1}, {App: sleeper("a"), Run: 2}}}, "CGROUPS=1")
	m.kill()
	require.NoError(t, syscall.Kill(m.pids[0], syscall.SIGKILL))
	eventually(t, "it has ended", func() bool { return !alive(m.pids[0]) })
	s := grouped(t, dir)
	require.NotEmpty(t, s.Cgroups().Named("over", 1))
	_, err := s.Survivors(t.Context())
	require.NoError(t, err)
	require.Empty(t, s.Cgroups().Named("over", 1))
	require.NotEmpty(t, s.Cgroups().Named("a", 2), "what lives keeps its own")
	p, err := s.Adopt(t.Context(), "a", 2)
	require.NoError(t, err)
	ends(t, p, syscall.SIGKILL)
	require.True(t, gone(s, p.(actors.Grouped).Cgroup()))
}
