package command

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv("COMMAND_TEST_ROLE") == "manager" { // it runs a command and is killed
		_, _ = Run(context.Background(), Spec{Args: []string{"sh",
			"-c", "echo $$ > " + os.Getenv("COMMAND_TEST_FILE") + "; exec sleep 600"},
			Env: []string{"PATH=" + os.Getenv("PATH")}})
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

func sh(script string) Spec {
	return Spec{Args: []string{"sh", "-c", script}, Env: []string{"PATH=" + os.Getenv("PATH")}, Keep: 1 << 10}
}

// gone waits until a process is no more, or a zombie of somebody else.
func gone(t *testing.T, pid int) {
	t.Helper()
	require.Eventually(t, func() bool {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return true
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		return strings.HasPrefix(rest, "Z")
	}, time.Minute, 5*time.Millisecond, "process %d lives", pid)
}

func numbers(t *testing.T, output []byte) (pids []int) {
	t.Helper()
	for _, word := range strings.Fields(string(output)) {
		pid, err := strconv.Atoi(word)
		require.NoError(t, err, "%s", output)
		pids = append(pids, pid)
	}
	return pids
}

func TestACommandIsGivenItsInputAndItsFirstOutputIsKept(t *testing.T) {
	t.Parallel()
	s := sh("cat; echo oops >&2; echo $MODE; env | grep -c HOME")
	s.Input, s.Env = []byte("hello\n"), append(s.Env, "MODE=x")
	output, err := Run(t.Context(), s)
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit, "grep has found nothing: of this process it has nothing")
	require.Equal(t, 1, exit.ExitCode())
	require.Equal(t, "hello\noops\nx\n0\n", string(output))

	s = sh("head -c 1000000 /dev/zero | tr '\\0' x")
	s.Keep = 10
	output, err = Run(t.Context(), s)
	require.NoError(t, err)
	require.Equal(t, "xxxxxxxxxx", string(output))
	s = sh("true") // it reads nothing
	s.Input = make([]byte, MaxInput)
	_, err = Run(t.Context(), s)
	require.NoError(t, err)
	s.Input = make([]byte, MaxInput+1)
	_, err = Run(t.Context(), s)
	require.Error(t, err)
	_, err = Run(t.Context(), Spec{Args: []string{"/nowhere/x"}})
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestTheWholeGroupOfACommandThatTakesTooLongIsEnded(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	late := errors.New("it took too long")
	ready := t.TempDir() + "/ready"
	go func() {
		for _, err := os.Stat(ready); err != nil; _, err = os.Stat(ready) {
			time.Sleep(time.Millisecond)
		}
		cancel(late)
	}()
	output, err := Run(ctx, sh("trap '' TERM INT HUP; (trap '' TERM; sleep 600) & echo $! $$; touch "+ready+"; wait"))
	require.ErrorIs(t, err, late)
	pids := numbers(t, output)
	require.Len(t, pids, 2)
	for _, pid := range pids {
		gone(t, pid)
	}
	_, err = Run(ctx, sh("true"))
	require.ErrorIs(t, err, late)
}

func TestWhatACommandLeavesInItsGroupIsEndedAndWhoHasLeftItKeepsNobodyWaiting(t *testing.T) {
	t.Parallel()
	output, err := Run(t.Context(), sh("sleep 600 & echo $!"))
	require.NoError(t, err)
	gone(t, numbers(t, output)[0])

	output, err = Run(t.Context(), sh("setsid sleep 600 & echo $!")) // it has the pipe
	require.NoError(t, err)
	for _, pid := range numbers(t, output) {
		_ = syscall.Kill(pid, syscall.SIGKILL) // if it had the time to leave
	}
}

func TestACommandDiesWithItsManagerThatIsKilled(t *testing.T) {
	t.Parallel()
	file := t.TempDir() + "/pid"
	self, err := os.Executable()
	require.NoError(t, err)
	manager := exec.Command(self)
	manager.Env = append(os.Environ(), "COMMAND_TEST_ROLE=manager", "COMMAND_TEST_FILE="+file)
	require.NoError(t, manager.Start())
	pid := 0
	require.Eventually(t, func() bool {
		f, err := os.Open(file)
		if err != nil {
			return false
		}
		defer f.Close()
		line, err := bufio.NewReader(f).ReadString('\n')
		if err != nil {
			return false
		}
		pid, err = strconv.Atoi(strings.TrimSpace(line))
		return err == nil
	}, time.Minute, 5*time.Millisecond)
	require.NoError(t, syscall.Kill(pid, 0), "it lives")
	require.NoError(t, manager.Process.Kill())
	_ = manager.Wait()
	gone(t, pid)
}
