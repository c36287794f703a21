package kernel

import (
	"os"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// script runs a line of shell until the test is over.
func script(t *testing.T, line string) int {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", line)
	in, err := cmd.StdinPipe() // its end ends those that read it
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = in.Close(); _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd.Process.Pid
}

// sees waits until the process is seen to run, or not, and to have a family, or none.
func sees(t *testing.T, pid int, runs, family bool) {
	t.Helper()
	require.Eventually(t, func() bool {
		r, f := Procfs("/proc").Runs(pid)
		return r == runs && f == family
	}, time.Minute, time.Millisecond)
}

func TestAProcessThatWaitsForSomethingDoesNotRun(t *testing.T) {
	pid := script(t, "read never")
	sees(t, pid, false, false)
	before, err := ProcessorTime(pid)
	require.NoError(t, err)
	require.Positive(t, before)
	require.Less(t, before, time.Minute)
}

func TestAProcessThatWorksRunsAndItsTimeGrows(t *testing.T) {
	pid := script(t, "while :; do :; done")
	sees(t, pid, true, false)
	before, err := ProcessorTime(pid)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		now, err := ProcessorTime(pid)
		return err == nil && now > before+10*time.Millisecond
	}, time.Minute, time.Millisecond)
}

func TestWhoHasAnotherWorkForItRuns(t *testing.T) {
	sees(t, script(t, "(while kill -0 $$; do :; done) 2>/dev/null & wait"), true, true)
	sees(t, script(t, "exec 3<&0; (read never <&3) & wait"), false, true)
}

// The Go runtime of this test has threads beside the first.
func TestAThreadThatWorksIsSeen(t *testing.T) {
	var end atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		for !end.Load() {
		}
	}()
	defer func() { end.Store(true); <-done }()
	require.Eventually(t, func() bool { r, _ := Procfs("/proc").Runs(os.Getpid()); return r }, time.Minute,
		time.Millisecond)
}

func TestWhatIsNotThereDoesNotRun(t *testing.T) {
	cmd := exec.Command("true")
	require.NoError(t, cmd.Run())
	runs, family := Procfs("/proc").Runs(cmd.Process.Pid)
	require.False(t, runs || family)
	_, err := ProcessorTime(cmd.Process.Pid)
	require.Error(t, err)
}

func BenchmarkProcessorTime(b *testing.B) {
	for b.Loop() {
		if _, err := ProcessorTime(os.Getppid()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRuns(b *testing.B) {
	cmd := exec.Command("sleep", "300")
	require.NoError(b, cmd.Start())
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	for b.Loop() {
		Procfs("/proc").Runs(cmd.Process.Pid)
	}
}
