package systemd

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"procman/test/fake"
)

// manager is the socket of a service manager that reads only when it is told to.
type manager struct {
	t    *testing.T
	conn *net.UnixConn
	path string
}

func newManager(t *testing.T) *manager {
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return &manager{t, conn, path}
}

func (m *manager) queue() *Queue {
	c := NewQueue(func(string) string { return m.path })
	m.t.Cleanup(func() { c.Close(0) })
	return c
}

// read returns the next message, and how many descriptors came with it.
func (m *manager) read() (string, int) {
	m.t.Helper()
	require.NoError(m.t, m.conn.SetReadDeadline(time.Now().Add(10*time.Second)))
	state, oob := make([]byte, 4096), make([]byte, 4096)
	n, o, _, _, err := m.conn.ReadMsgUnix(state, oob)
	require.NoError(m.t, err)
	controls, err := syscall.ParseSocketControlMessage(oob[:o])
	require.NoError(m.t, err)
	files := 0
	for _, control := range controls {
		fds, err := syscall.ParseUnixRights(&control)
		require.NoError(m.t, err)
		for _, fd := range fds {
			require.NoError(m.t, syscall.Close(fd))
			files++
		}
	}
	return string(state[:n]), files
}

// F124: an EAGAIN of a second lost the rest for ever.
func TestWhatAServiceManagerDoesNotTakeNowIsToldLaterInItsOrderAndNobodyWaits(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	c := m.queue()
	var log fake.Journal
	s := NewFDStore(c, nil, false, slog.New(slog.NewTextHandler(&log, nil)))
	null, err := os.Open(os.DevNull)
	require.NoError(t, err)
	defer null.Close()
	const many = 2000 // far more than a socket takes
	for n := range many {
		require.NoError(t, s.Put(fmt.Sprint("n", n), null.Fd()))
	}
	require.NoError(t, s.Remove("n7"))
	require.ErrorIs(t, c.tell("READY=1"), errBehind)
	for n := range many {
		state, fds := m.read()
		require.Equal(t, fmt.Sprint("FDSTORE=1\nFDPOLL=0\nFDNAME=n", n), state)
		require.Equal(t, 1, fds)
	}
	state, _ := m.read()
	require.Equal(t, "FDSTOREREMOVE=1\nFDNAME=n7", state)
	state, _ = m.read()
	require.Equal(t, "READY=1", state)
	c.Flush(10 * time.Second)
	require.Len(t, s.Kept(), many-1)
	require.Empty(t, log.String())
	require.NoError(t, s.Put("n8", null.Fd()), "it is there: nothing is sent")
	require.NoError(t, c.tell("STATUS=x"))
	state, _ = m.read()
	require.Equal(t, "STATUS=x", state)
}

func TestOfSignsOfLifeAndStatusesThatWaitOnlyTheNewestIsTold(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	c := m.queue()
	filled := 0
	for ; c.tell(fmt.Sprint("FILL=", filled)) == nil; filled++ {
		require.Less(t, filled, 10_000)
	}
	for n := range 1000 {
		c.post(&message{state: "WATCHDOG=1"})
		c.post(&message{state: fmt.Sprint("STATUS=", n)})
	}
	c.mu.Lock()
	waiting := len(c.queue)
	c.mu.Unlock()
	require.Equal(t, 3, waiting)
	var last []string
	for range filled + 3 {
		state, _ := m.read()
		last = append(last, state)
	}
	require.Equal(t, []string{"WATCHDOG=1", "STATUS=999"}, last[filled+1:])
}

func TestTheEndWaitsForAServiceManagerNoLongerThanItMay(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	c := NewQueue(func(string) string { return m.path })
	var over []*message
	for range 1000 {
		over = append(over, c.post(&message{state: "FILL=1"}))
	}
	c.Close(10 * time.Millisecond)
	for _, l := range over {
		<-l.over // nobody who asks is left waiting
	}
	require.ErrorIs(t, c.tell("READY=1"), net.ErrClosed)
}

func TestAnotherServiceManagerUnderTheSameNameIsTold(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	c := m.queue()
	require.NoError(t, c.tell("A=1"))
	require.NoError(t, m.conn.Close())
	require.NoError(t, os.Remove(m.path))
	require.ErrorIs(t, c.tell("B=1"), unix.ENOENT)
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.path, Net: "unixgram"})
	require.NoError(t, err)
	m.conn = conn
	require.NoError(t, c.tell("C=1"))
	state, _ := m.read()
	require.Equal(t, "C=1", state)
}
