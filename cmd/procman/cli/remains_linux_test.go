package cli

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/supervisor/api"
)

// remain ends the first thread of this process alone, as a kernel does that cannot end another one, which waits for a disk.
func remain() int {
	for {
		go func() {
			runtime.LockOSThread()
			if syscall.Gettid() == syscall.Getpid() {
				_, _, _ = syscall.RawSyscall(syscall.SYS_EXIT, 0, 0, 0)
			}
			time.Sleep(time.Hour) // or the next one would be given this thread
		}()
		time.Sleep(10 * time.Millisecond)
	}
}

func TestAProcessThatHasEndedItselfAndCannotBeEndedByTheKernelIsNotWaitedForForEver(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "TEST_CHILD=remains")
	require.NoError(t, cmd.Start())
	defer func() {
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait() // it was killed
	}()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	nobody := api.NewClient(filepath.Join(t.TempDir(), "s"))
	require.ErrorIs(t, gone(ctx, nobody, cmd.Process.Pid), errRemains)
}
