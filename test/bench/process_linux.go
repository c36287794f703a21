package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// now returns CLOCK_MONOTONIC in nanoseconds: the clock of the payloads and of the limit.
func now() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		panic(err) // every Linux has it
	}
	return t.Nano()
}

// cpu returns the processor time in seconds that all threads of the process have had.
func cpu(pid int) (float64, error) {
	var t unix.Timespec
	err := unix.ClockGettime(int32(^pid<<3|2), &t) // the clock of a process: clock_getcpuclockid(3)
	return float64(t.Nano()) / 1e9, err
}

// adoptOrphans makes the bench what init is to other processes: payloads that outlive their manager become its
// children, and are waited for when they end, at once. (A first process that is slow at that leaves ten thousand
// zombies.) It ends with the function that it returns.
func (f *family) adoptOrphans() (end func(), err error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	died, ended := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(died, unix.SIGCHLD)
	go func() {
		defer close(ended)
		for {
			f.reap()
			select {
			case <-died:
			case <-ctx.Done():
				f.reap()
				return
			}
		}
	}()
	return func() {
		signal.Stop(died)
		cancel()
		<-ended
	}, nil
}

// reap waits for the children that have ended and are nobody's. The others have somebody who waits for them.
func (f *family) reap() {
	for f.reapOne() {
	}
}

// reapOne reports whether there may be another.
func (f *family) reapOne() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	var info unix.Siginfo
	err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	pid := int(*(*int32)(unsafe.Add(unsafe.Pointer(&info), 16))) // si_pid, on 64 bits
	switch {
	case err != nil || pid == 0:
		return false // no child, or none that has ended
	case !f.own[pid]:
		_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil) // there is nothing to be known of it
	default:
		f.mu.Unlock()
		time.Sleep(time.Millisecond)
		f.mu.Lock()
	}
	return true
}

// raiseFiles lets this process and its children have so many files open, if it may.
func raiseFiles(n uint64) error {
	// by package syscall, which does not undo it at an exec
	return syscall.Setrlimit(unix.RLIMIT_NOFILE, &syscall.Rlimit{Cur: n, Max: n})
}

func mostFiles() (uint64, error) {
	var r unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r)
	return r.Max, err
}
