package api

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// spareListener answers also when this process has no descriptor left: it keeps one, gives it up to accept the next
// caller, and tells him. So nobody is kept waiting for an answer that cannot come, and nothing spins.
type spareListener struct {
	net.Listener
	mu     sync.Mutex
	spare  *os.File // nil: it could not be had back yet
	closed bool
}

// outOfFiles is what such a caller hears.
const outOfFiles = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: " +
	"close\r\nRetry-After: 1\r\n\r\n" +
	`{"error":"the daemon has no file descriptor left to serve this; try again, and raise its limit of open files","code":"failed"}` + "\n"

func newSpareListener(l net.Listener) *spareListener {
	s := &spareListener{Listener: l}
	s.keep()
	return s
}

// keep gets the spare descriptor if it is not there.
func (s *spareListener) keep() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.spare == nil && !s.closed {
		s.spare, _ = os.Open(os.DevNull) // without it the next Accept tries again
	}
	return s.spare != nil
}

func (s *spareListener) give() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.spare == nil {
		return false
	}
	_ = s.spare.Close() // nothing was written
	s.spare = nil
	return true
}

// Accept returns the next caller that can be served.
func (s *spareListener) Accept() (net.Conn, error) {
	for {
		s.keep()
		conn, err := s.Listener.Accept()
		if !errors.Is(err, syscall.EMFILE) && !errors.Is(err, syscall.ENFILE) || !s.give() {
			return conn, err // http.Server tries again later after such an error
		}
		conn, err = s.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if s.keep() {
			return conn, nil // there is room again
		}
		_ = conn.SetDeadline(time.Now().Add(100 * time.Millisecond))
		_, _ = io.WriteString(conn, outOfFiles) // who has hung up need not be told
		_ = conn.Close()
	}
}

func (s *spareListener) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.give()
	return s.Listener.Close()
}
