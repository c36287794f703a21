package health

import (
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The system calls that a probe consists of. None of them waits, so they are made without telling the Go runtime: it
// would have its monitor look after them fifty times a millisecond, which costs as much as they do.

// done returns what a system call returned, as Go has it.
func done(n uintptr, errno unix.Errno) (int, error) {
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}

// openSocket returns a socket that never waits, and that is closed by a reset: that leaves no TIME_WAIT on either side.
func openSocket(family int) (fd int, call string, err error) {
	n, _, errno := unix.RawSyscall(unix.SYS_SOCKET, uintptr(family),
		unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if fd, err = done(n, errno); err != nil {
		return -1, "socket", err
	}
	reset := unix.Linger{Onoff: 1}
	_, _, errno = unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_LINGER,
		uintptr(unsafe.Pointer(&reset)), unsafe.Sizeof(reset), 0)
	_, err = done(0, errno)
	return fd, "setsockopt", err
}

// connect begins a connection to the port at 127.0.0.1, or at ::1.
func connect(fd, port int, over6 bool) error {
	at4 := unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: [4]byte{127, 0, 0, 1}}
	at6 := unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: [16]byte{15: 1}}
	to, size := unsafe.Pointer(&at4), unsafe.Sizeof(at4)
	number := &at4.Port
	if over6 {
		to, size, number = unsafe.Pointer(&at6), unsafe.Sizeof(at6), &at6.Port
	}
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(number))[:], uint16(port))
	_, _, errno := unix.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(to), size)
	if errno == unix.EINPROGRESS {
		return nil
	}
	_, err := done(0, errno)
	return err
}

func write(fd int, b []byte) (int, error) {
	n, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))),
		uintptr(len(b)))
	return done(n, errno)
}

func read(fd int, b []byte) (int, error) {
	n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))),
		uintptr(len(b)))
	return done(n, errno)
}

// shut closes a socket. What it was told is lost, if the other side has not read it.
func shut(fd int) { _, _, _ = unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }

// epollWait returns how many of the events there are by now.
func epollWait(fd int, events []unix.EpollEvent) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), 0, 0, 0)
	return done(n, errno)
}

// poll notes what can be done with sockets, and returns with how many something can.
func poll(sockets []unix.PollFd) (int, error) {
	var now unix.Timespec
	n, _, errno := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(unsafe.SliceData(sockets))),
		uintptr(len(sockets)),
		uintptr(unsafe.Pointer(&now)), 0, 0, 0)
	return done(n, errno)
}
