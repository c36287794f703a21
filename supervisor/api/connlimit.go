package api

import (
	"net"
	"sync"
)

// connLimit is a listener that has so many connections open at the most. Further ones wait in the kernel's queue.
type connLimit struct {
	net.Listener
	slots  chan struct{}
	opened func(int) // told how many more connections there are, or fewer
	closed chan struct{}
	close  sync.Once
}

// Bounded returns a listener on l that has so many connections open at the most; further ones wait in the kernel's
// queue.
func Bounded(l net.Listener, connections int) net.Listener {
	return newConnLimit(l, connections, func(int) {})
}

func newConnLimit(l net.Listener, connections int, opened func(int)) *connLimit {
	return &connLimit{Listener: l, opened: opened, slots: make(chan struct{}, connections), closed: make(chan struct{})}
}

// Accept waits for a slot, and then for a connection.
func (t *connLimit) Accept() (net.Conn, error) {
	select {
	case t.slots <- struct{}{}:
	case <-t.closed:
		return nil, net.ErrClosed
	}
	conn, err := t.Listener.Accept()
	if err != nil {
		<-t.slots
		return nil, err
	}
	t.opened(1)
	return &limitedConn{Conn: conn, leave: sync.OnceFunc(func() { t.opened(-1); <-t.slots })}, nil
}

func (t *connLimit) Close() error {
	t.close.Do(func() { close(t.closed) })
	return t.Listener.Close()
}

// limitedConn is a connection that gives its slot back.
type limitedConn struct {
	net.Conn
	leave func()
}

func (p *limitedConn) Close() error {
	defer p.leave()
	return p.Conn.Close()
}
