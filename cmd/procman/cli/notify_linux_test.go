package cli

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

func TestTheServiceManagerIsToldOfTheStartEachReloadAndTheEnd(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "a: serve", "b: serve")
	m := newServiceManager(s)
	d := s.run(m.starts)
	m.await(0, "READY", "1")
	for _, before := range m.heard(0) {
		if field(before.state, "READY") == "1" {
			break
		}
		require.Equal(t, "STATUS=looking for what an earlier daemon left running", before.state)
	}
	m.await(0, "STATUS", "2 of 2 instances healthy")

	require.Equal(t, "2 of 2 instances healthy", m.reloads(d))
	s.write("nonsense: 1", "a: serve", "b: serve")
	status := m.reloads(d)
	require.Contains(t, status, "2 of 2 instances healthy; configuration rejected, the last good one is in force: "+
		s.config+":5:1: ")
	require.Equal(t, status, m.reloads(d), "and again")
	s.write("", "a: serve", "b: serve", "c: serve")
	require.NotContains(t, m.reloads(d), "rejected")
	require.Len(t, s.status().Instances, 3, "it is ready when the reload is in force")
	require.Contains(t, d.log.String(), `"by":"signal HUP"`)
	s.ok("stop", "c", "--wait")
	m.await(0, "STATUS", "2 of 3 instances healthy, 1 held")

	from := m.now()
	d.signal(syscall.SIGTERM)
	require.Zero(t, d.ends())
	stopping := m.await(from, "STOPPING", "1").state
	require.Equal(t, "30000000", field(stopping, "EXTEND_TIMEOUT_USEC"))
	require.Regexp(t, `^stopping, \d of 3 instances still running$`, field(stopping, "STATUS"))
	for _, said := range m.heard(from) {
		require.Empty(t, field(said.state, "READY"), "it does not come back")
	}
}

func TestAnUpgradeIsAReloadForTheServiceManagerAndTheStoreDoesNotGrow(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "a: serve", "b: serve")
	m := newServiceManager(s)
	m.watchdog = time.Minute
	path, own := installed(t, s)
	d := s.run(own, m.starts)
	s.ok("start", "--all", "--wait")
	pids := s.living()
	for range 2 {
		from := m.now()
		install(t, path, binary)
		s.ok("upgrade")
		require.Contains(t, field(m.await(from, "RELOADING", "1").state, "STATUS"),
			"making room for the binary on disk")
		require.NotEmpty(t, field(m.await(from, "RELOADING", "1").state, "MONOTONIC_USEC"))
		m.await(from, "READY", "1")
		m.await(from, "WATCHDOG", "1")
		for _, said := range m.heard(from) {
			require.Empty(t, field(said.state, "STOPPING"), "the unit must not be taken for stopping")
		}
	}
	require.ElementsMatch(t, pids, s.living())
	s.eventually("each process is kept once", func() bool { return m.keeps() == 2 })
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", d.cmd.Process.Pid))
	require.NoError(t, err)
	require.Contains(t, string(environ), "NOTIFY_SOCKET="+m.socket)

	d.signal(syscall.SIGKILL) // and what is kept is of use
	d.ends()
	s.run(m.starts)
	require.ElementsMatch(t, pids, s.living())
	s.eventually("each process is kept once", func() bool { return m.keeps() == 2 })
}

func TestAHangIsEndedByTheWatchdogAndTheNextDaemonAdoptsAll(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "a: serve", "b: serve")
	m := newServiceManager(s)
	m.watchdog = 600 * time.Millisecond
	d := s.run(m.starts)
	s.ok("start", "--all", "--wait")
	pids := s.living()
	pings := func(from int) (at []time.Time) {
		for _, said := range m.heard(from) {
			if field(said.state, "WATCHDOG") == "1" {
				at = append(at, said.at)
			}
		}
		return at
	}
	s.eventually("several signs of life", func() bool { return len(pings(0)) >= 4 })
	at := pings(0)
	mean := at[len(at)-1].Sub(at[0]) / time.Duration(len(at)-1)
	require.InDelta(t, m.watchdog/2, mean, float64(m.watchdog)/4)

	d.signal(syscall.SIGSTOP)
	m.outlasted()
	from := m.now()
	d.signal(syscall.SIGKILL) // ABRT first, which a stopped process does not hear
	d.ends()
	require.Empty(t, pings(from))
	s.run(m.starts)
	m.await(from, "READY", "1")
	require.ElementsMatch(t, pids, s.living())
	for _, id := range []string{"a", "b"} {
		require.True(t, s.instance(id).Adopted)
		require.Equal(t, messages.Running, s.instance(id).Phase)
	}
	s.eventually("it lives", func() bool { return len(pings(from)) > 0 })
}

func TestABRTPrintsTheStacksAndTouchesNoInstance(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "a: serve")
	m := newServiceManager(s)
	d := s.run(m.starts)
	s.ok("start", "--all", "--wait")
	pids := s.living()
	d.signal(syscall.SIGABRT)
	require.NotZero(t, d.ends(), "or it would not be started again")
	require.Contains(t, d.log.String(), "goroutine ")
	require.Equal(t, pids, s.living())
}

// The unit files, as far as they decide what becomes of the instances, played by the stand-in.
func TestTheUnitsKeepInstancesAliveOverWhateverBecomesOfTheDaemon(t *testing.T) {
	t.Parallel()
	for _, u := range units(t) {
		for key, value := range map[string]string{
			"Type": "notify-reload", "KillMode": "process", "OOMPolicy": "continue", "Restart": "always",
			"RestartPreventExitStatus":    "0",
			"FileDescriptorStorePreserve": "yes", "StartLimitIntervalSec": "0", "TimeoutStartFailureMode": "abort",
			"TasksMax": "infinity",
		} {
			require.Equal(t, value, u.value(key), "%s: %s", u.path, key)
		}
		for _, key := range []string{"ExecReload", "ExecStop", "PrivateTmp", "ProtectSystem", "ProtectHome",
			"PrivateDevices", "DynamicUser",
			"ProtectProc", "MemoryDenyWriteExecute", "PIDFile", "RemainAfterExit"} {
			require.Empty(t, u.value(key), "%s: %s", u.path, key)
		}
		program := strings.Fields(u.value("ExecStart"))
		require.Equal(t, []string{"run", "-c", "%E/procman/procman.yaml"}, program[1:])
	}

	s := newSite(t, "on_shutdown: leave", "a: serve", "b: serve")
	m := newServiceManager(s)
	d := s.run(m.starts)
	s.ok("start", "--all", "--wait")
	pids := s.living()

	d.signal(syscall.SIGKILL) // Restart=always
	d.ends()
	d = s.run(m.starts)
	require.ElementsMatch(t, pids, s.living())

	from := m.now()
	d.signal(syscall.SIGTERM) // systemctl restart: KillMode=process
	require.Zero(t, d.ends())
	require.Equal(t, "ending, 2 instances left running", field(m.await(from, "STOPPING", "1").state, "STATUS"))
	require.ElementsMatch(t, pids, s.living())
	require.Equal(t, 2, m.keeps(), "FileDescriptorStorePreserve=yes")
	from = m.now()
	d = s.run(m.starts)
	require.ElementsMatch(t, pids, s.living())
	m.await(from, "READY", "1") // systemctl reloads a unit that is active

	s.write("on_shutdown: stop", "a: serve", "b: serve")
	m.reloads(d)
	d.signal(syscall.SIGTERM)
	require.Zero(t, d.ends(), "RestartPreventExitStatus=0")
	require.Empty(t, s.living())
}
