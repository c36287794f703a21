package health

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// The parts of linux/inet_diag.h that are needed here; x/sys/unix has none of them.
const (
	requestSize = 56 // struct inet_diag_req_v2
	messageSize = 72 // struct inet_diag_msg
	stateListen = 10 // TCP_LISTEN
	receiveSize = 32 << 10
)

// listening is a socket that listens.
type listening struct {
	at    netip.AddrPort
	user  uint32
	inode uint64
}

// listenerAt returns the socket that takes connections to the address. One request, one answer: its cost does not
// grow with the number of sockets on the host, as that of reading /proc/net/tcp does.
func listenerAt(to *net.TCPAddr) (listening, error) {
	family, ip := uint8(unix.AF_INET6), to.IP.To16()
	if v4 := to.IP.To4(); v4 != nil {
		family, ip = unix.AF_INET, v4
	}
	var found []listening
	err := query(request(family, unix.NLM_F_REQUEST, uint16(to.Port), ip), func(l listening) { found = append(found, l) })
	switch {
	case err != nil:
		return listening{}, err
	case len(found) != 1 || found[0].at.Port() != uint16(to.Port):
		return listening{}, fmt.Errorf("sock_diag: nothing listens on %v", to)
	}
	return found[0], nil
}

// listeners returns every TCP socket on the host that listens.
func listeners() (all []listening, err error) {
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		err = errors.Join(err, query(request(family, unix.NLM_F_REQUEST|unix.NLM_F_DUMP, 0, nil), func(l listening) { all = append(all, l) }))
	}
	return all, err
}

func request(family uint8, flags, port uint16, ip net.IP) []byte {
	ne := binary.NativeEndian
	b := make([]byte, 0, unix.SizeofNlMsghdr+requestSize)
	b = ne.AppendUint32(b, unix.SizeofNlMsghdr+requestSize)
	b = ne.AppendUint16(b, unix.SOCK_DIAG_BY_FAMILY)
	b = ne.AppendUint16(b, flags)
	b = append(b, make([]byte, 8)...) // sequence and port id
	b = append(b, family, unix.IPPROTO_TCP, 0, 0)
	b = ne.AppendUint32(b, 1<<stateListen)
	b = binary.BigEndian.AppendUint16(b, port)
	b = append(b, 0, 0) // the other side's port
	b = append(b, ip...)
	b = append(b, make([]byte, 32-len(ip)+4)...)     // the other side's address, the interface
	return ne.AppendUint64(b, 0xffff_ffff_ffff_ffff) // INET_DIAG_NOCOOKIE
}

// query sends one request and gives every listening socket of the answer to got.
func query(request []byte, got func(listening)) (err error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer func() { err = errors.Join(err, os.NewSyscallError("close", unix.Close(fd))) }()
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return os.NewSyscallError("sendto", err)
	}
	dump := binary.NativeEndian.Uint16(request[6:])&unix.NLM_F_DUMP != 0
	buf := make([]byte, 4<<10)
	if dump {
		buf = make([]byte, receiveSize)
	}
	for {
		// Never waits: the answer is queued by the send, each further part of a dump by the receive before.
		n, _, err := unix.Recvfrom(fd, buf, unix.MSG_DONTWAIT)
		if err != nil {
			return os.NewSyscallError("recvfrom", err)
		}
		done, err := answer(buf[:n], got)
		if err != nil || done || !dump {
			return err
		}
	}
}

// answer reads the netlink messages of one receive. It reports whether they end a dump.
func answer(b []byte, got func(listening)) (done bool, err error) {
	ne := binary.NativeEndian
	for len(b) >= unix.SizeofNlMsghdr {
		size := int(ne.Uint32(b))
		if size < unix.SizeofNlMsghdr || size > len(b) {
			return false, fmt.Errorf("sock_diag: a message of %d bytes in %d", size, len(b))
		}
		body := b[unix.SizeofNlMsghdr:size]
		switch kind := ne.Uint16(b[4:]); {
		case kind == unix.NLMSG_DONE:
			return true, nil
		case kind == unix.NLMSG_ERROR && len(body) >= 4:
			return false, os.NewSyscallError("sock_diag", unix.Errno(-int32(ne.Uint32(body))))
		case kind == unix.SOCK_DIAG_BY_FAMILY && len(body) >= messageSize && body[1] == stateListen:
			ip := netip.AddrFrom4([4]byte(body[8:]))
			if body[0] == unix.AF_INET6 {
				ip = netip.AddrFrom16([16]byte(body[8:]))
			}
			got(listening{
				at:    netip.AddrPortFrom(ip, binary.BigEndian.Uint16(body[4:])),
				user:  ne.Uint32(body[64:]),
				inode: uint64(ne.Uint32(body[68:])),
			})
		}
		b = b[min((size+3)&^3, len(b)):]
	}
	return false, nil
}
