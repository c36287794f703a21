package spawn

import (
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"procman/messages"
)

// FAULTS 50: whoever waits for the end of a process occupies no thread.
func TestTenThousandWaitsNeedFewThreads(t *testing.T) {
	waits := 10_000
	var limit unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	if limit.Cur < 12_000 {
		waits = int(limit.Cur) - 200
	}
	child := exec.Command("/bin/sleep", "600")
	require.NoError(t, child.Start())
	var waiting, begun sync.WaitGroup
	for range waits {
		fd, err := openPidfd(child.Process.Pid)
		require.NoError(t, err)
		begun.Add(1)
		waiting.Go(func() {
			defer fd.close()
			begun.Done()
			if err := fd.wait(); err != nil {
				t.Error(err)
			}
		})
	}
	begun.Wait()
	threads, err := os.ReadDir("/proc/self/task")
	require.NoError(t, err)
	require.Less(t, len(threads), 50, "for %d waits", waits)
	require.NoError(t, child.Process.Kill())
	began := time.Now()
	waiting.Wait()
	t.Logf("%d waits, %d threads; all knew %v after the end", waits, len(threads), time.Since(began))
	_ = child.Wait() // killed
}

func TestAFileSystemThatFailsIsTheHostsFaultAndAFileThatIsNotThereIsNot(t *testing.T) {
	for errno, host := range map[syscall.Errno]bool{
		syscall.EIO: true, syscall.ESTALE: true, syscall.ENOTCONN: true, syscall.ETIMEDOUT: true, syscall.EMFILE: true, syscall.EAGAIN: true,
		syscall.ENOENT: false, syscall.EACCES: false, syscall.ENOTDIR: false, syscall.ELOOP: false,
	} {
		err := missing(messages.FaultWasmMissing, "/x", &os.PathError{Op: "stat", Path: "/x", Err: errno}, "")
		require.Equal(t, host, messages.HostFault(err) != nil, "%v", errno)
		require.ErrorIs(t, err, errno)
	}
}
