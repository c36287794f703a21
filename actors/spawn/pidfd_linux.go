package spawn

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pidfd is a process and never another one, whatever becomes of its number.
type pidfd struct {
	file   *os.File
	raw    syscall.RawConn
	closed atomic.Bool // os.File's RawConn has no error of its own for it
}

// openPidfd returns the process that has the pid now. The error is ESRCH if there is none.
func openPidfd(pid int) (*pidfd, error) {
	if pid <= 0 {
		return nil, unix.ESRCH
	}
	fd, err := unix.PidfdOpen(pid, 0)
	switch {
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOENT):
		return nil, unix.ESRCH // the number is that of a thread
	case err != nil:
		return nil, fmt.Errorf("pidfd of process %d: %w", pid, err)
	}
	return newPidfd(fd)
}

// newPidfd takes over the descriptor.
func newPidfd(fd int) (*pidfd, error) {
	file := os.NewFile(uintptr(fd), "pidfd")
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &pidfd{file: file, raw: raw}, nil
}

// dupPidfd returns the process that a descriptor made by somebody else means.
func dupPidfd(f *os.File) (*pidfd, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return newPidfd(fd)
}

func (f *pidfd) close() {
	f.closed.Store(true)
	_ = f.file.Close() // nothing was written: there is nothing to lose
}

// do calls the function with the descriptor, which stays open meanwhile. The error is os.ErrClosed after close.
func (f *pidfd) do(call func(fd int) error) error {
	var result error
	err := f.raw.Control(func(fd uintptr) { result = call(int(fd)) })
	if err != nil && f.closed.Load() {
		return os.ErrClosed
	}
	return errors.Join(err, result)
}

// ended reports whether the process has ended.
func (f *pidfd) ended() bool {
	ended := false
	err := f.do(func(fd int) error { ended = readable(fd); return nil })
	return err == nil && ended
}

func readable(fd int) bool {
	for {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(p, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		return err == nil && n == 1 && p[0].Revents&(unix.POLLIN|unix.POLLHUP) != 0
	}
}

// signal sends sig to the process.
func (f *pidfd) signal(sig syscall.Signal) error {
	return f.do(func(fd int) error { return unix.PidfdSendSignal(fd, sig, nil, 0) })
}

// signalGroup sends sig to the group that the process leads or led. The error is EINVAL before Linux 6.9, and ESRCH if
// nobody is left; zombies are somebody.
func (f *pidfd) signalGroup(sig syscall.Signal) error {
	return f.do(func(fd int) error { return unix.PidfdSendSignal(fd, sig, nil, unix.PIDFD_SIGNAL_PROCESS_GROUP) })
}

// child reports whether the process, which has ended, is a child of this one and not reaped yet.
func (f *pidfd) child() bool {
	return f.do(func(fd int) error {
		for {
			err := unix.Waitid(unix.P_PIDFD, fd, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
			if !errors.Is(err, unix.EINTR) {
				return err
			}
		}
	}) == nil
}

// status returns how the process ended, once it was reaped by whomever. Linux tells since 6.15.
func (f *pidfd) status() (syscall.WaitStatus, bool) {
	info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
	err := f.do(func(fd int) error {
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.PIDFD_GET_INFO, uintptr(unsafe.Pointer(&info))); errno != 0 {
			return errno
		}
		return nil
	})
	return syscall.WaitStatus(uint32(info.Exit_code)), err == nil && info.Mask&unix.PIDFD_INFO_EXIT != 0
}

// reap collects a child that has ended. Its pid is free from then on. The error is EAGAIN as long as the kernel keeps the
// child for a tracer that has not waited for it: a debugger at its prompt may keep it for ever.
func reap(pid int) (syscall.WaitStatus, error) {
	for {
		var status syscall.WaitStatus
		switch got, err := syscall.Wait4(pid, &status, syscall.WNOHANG, nil); {
		case err == nil && got == 0:
			return 0, syscall.EAGAIN
		case err == nil:
			return status, nil
		case !errors.Is(err, syscall.EINTR):
			return 0, err
		}
	}
}

// reapLater reaps a child that a tracer keeps, once it does so no more.
func (s *Spawner) reapLater(pid int) {
	s.log.Warn("a process that has ended is kept by a tracer, such as a debugger; what depends on its end goes on", "pid", pid)
	s.work.Go(func() {
		for s.sleep(tracedAgain) {
			if _, err := reap(pid); !errors.Is(err, syscall.EAGAIN) {
				return // by us or by the tracer
			}
		}
	})
}

// tracedAgain is how often a child that a tracer keeps is asked for.
const tracedAgain = time.Second
