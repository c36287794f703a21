package leash

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"procman/actors/kernel"
	"procman/actors/spawn"
	"procman/messages"
)

const roleVariable = "LEASH_HALFWAY"

// halfway is a daemon that was allowed to start something fenced, and is frozen before it does.
func halfway(dir messages.StateDir) {
	check := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	s, err := spawn.Open(dir, spawn.Options{})
	check(err)
	g, err := NewGuard(dir, "")
	check(err)
	check(g.Fence("a", Mark{Epoch: 1}))
	leave, err := g.Enter()
	check(err)
	fmt.Println("asked")
	check(syscall.Kill(os.Getpid(), syscall.SIGSTOP))
	app := messages.AppInstance{InstanceID: "a", Executable: "/bin/sleep", Args: []string{"1000"}}
	p, err := s.Spawn(context.Background(), messages.Launch{App: app.WithDefaults(), Run: 1, Port: 43990})
	check(err)
	leave()
	fmt.Println(p.PID())
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// frozen returns such a daemon, and what it says.
func (h *host) frozen() (*exec.Cmd, *bufio.Reader) {
	h.Helper()
	c := exec.Command("/proc/self/exe")
	c.Env = append(os.Environ(), roleVariable+"="+string(h.dir))
	c.Stderr = os.Stderr
	_, err := c.StdinPipe()
	require.NoError(h, err)
	out, err := c.StdoutPipe()
	require.NoError(h, err)
	require.NoError(h, c.Start())
	h.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	says := bufio.NewReader(out)
	line, err := says.ReadString('\n')
	require.NoError(h, err)
	require.Equal(h, "asked\n", line)
	eventually(h.T, "it is frozen", func() bool {
		st, err := kernel.Procfs("/proc").Stat(c.Process.Pid)
		require.NoError(h, err)
		return st.State == 'T'
	})
	return c, says
}

func TestADaemonThatIsFrozenBetweenTheQuestionAndTheForkNeverComesToIt(t *testing.T) {
	t.Parallel()
	h := emptyHost(t)
	d := h.renew()
	daemon, _ := h.frozen()
	h.guard()
	h.clock.rests(t)
	h.clock.to(int64(d.KillAt) - 1)
	require.Equal(t, int64(d.KillAt), h.clock.rests(t))
	require.True(t, lives(daemon.Process.Pid))
	h.clock.to(int64(d.KillAt))
	h.clock.rests(t)
	require.True(t, lives(daemon.Process.Pid), "a start may need a moment")
	h.clock.to(int64(d.KillAt+d.Deadline) / 2)
	err := daemon.Wait()
	require.ErrorContains(t, err, "killed")
	h.clock.pass(t, "the lock is free", func() bool { return h.clock.rests(t) == h.clock.Now()+int64(watchful) })
	require.Empty(t, h.alive())
	s, err := spawn.Open(h.dir, spawn.Options{})
	require.NoError(t, err)
	require.NoError(t, s.Close())
}

func TestALeashThatWasStoppedItselfTellsByTheDeadlineThatThereMayBeStarts(t *testing.T) {
	t.Parallel()
	h := emptyHost(t)
	l := h.leash()
	d := h.renew()
	h.clock.to(int64(d.KillAt))
	require.False(t, l.end(t.Context(), l.inForce()))
	require.True(t, l.shut)
	h.clock.to(h.clock.Now() + int64(time.Minute))
	d = h.renew() // it does not see it in force
	daemon, _ := h.frozen()
	h.clock.to(int64(d.Deadline))
	ended := make(chan struct{})
	go func() { defer close(ended); l.end(t.Context(), l.inForce()) }()
	require.ErrorContains(t, daemon.Wait(), "killed", "at once: others may start by now")
	h.clock.pass(t, "it has seen to it", func() bool {
		select {
		case <-ended:
			return true
		default:
			return false
		}
	})
}

func TestWhatADaemonStartsThatWakesInTimeIsEndedAndTheDaemonLives(t *testing.T) {
	t.Parallel()
	h := emptyHost(t)
	d := h.renew()
	daemon, says := h.frozen()
	h.guard()
	h.clock.rests(t)
	h.clock.to(int64(d.KillAt))
	h.clock.rests(t)
	require.NoError(t, daemon.Process.Signal(syscall.SIGCONT))
	line, err := says.ReadString('\n')
	require.NoError(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	require.NoError(t, err)
	h.clock.pass(t, "what it started ends", func() bool { return !lives(pid) })
	require.True(t, lives(daemon.Process.Pid))
}

func TestNobodyIsEndedForTheStartLockButTheVeryDaemonThatHoldsIt(t *testing.T) {
	t.Parallel()
	h := emptyHost(t)
	h.fence("a")
	stranger := exec.Command("/bin/sleep", "1000")
	require.NoError(t, stranger.Start())
	defer func() { _ = stranger.Process.Kill(); _ = stranger.Wait() }()
	st, err := kernel.Procfs("/proc").Stat(stranger.Process.Pid)
	require.NoError(t, err)
	l := h.leash()
	// its number was given away
	held, err := enter(h.dir, starter{Boot: h.boot, PID: stranger.Process.Pid, Start: st.Start + 1})
	require.NoError(t, err)
	refuses := func(why string) {
		eventually(t, why,
			func() bool { require.False(t, l.ender.shut(true)); return strings.Contains(l.ender.said, why) })
	}
	refuses("another one by now")
	for _, s := range []starter{{Boot: "another", PID: stranger.Process.Pid, Start: st.Start},
		{Boot: h.boot, PID: os.Getpid()}, {Boot: h.boot, PID: 1}} {
		require.NoError(t, s.sign(held))
		l.ender.said = ""
		refuses("cannot be it")
	}
	_, err = held.WriteAt(make([]byte, starterSize), 0)
	require.NoError(t, err)
	refuses("does not say who holds it")
	require.True(t, lives(stranger.Process.Pid))
	release(held)
	require.True(t, l.ender.shut(true))
}

func TestAStartLockWhoseFileIsReplacedHoldsAsBefore(t *testing.T) {
	t.Parallel()
	h := emptyHost(t)
	l := h.leash()
	g := newGuard(t, h)
	leave, err := g.Enter()
	require.NoError(t, err)
	require.NoError(t, os.Remove(h.dir.StartLock()))
	require.False(t, l.ender.shut(false), "who holds the old one")
	later, err := g.Enter()
	require.NoError(t, err)
	leave()
	require.False(t, l.ender.shut(false), "who holds the new one")
	later()
	require.True(t, l.ender.shut(false))
}

func TestTheStartLockIsSharedByStartsAndInheritedByNone(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	g := newGuard(t, h)
	first, err := g.Enter()
	require.NoError(t, err)
	second, err := g.Enter()
	require.NoError(t, err)
	p := h.start("a", "")
	require.False(t, kernel.Procfs("/proc").Holds(p.PID(), h.dir.StartLock()))
	require.True(t, kernel.Procfs("/proc").Holds(os.Getpid(), h.dir.StartLock()))
	f, err := openStarts(h.dir)
	require.NoError(t, err)
	defer f.Close()
	first()
	require.ErrorIs(t, flock(f, unix.LOCK_EX), unix.EWOULDBLOCK)
	second()
	require.NoError(t, flock(f, unix.LOCK_EX), "what was started does not hold it")
	_, err = g.Enter()
	require.ErrorContains(t, err, "the leash has it")
}
