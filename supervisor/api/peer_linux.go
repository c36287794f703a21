package api

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// peerOf asks the kernel who connected, and in which groups that one is.
func peerOf(conn net.Conn, groups bool) peer {
	unix, is := conn.(*net.UnixConn)
	if !is {
		return peer{err: fmt.Errorf("%s is not a unix socket", conn.LocalAddr().Network())}
	}
	raw, err := unix.SyscallConn()
	if err != nil {
		return peer{err: err}
	}
	var cred *syscall.Ucred
	var failure error
	err = raw.Control(func(fd uintptr) {
		cred, failure = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if err = errors.Join(err, failure); err != nil {
		return peer{err: err}
	}
	p := peer{uid: cred.Uid}
	if !groups {
		return p
	}
	p.groups = []uint32{cred.Gid}
	err = raw.Control(func(fd uintptr) {
		var more []uint32
		more, failure = peerGroups(fd)
		p.groups = append(p.groups, more...)
	})
	p.err = errors.Join(err, failure)
	return p
}

// peerGroups returns the supplementary groups of who has connected.
func peerGroups(fd uintptr) ([]uint32, error) {
	groups := make([]uint32, 32)
	for {
		size := uint32(len(groups) * int(unsafe.Sizeof(groups[0])))
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&groups[0])), uintptr(unsafe.Pointer(&size)), 0)
		n := int(size) / int(unsafe.Sizeof(groups[0]))
		switch {
		case errno == unix.ERANGE && n > len(groups):
			groups = make([]uint32, n)
		case errno != 0:
			return nil, os.NewSyscallError("getsockopt", errno)
		default:
			return groups[:n], nil
		}
	}
}
