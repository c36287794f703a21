package cli

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// releases are directories with a program each, and the name by which one of them is called.
func releases(t *testing.T, s *site, named string, names ...string) (path func(string) string, point func(string)) {
	t.Helper()
	path = func(name string) string { return filepath.Join(s.dir, name, "procman") }
	for _, name := range names {
		require.NoError(t, os.MkdirAll(filepath.Join(s.dir, name), 0o700))
		install(t, path(name), binary)
	}
	link := filepath.Join(s.dir, named)
	require.NoError(t, os.MkdirAll(filepath.Dir(link), 0o700))
	return path, func(to string) {
		require.NoError(t, os.Symlink(to, link+".new"))
		require.NoError(t, os.Rename(link+".new", link))
	}
}

func running1(t *testing.T, pid int) string {
	t.Helper()
	path, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	require.NoError(t, err)
	return path
}

// F111
func TestAnUpgradeFollowsTheLinkByWhichTheDaemonWasCalled(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "a: serve")
	path, point := releases(t, s, "bin/procman", "one", "two")
	point(path("one"))
	d := s.run(func(cmd *exec.Cmd) {
		cmd.Path = filepath.Join(s.dir, "bin/procman")
		cmd.Args[0] = "bin/procman" // as a shell calls it
		cmd.Dir = s.dir
	})
	s.ok("start", "a", "--wait")
	pid := s.instance("a").PID

	point(path("two"))
	require.Contains(t, s.ok("upgrade"), "it executed "+path("two"))
	require.Equal(t, path("two"), running1(t, d.cmd.Process.Pid))
	require.Equal(t, path("two"), s.status().Manager.Program)

	require.NoError(t, os.RemoveAll(filepath.Dir(path("two"))))
	point(path("one"))
	require.Contains(t, s.ok("upgrade"), "it executed "+path("one"),
		"the program that runs is gone, and its name means another")

	require.NoError(t, os.Remove(filepath.Join(s.dir, "bin/procman")))
	require.Contains(t, s.ok("upgrade"), "it executed "+path("one"), "the name is gone: the file that runs")
	require.NoError(t, os.RemoveAll(filepath.Dir(path("one"))))
	r := s.call("upgrade")
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.stderr, "cannot be found, so nothing was changed")
	require.Equal(t, pid, s.instance("a").PID)
}

// F111
func TestASuccessorReadsTheConfigurationThatWasInForceAlthoughTheDirectoryWasMoved(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "a: serve")
	text, err := os.ReadFile(s.config)
	require.NoError(t, err)
	shared := strings.Replace(string(text), "state_dir: state", "state_dir: "+s.dir+"/state", 1)
	for _, r := range []string{"r1", "r2"} {
		require.NoError(t, os.MkdirAll(filepath.Join(s.dir, r), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(s.dir, r, "procman.yaml"),
			[]byte(shared+"    labels: {release: "+r+"}\n    work_dir: "+s.dir+"\n    args: [-port, '{port}']\n"),
			0o600))
	}
	current := filepath.Join(s.dir, "current")
	require.NoError(t, os.Symlink("r1", current))
	s.config = filepath.Join(current, "procman.yaml")
	d := s.run(func(cmd *exec.Cmd) {
		cmd.Args = []string{cmd.Args[0], "run", "-c", "procman.yaml", "--socket", "../state/procman.sock"}
		cmd.Dir = current
		cmd.Env = append(os.Environ(), "PWD="+current)
	})
	s.ok("start", "a", "--wait")
	pid := s.instance("a").PID
	require.Equal(t, "r1", s.instance("a").Labels["release"])

	require.NoError(t, os.Symlink("r2", current+".new"))
	require.NoError(t, os.Rename(current+".new", current))
	s.eventually("the next release is in force",
		func() bool { s.ok("reload"); return s.instance("a").Labels["release"] == "r2" })
	require.NoError(t, os.RemoveAll(filepath.Join(s.dir, "r1")), "the daemon's working directory")
	s.ok("upgrade")
	require.Equal(t, "r2", s.instance("a").Labels["release"])
	require.Equal(t, pid, s.instance("a").PID)
	require.Equal(t, s.config, s.status().Manager.Config)
	require.Equal(t, d.cmd.Process.Pid, s.status().Manager.PID)
}

func TestAnUpgradeThatCannotKeepTheStateDirectoryIsRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "a: serve")
	s.run()
	socket := filepath.Join(s.dir, "state", "procman.sock")
	text, err := os.ReadFile(s.config)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(s.config, []byte(strings.Replace(string(text), "state_dir: state",
		"state_dir: other", 1)), 0o600))
	r := s.call("upgrade", "--socket", socket)
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.stderr, "put state_dir back")
	require.Zero(t, s.call("status", "--socket", socket).code)
}

