package spawn

import (
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"procman/actors/kernel"
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
	var waiting, running sync.WaitGroup
	all, err := newExits(running.Go)
	require.NoError(t, err)
	running.Go(all.run)
	before := runtime.NumGoroutine()
	for range waits {
		fd, err := kernel.OpenPidfd(child.Process.Pid)
		require.NoError(t, err)
		waiting.Add(1)
		all.await(fd, func(err error) {
			defer waiting.Done()
			defer fd.Close()
			if err != nil {
				t.Error(err)
			}
		})
	}
	require.LessOrEqual(t, runtime.NumGoroutine(), before)
	threads, err := os.ReadDir("/proc/self/task")
	require.NoError(t, err)
	require.Less(t, len(threads), 50, "for %d waits", waits)
	require.NoError(t, child.Process.Kill())
	began := time.Now()
	waiting.Wait()
	t.Logf("%d waits, %d threads; all knew %v after the end", waits, len(threads), time.Since(began))
	_ = child.Wait() // killed
	all.close()
	running.Wait()
}

func TestAFileSystemThatFailsIsTheHostsFaultAndAFileThatIsNotThereIsNot(t *testing.T) {
	t.Parallel()
	for errno, host := range map[syscall.Errno]bool{
		syscall.EIO: true, syscall.ESTALE: true, syscall.ENOTCONN: true, syscall.ETIMEDOUT: true, syscall.EMFILE: true,
		syscall.EAGAIN: true,
		syscall.ENOENT: false, syscall.EACCES: false, syscall.ENOTDIR: false, syscall.ELOOP: false,
	} {
		err := missing(messages.FaultWasmMissing, "/x", &os.PathError{Op: "stat", Path: "/x", Err: errno}, "")
		require.Equal(t, host, messages.HostFault(err) != nil, "%v", errno)
		require.ErrorIs(t, err, errno)
	}
}

func TestFewStartsAreUnderWayAtOnceAndThoseThatHangHoldNobodyUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &Spawner{starting: make(chan struct{}, 2)}
		s.enterStart(t.Context()) // both hang
		s.enterStart(t.Context())
		began := time.Now()
		var in sync.WaitGroup
		for range 100 {
			in.Go(func() { defer s.enterStart(t.Context())() })
		}
		in.Wait()
		require.LessOrEqual(t, time.Since(began), 2*diskPatience)
		time.Sleep(time.Minute)
		began = time.Now()
		s.enterStart(t.Context())()
		require.Zero(t, time.Since(began), "it is not counted any more")

		under, most := 0, 0
		var mu sync.Mutex
		for range 100 {
			in.Go(func() {
				defer s.enterStart(t.Context())()
				mu.Lock()
				under++
				most = max(most, under)
				mu.Unlock()
				time.Sleep(diskPatience / 2)
				mu.Lock()
				under--
				mu.Unlock()
			})
		}
		in.Wait()
		require.Equal(t, 2, most)
	})
}
