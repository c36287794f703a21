package cli

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"procman/messages"
	"procman/test/fake"
)

// onTerminal runs the real program with its stderr on a terminal of its own, and returns what was seen there until it ended.
func (s *site) onTerminal(args ...string) (code int, stdout, seen string) {
	s.t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(s.t, err)
	require.NoError(s.t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	require.NoError(s.t, err)
	slave, err := os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(s.t, err)
	cmd := exec.Command(binary, append([]string{"-c", s.config}, args...)...)
	cmd.Env = append(os.Environ(), "TERM=xterm")
	var out, screen fake.Journal
	cmd.Stdout, cmd.Stderr = &out, slave
	require.NoError(s.t, cmd.Start())
	require.NoError(s.t, slave.Close())
	read := make(chan struct{})
	go func() {
		defer close(read)
		part := make([]byte, 4096)
		for {
			n, err := master.Read(part)
			_, _ = screen.Write(part[:n]) // it is kept in memory
			if err != nil {
				return // the last who had it open has ended
			}
		}
	}()
	_ = cmd.Wait() // its code is what counts
	<-read
	require.NoError(s.t, master.Close())
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
