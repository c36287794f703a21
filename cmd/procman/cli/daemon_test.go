package cli

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

func TestTheDaemonBringsUpWhatIsListedAndStopsItOnTERM(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "a: serve", "b: serve")
	d := s.run()
	require.Len(t, s.status().Instances, 2, "nobody is answered before the list is known")
	s.ok("start", "--all", "--wait")
	require.Len(t, s.living(), 2)
	require.True(t, s.status().Manager.Ready)
	d.signal(syscall.SIGTERM)
	require.Zero(t, d.ends())
	require.Empty(t, s.living())
	require.NoFileExists(t, filepath.Join(s.dir, "state", "procman.sock"))
	log := d.log.String()
	require.True(t, strings.HasPrefix(log, `{"time":`) &&
		strings.Contains(strings.SplitN(log, "\n", 2)[0], `"msg":"manager started"`), log)
	require.Contains(t, log, `"socket":"`+s.dir+`/state/procman.sock"`)
	require.Regexp(t, `"msg":"manager stopped","detail":"every instance was stopped"}\n$`, log)
}

func TestASecondDaemonExitsWith75AndDisturbsNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "a: serve")
	s.run()
	s.ok("start", "a", "--wait")
	before := s.instance("a")
	r := s.call("run")
	require.Equal(t, exitInUse, r.code, r.stderr)
	require.Contains(t, r.stderr, filepath.Join(s.dir, "state"))
	after := s.instance("a")
	require.Equal(t, before.PID, after.PID)
	require.Equal(t, before.Run, after.Run)
}

func TestTheNewestOnShutdownCountsAndWhatIsLeftIsAdopted(t *testing.T) {
	t.Parallel()
	s := newSite(t, "on_shutdown: stop", "a: serve")
	d := s.run()
	s.ok("start", "a", "--wait")
	pid := s.instance("a").PID
	s.write("on_shutdown: leave", "a: serve")
	require.Equal(t, "reloaded, 1 instance\n", s.ok("reload"))
	d.signal(syscall.SIGINT)
	require.Zero(t, d.ends())
	require.Equal(t, []int{pid}, s.living())

	d = s.run()
	s.ok("start", "a", "--wait")
	a := s.instance("a")
	require.Equal(t, pid, a.PID)
	require.True(t, a.Adopted)
	require.Regexp(t, `^the daemon, pid \d+, has ended, every instance was stopped\n$`, s.ok("shutdown"))
	require.Zero(t, d.ends())
	require.Empty(t, s.living())
}

func TestDetachLeavesTheInstancesRunning(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "a: serve")
	d := s.run()
	s.ok("start", "a", "--wait")
	require.Contains(t, s.ok("detach"), "run on")
	require.Zero(t, d.ends())
	require.Len(t, s.living(), 1)
	require.Equal(t, exitUnreachable, s.call("status").code)
}

func TestASecondTERMEndsTheDaemonAtOnceAndTouchesNothingMore(t *testing.T) {
	t.Parallel()
	s := newSite(t, "stop: {grace: 1h}", "a: deaf", "b: serve")
	d := s.run()
	s.ok("start", "a", "--wait")
	s.ok("restart", "b", "--wait")
	s.ok("stop", "b", "--wait")
	before := s.instance("a")
	d.signal(syscall.SIGTERM)
	s.eventually("it is stopping", func() bool { return s.instance("a").Phase == "stopping" })
	d.signal(syscall.SIGTERM)
	require.Zero(t, d.ends())
	require.Equal(t, []int{before.PID}, s.living())
	require.Contains(t, d.log.String(), "told to end a second time")
	s.run() // nothing was lost
	require.Equal(t, before.PID, s.instance("a").PID)
	require.Equal(t, messages.Stopping, s.instance("a").Phase, "it was told to end, and has an hour for that")
	require.True(t, s.instance("b").Held)
	require.Equal(t, 1, s.instance("b").Restarts)
}

func TestAShutdownThatTakesLongerThanAskedForIsATimeoutAndGoesOn(t *testing.T) {
	t.Parallel()
	s := newSite(t, "stop: {grace: 1h}", "a: deaf")
	d := s.run()
	s.ok("start", "a", "--wait")
	r := s.call("shutdown", "--timeout", "2s")
	require.Equal(t, exitTimeout, r.code)
	require.Contains(t, r.stderr, "has not ended after 2s")
	require.Contains(t, s.ok("detach"), "runs on", "a leave overtakes a stop under way")
	require.Zero(t, d.ends())
}

func TestHUPHasTheConfigurationReadAgain(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "a: serve")
	d := s.run()
	s.write("log: {level: debug}", "a: serve", "b: serve")
	d.signal(syscall.SIGHUP)
	s.eventually("b is there", func() bool { return len(s.status().Instances) == 2 })
	s.ok("start", "b", "--wait")
	require.Contains(t, d.log.String(), `"keys":"log.level"`, "what needs a new daemon is said")
}

func TestABrokenEditIsRefusedAndTheDaemonIsStillFound(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "a: serve")
	s.run()
	s.ok("start", "a", "--wait")
	s.write("nonsense: 1", "a: serve")
	r := s.call("reload")
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.stderr, s.config+":5:1: ")
	require.Contains(t, r.stderr, "^")
	r = s.call("status", "a")
	require.Zero(t, r.code)
	require.Contains(t, r.stdout, "healthy")
	require.Contains(t, r.stderr, "the configuration is broken")
}

