package port

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"procman/actors/kernel"
)

// errTaken says that somebody else has the port.
var errTaken = errors.New("the port is taken")

// socket is bound and never listens.
type socket struct{ fd int }

func (s *socket) close() error { return os.NewSyscallError("close", unix.Close(s.fd)) }

// bind returns a socket bound to the port on all addresses, to which a server that sets SO_REUSEADDR may bind too. The
// error is errTaken if anything at all has the port.
func bind(port int) (*socket, error) {
	s, err := bindWith(port, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return nil, errors.Join(os.NewSyscallError("setsockopt", err), s.close())
	}
	return s, nil
}

// bindBesideRemains is bind, but does not mind connections that are left of a process that listened there. If sole,
// which is soleSocket, cannot tell who else is there, the port counts as taken: there are others, and to wait might be
// for ever.
func bindBesideRemains(port int, sole func(fd, port int) (bool, error)) (*socket, error) {
	s, err := bind(port)
	if !errors.Is(err, errTaken) {
		return s, err
	}
	s, err = bindWith(port, 1)
	if err != nil {
		return nil, err
	}
	// Two managers that come here at the same time see each other, and both give way.
	alone, err := sole(s.fd, port)
	if alone {
		return s, nil
	}
	if !isShortage(err) {
		err = errTaken
	}
	return nil, errors.Join(err, s.close())
}

// listened reports whether a server that sets SO_REUSEADDR could not listen on every address of the port.
func listened(port int) (bool, error) {
	s, err := bindWith(port, 1)
	if errors.Is(err, errTaken) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return false, s.close()
}

func bindWith(port, reuse int) (*socket, error) {
	s, err := bindTo(unix.AF_INET6, &unix.SockaddrInet6{Port: port}, reuse)
	if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EADDRNOTAVAIL) {
		s, err = bindTo(unix.AF_INET, &unix.SockaddrInet4{Port: port}, reuse)
	}
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return nil, errTaken
	case err != nil:
		return nil, fmt.Errorf("port %d: %w", port, err)
	}
	return s, nil
}

func bindTo(family int, to unix.Sockaddr, reuse int) (*socket, error) {
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	s := &socket{fd}
	if family == unix.AF_INET6 {
		// One socket for both families, whatever net.ipv6.bindv6only says.
		err = os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0))
	}
	if err == nil {
		err = os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, reuse))
	}
	if err == nil {
		err = os.NewSyscallError("bind", unix.Bind(fd, to))
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// soleSocket reports whether fd is the only socket, bound or listening, that has the port. It says no where the kernel
// does not show sockets that are merely bound.
func soleSocket(fd, port int) (bool, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return false, os.NewSyscallError("fstat", err)
	}
	all, err := kernel.BoundTo(port)
	if err != nil {
		return false, err
	}
	for _, s := range all {
		if s.Inode != st.Ino {
			return false, nil
		}
	}
	return len(all) > 0, nil
}

func isShortage(err error) bool {
	for _, e := range []error{unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
