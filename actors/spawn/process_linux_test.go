package spawn

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"procman/actors"
	"procman/actors/kernel"
	"procman/messages"
)

func TestTheExitCodeOfAProcessIsReportedExactly(t *testing.T) {
	t.Parallel()
	s := opened(t, stateDir(t))
	for _, code := range []int{0, 1, 2, 3, 7, 42, 99, 125, 126, 127, 128, 129, 130, 137, 143, 200, 254, 255} {
		before := time.Now()
		exit := spawned(t, s, shell("exit "+strconv.Itoa(code))).Wait()
		require.WithinRange(t, exit.At, before, time.Now())
		exit.At = time.Time{}
		require.Equal(t, messages.Exit{Code: code, Known: true}, exit)
	}
}

// deadly lists every signal that ends a process that does nothing about it.
func deadly() []syscall.Signal {
	var all []syscall.Signal
	for sig := syscall.Signal(1); sig <= 64; sig++ {
		switch sig {
		case unix.SIGCHLD, unix.SIGCONT, unix.SIGSTOP, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU, unix.SIGURG,
			unix.SIGWINCH:
		default:
			all = append(all, sig)
		}
	}
	return all
}

func TestTheSignalThatEndedAProcessIsReportedExactly(t *testing.T) {
	t.Parallel()
	s := opened(t, stateDir(t))
	for _, sig := range deadly() {
		p := spawned(t, s, shell("ulimit -c 0; trap '' USR2; trap - USR2; exec sleep 300"))
		// sh is replaced by sleep; either dies of the signal.
		require.NoError(t, p.Signal(sig, messages.LeftoversEnd))
		exit := p.Wait()
		require.Equal(t, messages.ReasonSignal, exit.Unasked(), sig)
		require.True(t, exit.Known)
		require.Equal(t, -1, exit.Code)
		require.Equal(t, signalName(sig), exit.Signal)
	}
	require.Equal(t, "KILL", signalName(unix.SIGKILL))
	require.Equal(t, "SEGV", signalName(unix.SIGSEGV))
	require.Equal(t, "RTMIN", signalName(34))
	require.Equal(t, "RTMIN+30", signalName(64))
	require.Equal(t, "33", signalName(33))
}

func TestTheRestOfTheGroupDoesNotDelayWaitAndIsReachedAfterIt(t *testing.T) {
	t.Parallel()
	for _, old := range []bool{false, true} {
		s := opened(t, stateDir(t))
		s.old = old
		before := time.Now()
		// The grandchild holds stdout, ignores TERM and has none of the instance's environment.
		p := spawned(t, s, shell("(trap '' TERM; exec env -i /bin/sleep 300) & echo $!; exit 3"))
		exit := p.Wait()
		require.Equal(t, 3, exit.Code)
		require.Less(t, time.Since(before), 2*time.Minute, "the grandchild would have kept it waiting for 300 s")
		grandchild, err := strconv.Atoi(strings.TrimSpace(output(t, s)))
		require.NoError(t, err)
		t.Cleanup(func() {
			if t.Failed() {
				_ = syscall.Kill(grandchild, syscall.SIGKILL)
			}
		})
		rest, err := p.Rest(t.Context(), nil)
		require.NoError(t, err)
		require.Len(t, rest, 1)
		require.Equal(t, grandchild, rest[0].PID)
		require.False(t, rest[0].Away)
		require.NoError(t, p.Signal(syscall.SIGKILL, messages.LeftoversLeave))
		rest, err = p.Rest(t.Context(), rest)
		require.NoError(t, err)
		require.Empty(t, rest)
		eventually(t, "nobody is left", func() bool { return !alive(grandchild) && len(tagged(t, s.dir)) == 0 })
	}
}

func TestASignalReachesTheWholeGroup(t *testing.T) {
	t.Parallel()
	for _, old := range []bool{false, true} {
		s := opened(t, stateDir(t))
		s.old = old
		p := spawned(t, s, shell("(trap 'echo inner; exit' TERM; echo ready; while :; do sleep 0.02; done) & trap "+
			"'wait; exit 9' TERM; echo ready; wait; wait"))
		eventually(t, "both are ready", func() bool { return output(t, s) == "ready\nready\n" })
		require.NoError(t, p.Signal(syscall.SIGTERM, messages.LeftoversEnd))
		require.Equal(t, 9, p.Wait().Code)
		require.Contains(t, output(t, s), "inner")
		require.NoError(t, p.Signal(syscall.SIGTERM, messages.LeftoversEnd), "a group that is gone")
	}
}

