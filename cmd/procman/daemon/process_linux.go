package daemon

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"procman/actors/kernel"
)

// Process is the daemon's, seen from outside.
type Process struct {
	fd  int // -1: it has ended, or cannot be watched
	pid int
}

// WatchProcess watches by a pidfd: a pid could be another one's by now, and a zombie that nobody reaps keeps it.
func WatchProcess(pid int) Process {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return Process{-1, pid}
	}
	return Process{fd, pid}
}

func (p Process) Ended() bool {
	if p.fd < 0 {
		return true
	}
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLIN}}, 0)
	return err == nil && n > 0
}

// Remains reports whether the process has ended itself, but not all of its threads have: one waits in the kernel.
func (p Process) Remains() bool {
	if p.fd < 0 {
		return false
	}
	st, err := kernel.Procfs("/proc").Stat(p.pid)
	return err == nil && st.Zombie() && !p.Ended()
}

func (p Process) Close() {
	if p.fd >= 0 {
		_ = unix.Close(p.fd) // it was opened here and is of no more use
	}
}

// outcome waits until the process has ended, and returns how; known is false if whoever waited for it was quicker than this,
// and the kernel tells nobody else (before Linux 6.15).
func (p Process) outcome() (how syscall.WaitStatus, known bool) {
	if p.fd < 0 {
		return 0, false
	}
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLIN}}, -1)
		if err == nil && n > 0 {
			break
		}
		if err != nil && err != unix.EINTR {
			return 0, false
		}
	}
	if st, err := kernel.Procfs("/proc").Stat(p.pid); err == nil && st.State == 'Z' {
		return syscall.WaitStatus(st.Status), true
	}
	info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(p.fd), unix.PIDFD_GET_INFO, uintptr(unsafe.Pointer(&info)))
	return syscall.WaitStatus(uint32(info.Exit_code)), errno == 0 && info.Mask&unix.PIDFD_INFO_EXIT != 0
}
