package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"procman/messages"
)

func TestTheServiceManagerHearsOfEveryStage(t *testing.T) {
	s := newSite(t, "", "a: serve", "b: serve")
	m := newServiceManager(t, s.dir)
	r := s.run(m.starts)
	early := func(state string) {
		require.NotContains(t, state, "READY", "not before the list is in force")
	}
	ready := m.hears("READY=1\nSTATUS=", early)
	require.Regexp(t, `STATUS=\d of 2 instances healthy`, ready)
	require.Equal(t, "STATUS=2 of 2 instances healthy", m.hears("STATUS=2 of 2", nil))
	s.ok("stop", "b", "--wait")
	require.Equal(t, "STATUS=1 of 2 instances healthy, 1 held", m.hears("STATUS=1 of 2 instances healthy, 1 held", nil))

	// systemctl reload.
	before := monotonic(t)
	r.signal(syscall.SIGHUP)
	reloading := m.hears("RELOADING=1\nMONOTONIC_USEC=", nil)
	usec, err := strconv.ParseInt(strings.Fields(strings.ReplaceAll(strings.Split(reloading, "\n")[1], "=", " "))[1], 10, 64)
	require.NoError(t, err)
	require.GreaterOrEqual(t, usec, before)
	require.LessOrEqual(t, usec, monotonic(t))
	require.Equal(t, "READY=1\nSTATUS=1 of 2 instances healthy, 1 held", m.hears("READY=1\n", nil))

	// And of a file that is broken.
	require.NoError(t, os.WriteFile(s.config, []byte("state_dir: state\nbogus: 1\ninstances: []\n"), 0o600))
	r.signal(syscall.SIGHUP)
	m.hears("RELOADING=1\n", nil)
	said := m.hears("READY=1\n", nil)
	require.Contains(t, said, "STATUS=the configuration was rejected, and the last good one is in force: "+s.config+":2:1: ")
	require.Equal(t, 2, len(strings.Split(said, "\n")), "one line each: %q", said)

	r.signal(syscall.SIGTERM)
	require.Equal(t, "STOPPING=1\nSTATUS=stopping, every instance is stopped\nEXTEND_TIMEOUT_USEC=30000000", m.hears("STOPPING=1", nil))
	require.Zero(t, r.ends())
}

func monotonic(t *testing.T) int64 {
	var now unix.Timespec
	require.NoError(t, unix.ClockGettime(unix.CLOCK_MONOTONIC, &now))
	return now.Nano() / 1000
}

func TestTheWatchdogIsServedWhileTheRootAnswersAndNotByAFrozenDaemon(t *testing.T) {
	s := newSite(t, "", "a: serve")
	m := newServiceManager(t, s.dir)
	t.Setenv("WATCHDOG_USEC", "200000")
	r := s.run(m.starts)
	s.ok("wait")
	for range 3 {
		m.hears("WATCHDOG=1", nil)
	}
	pid := s.instance("a").PID
	r.signal(syscall.SIGSTOP)
	time.Sleep(50 * time.Millisecond) // what was on its way has arrived
	for len(m.heard) > 0 {
		<-m.heard
	}
	select {
	case n := <-m.heard:
		require.Fail(t, "a frozen daemon says", n.state)
	case <-time.After(500 * time.Millisecond): // the service manager gives up
	}
	require.NoError(t, r.cmd.Process.Kill()) // as it does then, by KillMode=process: the main process and no other
	<-r.done
	s.run(m.starts)
	m.hears("READY=1", nil)
	s.ok("wait")
	require.Equal(t, pid, s.instance("a").PID, "and the next daemon adopts")
}

func TestAnUpgradeIsNoEndToTheServiceManager(t *testing.T) {
	s := newSite(t, "", "a: serve")
	m := newServiceManager(t, s.dir)
	r := s.run(m.starts)
	m.hears("READY=1", nil)
	s.ok("wait")
	s.ok("upgrade")
	never := func(state string) { require.NotContains(t, state, "STOPPING") }
	m.hears("RELOADING=1\nMONOTONIC_USEC=", never)
	m.hears("READY=1", never)
	r.signal(syscall.SIGTERM)
	require.Zero(t, r.ends())
}

