package kernel

import (
	"bytes"
	"encoding/binary"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestABrokenNetlinkAnswerIsAnError(t *testing.T) {
	for _, size := range []uint32{0, 15, 17, 1 << 31} {
		b := binary.NativeEndian.AppendUint32(nil, size)
		_, err := diagRequest{}.answer(append(b, make([]byte, 12)...), nil)
		require.Error(t, err)
	}
	_, err := diagRequest{}.answer(bytes.Repeat([]byte{1}, 7), nil)
	require.NoError(t, err)
}

func TestAListenerIsFoundByItsAddressItsPortAndAmongAll(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	at := l.Addr().(*net.TCPAddr)
	by, err := ListenerAt(at)
	require.NoError(t, err)
	require.Equal(t, at.AddrPort(), by.At)
	on, err := BoundTo(at.Port)
	require.NoError(t, err)
	require.Equal(t, []Socket{by}, on)
	bound, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	require.NoError(t, err)
	defer unix.Close(bound)
	require.NoError(t, unix.Bind(bound, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	name, err := unix.Getsockname(bound)
	require.NoError(t, err)
	idle, err := BoundTo(name.(*unix.SockaddrInet4).Port)
	require.NoError(t, err)
	require.LessOrEqual(t, len(idle), 1, "one that does not listen is shown since Linux 6.8")
	all, err := Listeners()
	require.NoError(t, err)
	require.Contains(t, all, by)
	require.NoError(t, l.Close())
	_, err = ListenerAt(at)
	require.Error(t, err)
}