// This is a fact about Linux that the design leans on.
func TestAPidfdReachesTheGroupAfterItsLeaderWasReaped(t *testing.T) {
	t.Parallel()
	fd := -1
	cmd := exec.Command("/bin/sh", "-c", "sleep 300 & echo $!")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, PidFD: &fd}
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	handle := kernel.NewPidfd(fd)
	defer handle.Close()
	var pid int
	_, err = fmt.Fscan(out, &pid)
	require.NoError(t, err)
	require.NoError(t, poll(handle))
	require.True(t, handle.Child())
	_, err = kernel.Reap(cmd.Process.Pid)
	require.NoError(t, err)
	require.NoError(t, cmd.Process.Release())
	require.False(t, handle.Child())
	err = handle.SignalGroup(syscall.SIGKILL)
	if errors.Is(err, unix.EINVAL) {
		require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
		t.Skip("Linux before 6.9 cannot do that; there the group is found by its tags")
	}
	require.NoError(t, err)
	eventually(t, "the grandchild is gone", func() bool { return !alive(pid) })
}

func TestWaitMayBeCalledByManyAndAgain(t *testing.T) {
	t.Parallel()
	s := opened(t, stateDir(t))
	p := spawned(t, s, sleeper("a"))
	exits := make(chan messages.Exit, 10)
	for range cap(exits) {
		go func() { exits <- p.Wait() }()
	}
	require.NoError(t, p.Signal(syscall.SIGKILL, messages.LeftoversEnd))
	first := p.Wait()
	for range cap(exits) {
		require.Equal(t, first, <-exits)
	}
	require.Equal(t, first, p.Wait())
}

func TestAWatchedProcessCostsNoThreadAndOneDescriptor(t *testing.T) {
	dir := stateDir(t)
	s := opened(t, dir)
	count := func(of string) int {
		entries, err := os.ReadDir("/proc/self/" + of)
		require.NoError(t, err)
		return len(entries)
	}
	before := count("fd")
	const many = 300
	var all []actors.Process
	for n := range many {
		all = append(all, spawned(t, s, sleeper(messages.InstanceID("i"+strconv.Itoa(n)))))
	}
	require.Less(t, count("task"), 20)
	require.LessOrEqual(t, count("fd"), before+many+1)
	var ended sync.WaitGroup
	for _, p := range all {
		ended.Go(func() {
			_ = p.Signal(syscall.SIGKILL, messages.LeftoversEnd)
			if p.Wait().Signal != "KILL" {
				t.Error("not how it ended")
			}
		})
	}
	ended.Wait()
	eventually(t, "the descriptors are closed", func() bool { return count("fd") <= before+1 })
	for _, p := range all {
		_, err := os.Stat("/proc/" + strconv.Itoa(p.PID()))
		require.ErrorIs(t, err, os.ErrNotExist, "no zombie is left")
	}
}

// A debugger that sits at its prompt keeps the zombie of what it has traced, and the kernel gives it to nobody else.
func TestTheEndOfAProcessIsReportedThoughATracerKeepsIt(t *testing.T) {
	t.Parallel()
	s := opened(t, stateDir(t))
	p := spawned(t, s, sleeper("a"))
	tracer := exec.Command("/proc/self/exe")
	tracer.Env = append(os.Environ(), roleVariable+"=tracer", "TRACED="+strconv.Itoa(p.PID()))
	tracer.Stderr = os.Stderr
	out, err := tracer.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, tracer.Start())
	end := sync.OnceFunc(func() { _ = tracer.Process.Kill(); _ = tracer.Wait() })
	t.Cleanup(end)
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err, "it is not allowed to trace")
	require.Equal(t, "traced\n", line)

	require.NoError(t, syscall.Kill(p.PID(), syscall.SIGKILL))
	e := p.Wait()
	require.True(t, e.Known)
	require.Equal(t, "KILL", e.Signal)
	st, err := kernel.Procfs("/proc").Stat(p.PID())
	require.NoError(t, err)
	require.True(t, st.Zombie(), "it is kept")
	again := spawned(t, s, sleeper("a"))
	require.NotEqual(t, p.PID(), again.PID())
	end()
	eventually(t, "it is reaped", func() bool { _, err := kernel.Procfs("/proc").Stat(p.PID()); return err != nil })
}

func TestEverySignalThatEndsAProcessCanBeNamedByAPolicy(t *testing.T) {
	t.Parallel()
	named := func(word messages.WordList, sig syscall.Signal) bool {
		a := messages.AppInstance{InstanceID: "a", WasmPath: "a", DbName: "a",
			Restart: messages.RestartPolicy{Final: word}}.WithDefaults()
		require.NoError(t, a.Validate())
		return a.Restart.Final.HasExit(messages.Exit{Code: -1, Signal: signalName(sig), Known: true})
	}
	for sig := syscall.Signal(1); sig <= 64; sig++ {
		if sig == 32 || sig == 33 { // the C library's own, which have no names
			continue
		}
		require.True(t, named(messages.WordList(signalName(sig)), sig), signalName(sig))
		require.True(t, named(messages.WordList("SIG"+signalName(sig)), sig), signalName(sig))
	}
	require.True(t, named("RTMAX", 64))
}
