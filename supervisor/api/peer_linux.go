package api

import (
	"errors"
	"fmt"
	"net"
	"syscall"
)

// peerOf asks the kernel who connected.
func peerOf(conn net.Conn) peer {
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
	return peer{uid: cred.Uid}
}