func TestNothingOfTheServiceManagerReachesAnInstance(t *testing.T) {
	s := newSite(t, "", "a: serve")
	m := newServiceManager(t, s.dir)
	t.Setenv("WATCHDOG_USEC", "30000000")
	s.run(m.starts)
	s.ok("wait")
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", s.instance("a").PID))
	require.NoError(t, err)
	for _, name := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID"} {
		require.NotContains(t, string(env), name+"=")
	}
}

// unit reads the settings of a unit file.
func unit(t *testing.T, path string) map[string]string {
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	settings := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^(\w+)=(.*)$`).FindAllStringSubmatch(string(text), -1) {
		require.NotContains(t, settings, m[1], "said twice")
		settings[m[1]] = m[2]
	}
	return settings
}

var units = []string{"deploy/procman.service", "deploy/user/procman.service"}

// The stand-in does what systemd does by the settings: what the unit says is what decides here.
func TestTheUnitsLetInstancesOutliveTheDaemon(t *testing.T) {
	for _, path := range units {
		u := unit(t, path)
		require.Equal(t, "notify-reload", u["Type"])
		require.NotContains(t, u, "ExecReload", "the type does that")
		require.Equal(t, "always", u["Restart"])
		require.Equal(t, "0", u["StartLimitIntervalSec"])
		require.Equal(t, "continue", u["OOMPolicy"])
		store, err := strconv.Atoi(u["FileDescriptorStoreMax"])
		require.NoError(t, err)
		for name := range u {
			require.NotContains(t, []string{"PrivateTmp", "ProtectSystem", "ProtectHome", "PrivateDevices", "ReadWritePaths"}, name, "another mount namespace at each start")
		}

		s := newSite(t, "", "a: serve", "b: serve")
		m := newServiceManager(t, s.dir)
		r := s.run(m.starts)
		s.ok("wait")
		s.eventually("the handles are stored", func() bool { return m.listen() == 2 })
		require.LessOrEqual(t, len(m.kept), store)
		pids := []int{s.instance("a").PID, s.instance("b").PID}

		crash(t, u, r) // and b dies while there is no daemon
		require.NoError(t, syscall.Kill(pids[1], syscall.SIGTERM))
		s.run(m.starts)
		s.ok("wait")
		require.Equal(t, pids[0], s.instance("a").PID)
		require.Equal(t, "killed by TERM", s.instance("b").LastExit.String(), "by the handle that was stored")
	}
}

// crash ends the daemon as the service manager sees it end: by KillMode the rest of the unit goes along, or not.
func crash(t *testing.T, u map[string]string, r *running) {
	require.NoError(t, r.cmd.Process.Kill())
	<-r.done
	if u["KillMode"] != "process" {
		for _, pid := range r.living() {
			require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
		}
	}
}

func TestSystemdHasNothingToSayAboutTheUnits(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	for _, path := range units[:1] { // the other needs a user's service manager
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		copied := filepath.Join(t.TempDir(), "procman.service")
		text = regexp.MustCompile(`ExecStart=\S+`).ReplaceAll(text, []byte("ExecStart="+binary))
		require.NoError(t, os.WriteFile(copied, regexp.MustCompile(`(?m)^Documentation=.*`).ReplaceAll(text, nil), 0o600))
		out, _ := exec.Command(analyze, "verify", "--man=no", copied).CombinedOutput() // what it says is what counts
		for line := range strings.Lines(string(out)) {
			// Before systemd 253 the type is not known.
			if strings.HasPrefix(line, copied) && !strings.Contains(line, "notify-reload") {
				require.Fail(t, line)
			}
		}
	}
}

func TestTheSummaryCountsEveryInstanceOnce(t *testing.T) {
	require.Equal(t, "1 of 7 instances healthy, 1 not healthy, 1 backoff, 1 failed, 1 stopped, 1 held, 1 disabled", summary([]messages.Status{
		{Phase: messages.Running, Health: messages.Healthy}, {Phase: messages.Running, Health: messages.NotHealthy}, {Phase: messages.Backoff},
		{Phase: messages.Failed}, {Phase: messages.Stopped}, {Phase: messages.Stopped, Held: true}, {Phase: messages.Stopped, Disabled: true}}))
}
