package api

import (
	"bufio"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// F116: accept needs a descriptor, too.
func TestACallerIsAnsweredThoughNoDescriptorIsLeft(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	l, err := Listen(path)
	require.NoError(t, err)
	s := newSpareListener(l)
	defer func() { require.NoError(t, s.Close()) }()
	client, err := net.Dial("unix", path)
	require.NoError(t, err)

	accepted := make(chan net.Conn, 1)
	restore := exhaust(t)
	go func() {
		if conn, err := s.Accept(); err == nil {
			accepted <- conn
		}
	}()
	answer, err := http.ReadResponse(bufio.NewReader(client), nil)
	restore()
	require.NoError(t, err)
	require.Equal(t, http.StatusServiceUnavailable, answer.StatusCode)
	require.NoError(t, errors.Join(answer.Body.Close(), client.Close()))
	require.Empty(t, accepted)

	client, err = net.Dial("unix", path)
	require.NoError(t, err)
	conn := <-accepted // there is room again
	require.NoError(t, errors.Join(conn.Close(), client.Close()))
}

// exhaust lets this process open nothing more until restore is called.
func exhaust(t *testing.T) (restore func()) {
	var before unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &before))
	free, err := os.Open(os.DevNull)
	require.NoError(t, err)
	none := unix.Rlimit{Cur: uint64(free.Fd()), Max: before.Max}
	require.NoError(t, free.Close())
	require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &none))
	restore = func() { _ = unix.Setrlimit(unix.RLIMIT_NOFILE, &before) }
	t.Cleanup(restore)
	_, err = os.Open(os.DevNull)
	require.ErrorIs(t, err, unix.EMFILE)
	return restore
}
