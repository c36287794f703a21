package kernel

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Pidfd is a process and never another one, whatever becomes of its number.
type Pidfd struct { // no os.File: there is one for each instance, and that takes six times as much
	mu     sync.Mutex
	fd     int32
	uses   int32 // calls under way
	closed bool  // by the last of them
}

// OpenPidfd returns the process that has the pid now. The error is ESRCH if there is none.
func OpenPidfd(pid int) (*Pidfd, error) {
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
	return NewPidfd(fd), nil
}

// NewPidfd takes over the descriptor.
func NewPidfd(fd int) *Pidfd { return &Pidfd{fd: int32(fd)} }

// DupPidfd returns the process that a descriptor made by somebody else means.
func DupPidfd(f *os.File) (*Pidfd, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return NewPidfd(fd), nil
}

// Close waits for nobody: the descriptor is closed when no call is under way any more.
func (f *Pidfd) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.closed {
		f.closed = true
		f.closeUnused()
	}
}

// closeUnused is called with f.mu held.
func (f *Pidfd) closeUnused() {
	if f.closed && f.uses == 0 {
		_ = unix.Close(int(f.fd)) // nothing was written: there is nothing to lose
	}
}

// Do calls the function with the descriptor, which stays open meanwhile. The error is os.ErrClosed after Close.
func (f *Pidfd) Do(call func(fd int) error) error {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return os.ErrClosed
	}
	f.uses++
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.uses--
		f.closeUnused()
	}()
	return call(int(f.fd))
}

// Poll reports whether the process has ended: all its threads, not its group. The error is os.ErrClosed after Close.
func (f *Pidfd) Poll() (ended bool, err error) {
	err = f.Do(func(fd int) error { ended = readable(fd, 0); return nil })
	return ended, err
}

// Ended is Poll for those who hold it open.
func (f *Pidfd) Ended() bool {
	ended, err := f.Poll()
	return err == nil && ended
}

// Wait returns when the process has ended. It takes a thread until then.
func (f *Pidfd) Wait() error {
	return f.Do(func(fd int) error {
		for !readable(fd, -1) {
		}
		return nil
	})
}

func readable(fd, milliseconds int) bool {
	for {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(p, milliseconds)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		return err == nil && n == 1 && p[0].Revents&(unix.POLLIN|unix.POLLHUP) != 0
	}
}

// Signal sends sig to the process.
func (f *Pidfd) Signal(sig syscall.Signal) error {
	return f.Do(func(fd int) error { return unix.PidfdSendSignal(fd, sig, nil, 0) })
}

// SignalGroup sends sig to the group that the process leads or led. The error is EINVAL before Linux 6.9, and ESRCH if
// nobody is left; zombies are somebody.
func (f *Pidfd) SignalGroup(sig syscall.Signal) error {
	return f.Do(func(fd int) error { return unix.PidfdSendSignal(fd, sig, nil, unix.PIDFD_SIGNAL_PROCESS_GROUP) })
}

// Child reports whether the process, which has ended, is a child of this one and not reaped yet.
func (f *Pidfd) Child() bool {
	return f.Do(func(fd int) error {
		for {
			err := unix.Waitid(unix.P_PIDFD, fd, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
			if !errors.Is(err, unix.EINTR) {
				return err
			}
		}
	}) == nil
}

// ErrNoStatus says that the kernel keeps no exit status of a process, or that this has not ended.
var ErrNoStatus = errors.New("PIDFD_GET_INFO leaves it out")

// Status returns how the process ended, once it was reaped by whomever. Linux tells since 6.15.
func (f *Pidfd) Status() (syscall.WaitStatus, error) {
	info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
	err := f.Do(func(fd int) error {
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.PIDFD_GET_INFO,
			uintptr(unsafe.Pointer(&info))); errno != 0 {
			return os.NewSyscallError("PIDFD_GET_INFO", errno)
		}
		return nil
	})
	if err == nil && info.Mask&unix.PIDFD_INFO_EXIT == 0 {
		err = ErrNoStatus
	}
	return syscall.WaitStatus(uint32(info.Exit_code)), err
}

// Reap collects a child that has ended. Its pid is free from then on. The error is EAGAIN as long as the kernel keeps
// the child for a tracer that has not waited for it: a debugger at its prompt may keep it for ever.
func Reap(pid int) (syscall.WaitStatus, error) {
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
