package cli

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"procman/messages"
	"procman/test/fake"
)

// installed has the daemon run from a binary of its own, which may be replaced.
func installed(t *testing.T, s *site) (path string, run func(*exec.Cmd)) {
	t.Helper()
	path = filepath.Join(s.dir, "procman")
	install(t, path, binary)
	return path, func(cmd *exec.Cmd) { cmd.Path = path }
}

// install puts a copy of a program in the place of another, as a package manager does.
func install(t *testing.T, path, program string) {
	t.Helper()
	text, err := os.ReadFile(program)
	require.NoError(t, err)
	require.NoError(t, fake.Executable(path+".new", text))
	require.NoError(t, os.Rename(path+".new", path))
}

func TestAnUpgradeUnderLoadFailsNoRequestAndChangesNoPid(t *testing.T) {
	s := newSite(t, "restart: {initial: 50ms}", "a: serve", "b: serve", "c: serve", "held: serve")
	path, own := installed(t, s)
	r := s.run(own)
	s.ok("start", "--all", "--wait")
	s.ok("stop", "held", "--wait")
	require.NoError(t, syscall.Kill(s.instance("c").PID, syscall.SIGKILL)) // a restart to be remembered
	s.eventually("c is back",
		func() bool { return s.instance("c").Restarts == 1 && s.instance("c").Health == messages.Healthy })
	before := s.status()

	var load sync.WaitGroup
	var requests, failed atomic.Int64
	stop := make(chan struct{})
	for _, i := range before.Instances {
		if i.Port == 0 {
			continue
		}
		load.Go(func() {
			client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			for {
				select {
				case <-stop:
					return
				default:
				}
				requests.Add(1)
				response, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/api/status", i.Port))
				if err != nil || response.StatusCode != http.StatusOK {
					failed.Add(1)
					continue
				}
				_ = response.Body.Close()
			}
		})
	}
	for range 3 {
		install(t, path, binary)
		require.Contains(t, s.ok("upgrade"), fmt.Sprintf("the daemon, pid %d, was", r.cmd.Process.Pid))
	}
	close(stop)
	load.Wait()
	require.Zero(t, failed.Load(), "of %d requests", requests.Load())
	require.Greater(t, requests.Load(), int64(50))
	t.Logf("%d requests, %d failed", requests.Load(), failed.Load())

	after := s.status()
	require.Equal(t, before.Manager.PID, after.Manager.PID)
	require.Equal(t, r.cmd.Process.Pid, after.Manager.PID)
	require.True(t, after.Manager.StartedAt.After(before.Manager.StartedAt))
	for n, b := range before.Instances {
		a := after.Instances[n]
		require.Equal(t, b.PID, a.PID, b.ID)
		require.Equal(t, b.Port, a.Port, b.ID)
		require.Equal(t, b.Phase, a.Phase, b.ID)
		require.Equal(t, b.Restarts, a.Restarts, b.ID)
		require.Equal(t, b.Held, a.Held, b.ID)
		require.Equal(t, b.LastExit == nil, a.LastExit == nil, b.ID)
	}
	// They are still its children: their status is exact, and none is left a zombie.
	require.NoError(t, syscall.Kill(s.instance("a").PID, syscall.SIGTERM))
	s.eventually("a is back",
		func() bool { return s.instance("a").Restarts == 1 && s.instance("a").Health == messages.Healthy })
	require.Equal(t, "TERM", s.instance("a").LastExit.Signal)
	_, err := os.Stat(fmt.Sprintf("/proc/%d", before.Instances[0].PID))
	require.ErrorIs(t, err, os.ErrNotExist, "reaped")
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", s.instance("a").PID))
	require.NoError(t, err)
	require.NotContains(t, string(environ), "PROCMAN_LOCK_FD")

	r.signal(syscall.SIGTERM)
	require.Zero(t, r.ends())
	require.Empty(t, s.living())
}

func TestABinaryThatCannotTakeOverLeavesTheDaemonAsItIs(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "a: serve")
	path, own := installed(t, s)
	r := s.run(own)
	s.ok("start", "--all", "--wait")
	before := s.status()

	for _, c := range [][2]string{
		{"it fails", "#!/bin/sh\necho no such luck >&2\necho goroutine 1 >&2\nexit 3\n"},
		{"it says nothing", "#!/bin/sh\nexit 0\n"},
		{"it is no program", "\x7fELF nonsense"},
		{"it has no interpreter", "#!/nonexistent/interpreter\n"},
		{"it takes over and then no", "#!/bin/sh\n[ \"$1\" = preflight ] && { echo procman can take over; : > " +
			path + "; }\n"},
	} {
		name, script := c[0], c[1]
		program := filepath.Join(s.dir, "candidate")
		require.NoError(t, os.WriteFile(program, []byte(script), 0o700))
		install(t, path, program)
		patience := "1m"
		if strings.HasPrefix(name, "it takes over") {
			patience = "3s" // there is nobody to wait for
		}
		answer := s.call("upgrade", "--timeout", patience)
		if strings.HasPrefix(name, "it takes over") {
			// The exec itself fails: the daemon has let go of everything, and takes it up again.
			require.Contains(t, answer.stdout+answer.stderr, "pid", name)
			s.eventually("it says so",
				func() bool { return strings.Contains(r.log.String(), "the upgrade has failed") })
		} else {
			require.Equal(t, 1, answer.code, name)
			require.Contains(t, answer.stderr, "cannot take over, and nothing was changed", name)
			require.NotContains(t, answer.stderr, "goroutine 1", "the first line of a dump is enough")
			require.Equal(t, before.Manager.StartedAt, s.status().Manager.StartedAt, name)
		}
		s.eventually("it answers", func() bool { return s.call("status", "a").code == 0 })
		require.Equal(t, before.Instances[0].PID, s.instance("a").PID, name)
	}

	// And one that knows nothing of the records in the state directory.
	install(t, path, binary)
	record := filepath.Join(s.dir, "state", "instances", "a", "memory.json")
	text, err := os.ReadFile(record)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(record, []byte(strings.Replace(string(text), `"schema":1`, `"schema":2`, 1)),
		0o600))
	answer := s.call("upgrade")
	require.Equal(t, 1, answer.code)
	require.Contains(t, answer.stderr, "another version of procman")

	install(t, path, binary)
	require.NoError(t, os.WriteFile(record, text, 0o600))
	s.ok("upgrade")
	r.signal(syscall.SIGTERM)
	require.Zero(t, r.ends())
}

func TestADaemonThatIsEndingIsNotUpgraded(t *testing.T) {
	t.Parallel()
	s := newSite(t, "stop: {grace: 2m}", "a: deaf")
	d := s.run()
	s.ok("start", "a", "--wait")
	pid := s.instance("a").PID
	d.signal(syscall.SIGTERM)
	s.eventually("it is stopping", func() bool { return s.instance("a").Phase == messages.Stopping })
	require.NotZero(t, s.call("upgrade", "--timeout", "1s").code)
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	require.Zero(t, d.ends(), "it ends, and no other comes in its place")
	require.Contains(t, d.log.String(), "no upgrade: the manager is ending")
	require.Empty(t, s.living())
}