func TestARunWithoutAUsableConfigurationSaysWhy(t *testing.T) {
	t.Parallel()
	s := newSite(t, "nonsense: 1")
	r := s.call("run")
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.stderr, s.config+":5:1: ")

	cmd := exec.Command(binary, "run")
	cmd.Dir, cmd.Env = s.dir+"/..", []string{"HOME=/nonexistent"}
	text, err := cmd.CombinedOutput()
	require.Error(t, err)
	require.Equal(t, exitFailed, cmd.ProcessState.ExitCode())
	require.Contains(t, string(text), "procman.yaml")
	require.Contains(t, string(text), "procman init")
}

func TestABlockedStderrDoesNotBlockSupervision(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "a: flood", "b: serve")
	r, w, err := os.Pipe()
	require.NoError(t, err)
	d := s.run(func(cmd *exec.Cmd) { cmd.Stderr = w })
	require.NoError(t, w.Close())
	// Nobody reads, and a floods: the pipe and the backlog are soon full.
	s.ok("start", "--all", "--wait")
	s.eventually("stderr counts as blocked, and what finds no room is dropped", func() bool {
		var forwarded float64
		_, after, found := strings.Cut(s.metrics(), "\nprocman_output_bytes_total ")
		_, err := fmt.Sscan(after, &forwarded)
		return found && err == nil && forwarded > 4<<20
	})
	for range 3 {
		s.ok("restart", "--all", "--wait")
	}
	require.Equal(t, 4, s.instance("b").Run)
	// It flows again, and says what is missing.
	lost := make(chan bool, 1)
	go func() {
		text, _ := io.ReadAll(r) // up to the end of the daemon
		lost <- strings.Contains(string(text), `"msg":"log records dropped","records":`)
	}()
	s.ok("stop", "a", "--wait")
	s.ok("shutdown")
	require.Zero(t, d.ends())
	require.True(t, <-lost)
	require.NoError(t, r.Close())
}

func TestAStderrWhoseReaderIsGoneDoesNotEndTheDaemon(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "a: serve")
	r, w, err := os.Pipe()
	require.NoError(t, err)
	d := s.run(func(cmd *exec.Cmd) { cmd.Stderr = w })
	require.NoError(t, w.Close())
	require.NoError(t, r.Close())
	s.ok("start", "a", "--wait")
	s.ok("restart", "a", "--wait")
	s.ok("shutdown")
	require.Zero(t, d.ends())
}

func TestAPartThatCannotBeHadClosesThoseBeforeIt(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	require.NoError(t, os.MkdirAll(filepath.Join(s.dir, "state", "procman.sock"), 0o700))
	r := s.call("run")
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.stderr, "not a socket")
	require.NoError(t, os.Remove(filepath.Join(s.dir, "state", "procman.sock")))
	s.run() // the state directory is not held any more
}

func TestQUITDumpsTheStacksAndLeavesTheInstancesRunning(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "a: serve")
	d := s.run()
	s.ok("start", "a", "--wait")
	d.signal(syscall.SIGQUIT)
	require.Equal(t, 2, d.ends())
	require.Contains(t, d.log.String(), "goroutine ")
	require.Len(t, s.living(), 1)
	s.run()
	s.ok("start", "a", "--wait", "--timeout", (10 * time.Second).String())
	require.True(t, s.instance("a").Adopted)
}

func TestOverTCPTheCommandLineNeedsTheToken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := l.Addr().String()
	require.NoError(t, l.Close())
	s := newSite(t, "api: {listen: '"+address+"', token_file: token, read_token_file: read}", "a: serve")
	require.NoError(t, os.WriteFile(filepath.Join(s.dir, "read"), []byte("a-reader-of-the-horse\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(s.dir, "token"), []byte("correct-horse-battery\n"), 0o600))
	d := s.run()
	s.ok("wait")

	require.Equal(t, exitUsage, s.call("--socket", "http://"+address, "status").code)
	t.Setenv("PROCMAN_TOKEN_FILE", filepath.Join(s.dir, "token"))
	require.Contains(t, s.ok("--socket", "http://"+address, "status"), "a   running")
	s.ok("--socket", "http://"+address, "restart", "a", "--wait")
	require.Contains(t, s.ok("events", "-o", "wide"), "token from 127.0.0.1: restart a")

	t.Setenv("PROCMAN_TOKEN_FILE", filepath.Join(s.dir, "read"))
	require.Contains(t, s.ok("--socket", "http://"+address, "status"), "a   running")
	require.Contains(t, s.ok("--socket", "http://"+address, "logs", "a"), "hello from stdout")
	refused := s.call("--socket", "http://"+address, "restart", "a", "--wait")
	require.Equal(t, exitFailed, refused.code)
	require.Contains(t, refused.stderr, "with which nothing can be changed")
	require.Equal(t, 2, s.instance("a").Run)

	require.NoError(t, os.WriteFile(filepath.Join(s.dir, "wrong"), []byte("battery-staple-horse"), 0o600))
	t.Setenv("PROCMAN_TOKEN_FILE", filepath.Join(s.dir, "wrong"))
	r := s.call("--socket", "http://"+address, "status")
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.stderr, "the token is missing or wrong")
	require.NotContains(t, d.log.String(), "correct-horse")
}
