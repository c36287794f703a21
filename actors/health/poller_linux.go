package health

import (
	"errors"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// poller waits for many sockets at once. It is itself one of the descriptors that the Go runtime waits for, so that who
// waits occupies no thread. It belongs to one goroutine, but for wake.
type poller struct {
	fd     int
	file   *os.File
	raw    syscall.RawConn
	look   func(fd uintptr) bool
	events [64]unix.EpollEvent
	found  int
	err    error
}

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // it says that the runtime is to wait for it
		return nil, errors.Join(os.NewSyscallError("fcntl", err), unix.Close(fd))
	}
	p := &poller{fd: fd, file: os.NewFile(uintptr(fd), "epoll")}
	if p.raw, err = p.file.SyscallConn(); err == nil {
		err = p.file.SetReadDeadline(time.Time{})
	}
	if err != nil {
		return nil, errors.Join(err, p.file.Close())
	}
	p.look = func(uintptr) bool {
		p.found, p.err = epollWait(p.fd, p.events[:])
		return p.found != 0 // an error is -1
	}
	return p, nil
}

// watch has the socket told of: when it can be read, or when it can be written.
func (p *poller) watch(op, fd int, events uint32) error {
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(p.fd, op, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)}))
}

// until sets when wait ends.
func (p *poller) until(t time.Time) error { return p.file.SetReadDeadline(t) }

// wait returns the sockets that something can be done with, as soon as there is any, or at the time that was set, or at
// wake.
func (p *poller) wait() ([]unix.EpollEvent, error) {
	p.found, p.err = 0, nil
	err := p.raw.Read(p.look)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = nil
	}
	if p.err != nil && !errors.Is(p.err, unix.EINTR) {
		err = errors.Join(err, os.NewSyscallError("epoll_wait", p.err))
	}
	return p.events[:max(p.found, 0)], err
}

// wake ends wait, now or as soon as it begins.
func (p *poller) wake() { _ = p.file.SetReadDeadline(time.Unix(1, 0)) } // an error is told to who waits
