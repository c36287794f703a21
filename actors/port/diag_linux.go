package port

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// The parts of linux/inet_diag.h that are needed here; x/sys/unix has none of them.
const (
	diagBytecode     = 1  // INET_DIAG_REQ_BYTECODE
	opSourcePortGE   = 2  // INET_DIAG_BC_S_GE
	opSourcePortLE   = 3  // INET_DIAG_BC_S_LE
	stateListen      = 10 // TCP_LISTEN
	stateBoundOnly   = 13 // TCP_BOUND_INACTIVE, Linux 6.8
	diagRequestSize  = 56 // struct inet_diag_req_v2
	diagInodeAt      = 68 // offsetof(struct inet_diag_msg, idiag_inode)
	diagMessageSize  = 72 // struct inet_diag_msg
	diagReceiveBytes = 32 << 10
)

// soleSocket reports whether fd is the only socket, bound or listening, that has the port. It says no where the kernel
// does not show sockets that are merely bound.
func soleSocket(fd, port int) (bool, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return false, os.NewSyscallError("fstat", err)
	}
	self := false
	for _, family := range []uint8{unix.AF_INET6, unix.AF_INET} {
		inodes, err := inactiveSockets(family, port)
		if err != nil {
			return false, err
		}
		for _, inode := range inodes {
			if uint64(inode) != st.Ino {
				return false, nil
			}
			self = true
		}
	}
	return self, nil
}

// inactiveSockets returns the inodes of the sockets of the family that are bound to the port and have no connection.
func inactiveSockets(family uint8, port int) (inodes []uint32, err error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	defer func() { err = errors.Join(err, os.NewSyscallError("close", unix.Close(fd))) }()
	if err := unix.Sendto(fd, dumpRequest(family, port), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, os.NewSyscallError("sendto", err)
	}
	buf := make([]byte, diagReceiveBytes)
	for {
		// Never waits: each part of a dump is queued by the send or by the receive before.
		n, _, err := unix.Recvfrom(fd, buf, unix.MSG_DONTWAIT)
		if err != nil {
			return nil, os.NewSyscallError("recvfrom", err)
		}
		for rest := buf[:n]; len(rest) >= unix.SizeofNlMsghdr; {
			size := int(binary.NativeEndian.Uint32(rest))
			if size < unix.SizeofNlMsghdr || size > len(rest) {
				return nil, fmt.Errorf("sock_diag: a message of %d bytes in %d", size, len(rest))
			}
			body := rest[unix.SizeofNlMsghdr:size]
			switch binary.NativeEndian.Uint16(rest[4:]) {
			case unix.NLMSG_DONE:
				return inodes, nil
			case unix.NLMSG_ERROR:
				if len(body) < 4 {
					return nil, errors.New("sock_diag: an error without a number")
				}
				return nil, os.NewSyscallError("sock_diag", unix.Errno(-int32(binary.NativeEndian.Uint32(body))))
			default:
				if len(body) >= diagMessageSize {
					inodes = append(inodes, binary.NativeEndian.Uint32(body[diagInodeAt:]))
				}
			}
			rest = rest[min((size+3)&^3, len(rest)):]
		}
	}
}

// dumpRequest asks for every socket of a family that is bound to the port and is idle or listens. The kernel filters.
func dumpRequest(family uint8, port int) []byte {
	// struct inet_diag_bc_op{code, yes uint8; no uint16}, each followed by one that carries the port in its field "no".
	// A jump to the end accepts, one beyond the end rejects.
	const opSize, program = 4, 16
	size := unix.SizeofNlMsghdr + diagRequestSize + unix.SizeofRtAttr + program
	b := make([]byte, 0, size)
	ne := binary.NativeEndian
	b = ne.AppendUint32(b, uint32(size))
	b = ne.AppendUint16(b, unix.SOCK_DIAG_BY_FAMILY)
	b = ne.AppendUint16(b, unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	b = append(b, make([]byte, 8)...) // sequence and port id
	b = append(b, family, unix.IPPROTO_TCP, 0, 0)
	b = ne.AppendUint32(b, 1<<stateListen|1<<stateBoundOnly)
	b = append(b, make([]byte, diagRequestSize-8)...) // any addresses; their port is not looked at for idle sockets
	b = ne.AppendUint16(b, uint16(unix.SizeofRtAttr+program))
	b = ne.AppendUint16(b, diagBytecode)
	for i, code := range []uint8{opSourcePortGE, opSourcePortLE} {
		b = append(b, code, 2*opSize)
		b = ne.AppendUint16(b, uint16(program-i*2*opSize+opSize))
		b = append(b, 0, 0)
		b = ne.AppendUint16(b, uint16(port))
	}
	return b
}
