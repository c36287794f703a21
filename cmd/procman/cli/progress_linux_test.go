package cli

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"procman/messages"
	"procman/test/fake"
)

// openTerminal makes a terminal: what is written to the slave is seen until all who have it open have closed it.
func openTerminal(t *testing.T) (slave *os.File, seen *fake.Journal, closed chan struct{}) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	require.NoError(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	seen, closed = &fake.Journal{}, make(chan struct{})
	go func() {
		defer close(closed)
		part := make([]byte, 4096)
		for {
			n, err := master.Read(part)
			_, _ = seen.Write(part[:n]) // it is kept in memory
			if err != nil {
				_ = master.Close() // the last who had it open has ended
				return
			}
		}
	}()
	return slave, seen, closed
}

// onTerminal runs the real program with its stderr on a terminal of its own, and returns what was seen there until it
// ended. If there is something to be done as soon as something is seen, it is.
func (s *site) onTerminal(args ...string) (code int, stdout, seen string) {
	s.t.Helper()
	return s.onTerminalUntil(nil, nil, args...)
}

func (s *site) onTerminalUntil(sees func(seen string) bool, then func(), args ...string) (code int,
	stdout, seen string) {
	s.t.Helper()
	slave, screen, closed := openTerminal(s.t)
	cmd := exec.Command(binary, append([]string{"-c", s.config}, args...)...)
	cmd.Env = append(os.Environ(), "TERM=xterm")
	var out fake.Journal
	cmd.Stdout, cmd.Stderr = &out, slave
	require.NoError(s.t, cmd.Start())
	require.NoError(s.t, slave.Close())
	if sees != nil {
		s.eventually("it is seen", func() bool { return sees(screen.String()) })
		then()
	}
	_ = cmd.Wait() // its code is what counts
	<-closed
	return cmd.ProcessState.ExitCode(), out.String(), screen.String()
}

func TestOnATerminalWhatTakesLongIsOneLineDrawnInPlace(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "mute: mute", "web: serve", "poor: fail; restart: {mode: never}")
	s.run()
	code, stdout, seen := s.onTerminal("wait", "--timeout", "8s")
	require.Equal(t, exitNotHealthy, code)
	require.Contains(t, stdout, "web: it is running and healthy")
	require.Regexp(t, `1 of 3 healthy, 1 failed, slowest mute \d+s`, seen)
	require.NotContains(t, strings.Split(seen, "procman: mute")[0], "\n", "in place, and gone before anything is said")

	_, _, seen = s.onTerminal("wait", "--timeout", "2s", "-q")
	require.NotContains(t, seen, "of 3")
	_, _, seen = s.onTerminal("wait", "--timeout", "2s", "-o", "jsonl")
	require.NotContains(t, seen, "of 3")
	require.NotContains(t, s.call("wait", "--timeout", "2s").stderr, "of 3", "piped")
}

func TestOnATerminalAShutdownTellsWhoIsLeft(t *testing.T) {
	t.Parallel()
	s := newSite(t, "stop: {grace: 5s}", "deaf: deaf", "web: serve")
	s.run()
	s.ok("start", "--all", "--wait")
	code, _, seen := s.onTerminal("shutdown")
	require.Zero(t, code, seen)
	require.Regexp(t, `1 of 2 stopped, slowest deaf \d+s`, seen)
}

func TestOnATerminalEveryCommandThatTakesLongDrawsItsLine(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "mute: mute", "web: serve")
	path, own := installed(t, s)
	s.run(own)
	s.ok("start", "web", "--wait")
	for _, args := range [][]string{
		{"restart", "--all", "--wait", "--timeout", "3s"},
		{"start", "--all", "--wait", "--timeout", "3s"},
	} {
		_, _, seen := s.onTerminal(args...)
		require.Regexp(t, `\d of 2 \w+, slowest mute \d+s`, seen, "%v", args)
		require.NotContains(t, strings.Split(seen, "procman: mute")[0], "\n", "%v", args)
		require.NotContains(t, s.call(args...).stderr, "of 2", "%v piped", args)
	}

	// The new daemon comes when it was seen that it is waited for.
	goes := filepath.Join(s.dir, "goes")
	slow := filepath.Join(s.dir, "slow")
	require.NoError(t, os.WriteFile(slow, []byte("#!/bin/sh\n[ \"$1\" = preflight ] || while [ ! -e "+
		goes+" ]; do sleep 0.05; done\nexec "+binary+" \"$@\"\n"), 0o700))
	install(t, path, slow)
	code, stdout, seen := s.onTerminalUntil(
		func(seen string) bool { return strings.Contains(seen, "the new daemon takes over, ") },
		func() { require.NoError(t, os.WriteFile(goes, nil, 0o600)) }, "upgrade")
	require.Zero(t, code, seen)
	require.Contains(t, stdout, "the daemon, pid ")
	require.NotContains(t, seen, "\n", "nothing of it is left")
}

func TestOnATerminalAListOfAFleetThatIsAppliedDrawsItsLine(t *testing.T) {
	t.Parallel()
	f, socket := fleetOfTwo(t)
	f.slow = make(chan struct{})
	list := filepath.Join(t.TempDir(), "fleet.yaml")
	require.NoError(t, os.WriteFile(list, []byte("instances: [{id: a, args: [x]}, {id: z, args: [x]}]"), 0o600))
	slave, screen, closed := openTerminal(t)
	var stdout bytes.Buffer
	ended := make(chan int, 1)
	go func() {
		code := Main([]string{"--socket", socket, "fleet", "apply", "-f", list}, &stdout,
			slave, func(string) string { return "" }, nil)
		_ = slave.Close() // nobody else has it
		ended <- code
	}()
	require.Eventually(t,
		func() bool { return strings.Contains(screen.String(), "the list of 2 instances is applied, ") }, time.Minute,
		10*time.Millisecond)
	close(f.slow)
	require.Zero(t, <-ended)
	<-closed
	require.Contains(t, stdout.String(), "z: added")
	require.NotContains(t, screen.String(), "\n", "nothing of it is left")
	piped := fleetCall(t, socket, "apply", "-f", list)
	require.NotContains(t, piped.stderr, "is applied")
}

func TestTheLineOfProgressNamesWhoIsSlowest(t *testing.T) {
	start := time.Now()
	p := &progress{since: start, total: 1000, done: 812, failed: 3, goal: goalHealthy,
		begun: map[messages.InstanceID]time.Time{"users": start, "late": start.Add(5 * time.Second)}}
	require.Equal(t, "812 of 1000 healthy, 3 failed, slowest users 12s", p.text(start.Add(12*time.Second)))
	p = &progress{since: start, goal: "the new daemon takes over"}
	require.Equal(t, "the new daemon takes over, 3s", p.text(start.Add(3*time.Second)))
	p = &progress{since: start}
	p.left([]messages.Status{{ID: "a", PID: 3}, {ID: "b"}}, goalStopped)
	require.Equal(t, "0 of 1 stopped, slowest a 1s", p.text(start.Add(time.Second)))
	p.left([]messages.Status{{ID: "a"}, {ID: "b"}}, goalStopped)
	require.Equal(t, "1 of 1 stopped", p.text(start.Add(time.Second)))
}
