package kernel

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
	diagBytecode    = 1  // INET_DIAG_REQ_BYTECODE
	opSourcePortGE  = 2  // INET_DIAG_BC_S_GE
	opSourcePortLE  = 3  // INET_DIAG_BC_S_LE
	stateListen     = 10 // TCP_LISTEN
	stateBoundOnly  = 13 // TCP_BOUND_INACTIVE, Linux 6.8
	diagRequestSize = 56 // struct inet_diag_req_v2
	diagMessageSize = 72 // struct inet_diag_msg
	diagDumpSize    = 32 << 10
)

// Socket is a TCP socket without a connection.
type Socket struct {
	At    netip.AddrPort
	User  uint32
	Inode uint64
}

// ListenerAt returns the socket that takes connections to the address. One request, one answer: its cost does not
// grow with the number of sockets on the host, as that of reading /proc/net/tcp does.
func ListenerAt(to *net.TCPAddr) (Socket, error) {
	r := diagRequest{family: unix.AF_INET6, states: 1 << stateListen, ip: to.IP.To16(), port: to.Port}
	if v4 := to.IP.To4(); v4 != nil {
		r.family, r.ip = unix.AF_INET, v4
	}
	var found []Socket
	err := r.ask(func(s Socket) { found = append(found, s) })
	switch {
	case err != nil:
		return Socket{}, err
	case len(found) != 1 || found[0].At.Port() != uint16(to.Port):
		return Socket{}, fmt.Errorf("sock_diag: nothing listens on %v", to)
	}
	return found[0], nil
}

// Listeners returns every socket of the host that listens.
func Listeners() (all []Socket, err error) {
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		r := diagRequest{family: family, states: 1 << stateListen}
		err = errors.Join(err, r.ask(func(s Socket) { all = append(all, s) }))
	}
	return all, err
}

// BoundTo returns the sockets that listen on the port, at whatever address, and those that are merely bound to it,
// which the kernel shows since Linux 6.8.
func BoundTo(port int) (all []Socket, err error) {
	for _, family := range []uint8{unix.AF_INET6, unix.AF_INET} {
		r := diagRequest{family: family, states: 1<<stateListen | 1<<stateBoundOnly, port: port}
		if err := r.ask(func(s Socket) { all = append(all, s) }); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// diagRequest asks the kernel for sockets: with an ip for the one that serves that address, else for all on the port,
// or on any.
type diagRequest struct {
	family uint8
	states uint32
	ip     net.IP
	port   int
}

func (r diagRequest) dump() bool { return r.ip == nil }

func (r diagRequest) encoded() []byte {
	// struct inet_diag_bc_op{code, yes uint8; no uint16}, each followed by one that carries the port in its field "no".
	// A jump to the end accepts, one beyond the end rejects.
	const opSize, program = 4, 16
	size, flags, at := unix.SizeofNlMsghdr+diagRequestSize, unix.NLM_F_REQUEST, r.port
	if r.dump() {
		flags |= unix.NLM_F_DUMP
		at = 0 // of sockets without a connection it is not looked at in a dump: a program filters
		if r.port != 0 {
			size += unix.SizeofRtAttr + program
		}
	}
	ne := binary.NativeEndian
	b := make([]byte, 0, size)
	b = ne.AppendUint32(b, uint32(size))
	b = ne.AppendUint16(b, unix.SOCK_DIAG_BY_FAMILY)
	b = ne.AppendUint16(b, uint16(flags))
	b = append(b, make([]byte, 8)...) // sequence and port id
	b = append(b, r.family, unix.IPPROTO_TCP, 0, 0)
	b = ne.AppendUint32(b, r.states)
	b = binary.BigEndian.AppendUint16(b, uint16(at))
	b = append(b, 0, 0) // the other side's port
	b = append(b, r.ip...)
	b = append(b, make([]byte, 32-len(r.ip)+4)...) // the other side's address, the interface
	b = ne.AppendUint64(b, 0xffff_ffff_ffff_ffff)  // INET_DIAG_NOCOOKIE
	if len(b) == size {
		return b
	}
	b = ne.AppendUint16(b, uint16(unix.SizeofRtAttr+program))
	b = ne.AppendUint16(b, diagBytecode)
	for i, code := range []uint8{opSourcePortGE, opSourcePortLE} {
		b = append(b, code, 2*opSize)
		b = ne.AppendUint16(b, uint16(program-i*2*opSize+opSize))
		b = append(b, 0, 0)
		b = ne.AppendUint16(b, uint16(r.port))
	}
	return b
}

// ask sends the request and gives every socket of the answer to got.
func (r diagRequest) ask(got func(Socket)) (err error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer func() { err = errors.Join(err, os.NewSyscallError("close", unix.Close(fd))) }()
	if err := unix.Sendto(fd, r.encoded(), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return os.NewSyscallError("sendto", err)
	}
	buf := make([]byte, 1<<10) // a socket is told in 100 bytes, an error with the request
	if r.dump() {
		buf = make([]byte, diagDumpSize)
	}
	for {
		// Never waits: the answer is queued by the send, each further part of a dump by the receive before.
		n, _, err := unix.Recvfrom(fd, buf, unix.MSG_DONTWAIT)
		if err != nil {
			return os.NewSyscallError("recvfrom", err)
		}
		done, err := r.answer(buf[:n], got)
		if err != nil || done || !r.dump() {
			return err
		}
	}
}

// answer reads the netlink messages of one receive. It reports whether they end a dump.
func (r diagRequest) answer(b []byte, got func(Socket)) (done bool, err error) {
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
		case kind == unix.SOCK_DIAG_BY_FAMILY && len(body) >= diagMessageSize && (r.dump() || body[1] == stateListen):
			// a dump is filtered
			ip := netip.AddrFrom4([4]byte(body[8:]))
			if body[0] == unix.AF_INET6 {
				ip = netip.AddrFrom16([16]byte(body[8:]))
			}
			got(Socket{
				At:    netip.AddrPortFrom(ip, binary.BigEndian.Uint16(body[4:])),
				User:  ne.Uint32(body[64:]),
				Inode: uint64(ne.Uint32(body[68:])),
			})
		}
		b = b[min((size+3)&^3, len(b)):]
	}
	return false, nil
}