// F112
func TestAHangupDuringUpgradesDoesNotEndTheDaemon(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "a: serve")
	d := s.run()
	s.ok("start", "a", "--wait")
	pid := s.instance("a").PID
	for _, signal := range []string{"SigBlk", "SigIgn"} {
		require.Zero(t, signalSet(t, pid, signal), "%s of a child", signal)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(200 * time.Microsecond):
				_ = d.cmd.Process.Signal(syscall.SIGHUP) // that it has ended is found out below
			}
		}
	}()
	for range 5 {
		s.ok("upgrade")
	}
	close(stop)
	<-stopped
	require.Equal(t, pid, s.instance("a").PID)
	s.ok("restart", "a", "--wait")
	require.Zero(t, signalSet(t, s.instance("a").PID, "SigBlk"), "a child of a successor can be told to end")
}

// F112: before the successor has handlers a signal ends the daemon's process. The guard goes on with it.
func TestATermAtAnyTimeOfAnUpgradeEndsTheDaemonAsOnShutdownSays(t *testing.T) {
	t.Parallel()
	rounds, _ := strconv.Atoi(os.Getenv("PROCMAN_UPGRADE_ROUNDS"))
	if rounds == 0 {
		rounds = 2
	}
	for _, mode := range []string{"stop", "leave"} {
		s := newSite(t, "on_shutdown: "+mode, "a: serve", "b: serve")
		for range rounds {
			d := s.run()
			s.ok("start", "--all", "--wait")
			pids := []int{s.instance("a").PID, s.instance("b").PID}
			upgrade := exec.Command(binary, "-c", s.config, "upgrade", "--timeout", "3s")
			require.NoError(t, upgrade.Start())
			// The exec is seen by its command line, on which the configuration comes after the command.
			exact := rand.IntN(4) > 0
			for late := time.Now().Add(2 * time.Second); exact && time.Now().Before(late); {
				line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", d.cmd.Process.Pid))
				if strings.Contains(string(line), "run\x00--config=") {
					break
				}
			}
			time.Sleep(time.Duration(rand.IntN(60)) * time.Millisecond)
			d.signal([]os.Signal{syscall.SIGTERM, syscall.SIGINT}[rand.IntN(2)])
			code := d.ends()
			_ = upgrade.Wait() // it may or may not have come to its end
			s.eventually("nothing of procman is left", func() bool { return len(s.procmans()) == 0 })
			t.Logf("on_shutdown %s: code %d, guard: %v", mode,
				code, strings.Contains(d.log.String(), "goes on in its place"))
			if mode == "stop" {
				require.Empty(t, s.living(), d.log.String())
				continue
			}
			require.ElementsMatch(t, pids, s.living(), "they run on, and nothing else")
		}
	}
}

// F112: what a successor finds that cannot begin.
func TestASuccessorThatCrashesIsReplacedByItsGuard(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "a: serve")
	log, err := os.Create(filepath.Join(s.dir, "log")) // a pipe would stay open with the guard
	require.NoError(t, err)
	defer log.Close()
	d := s.run(func(cmd *exec.Cmd) { cmd.Stderr = log })
	s.ok("start", "a", "--wait")
	pid := s.instance("a").PID
	upgrade := exec.Command(binary, "-c", s.config, "upgrade", "--timeout", "3s")
	require.NoError(t, upgrade.Start())
	s.eventually("it is executed", func() bool {
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", d.cmd.Process.Pid))
		return strings.Contains(string(line), "run\x00--config=")
	})
	d.signal(syscall.SIGABRT)
	d.ends()
	_ = upgrade.Wait() // the process that it watches has ended
	s.eventually("the guard is the daemon", func() bool { return s.call("status").code == 0 })
	require.Equal(t, pid, s.instance("a").PID)
	now := s.status().Manager.PID
	require.NotEqual(t, d.cmd.Process.Pid, now)
	text, err := os.ReadFile(log.Name())
	require.NoError(t, err)
	require.Contains(t, string(text), "goes on in its place")
	s.ok("shutdown")
	s.eventually("nothing is left", func() bool { return len(s.procmans()) == 0 && len(s.living()) == 0 })
}

func TestAnUpgradeLeavesNoGuard(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "a: serve")
	d := s.run()
	s.ok("upgrade")
	s.eventually("the guard is gone, and no zombie", func() bool {
		children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", d.cmd.Process.Pid))
		return err == nil && len(s.procmans()) == 1 && len(strings.Fields(string(children))) == 1
	})
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", s.instance("a").PID))
	require.NoError(t, err)
	require.NotContains(t, string(environ), "PROCMAN_GUARD")
}

// procmans returns the pids of the daemons, and what is about to be one, by this configuration.
func (s *site) procmans() (pids []int) {
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(s.t, err)
	for _, path := range all {
		line, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(line), s.config) {
			continue
		}
		var pid int
		_, err = fmt.Sscanf(path, "/proc/%d/cmdline", &pid)
		require.NoError(s.t, err)
		pids = append(pids, pid)
	}
	return pids
}

func signalSet(t *testing.T, pid int, which string) uint64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(text), which+":")
	require.True(t, found)
	line, _, _ := strings.Cut(rest, "\n")
	set, err := strconv.ParseUint(strings.TrimSpace(line), 16, 64)
	require.NoError(t, err)
	return set
}
