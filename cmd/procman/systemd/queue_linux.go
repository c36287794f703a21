package systemd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"
)

// Queue brings messages to the service manager ($NOTIFY_SOCKET), one after the other. When that is behind with its
// reading, the messages wait in their order, and none is lost. A nil queue has nobody to bring them to.
type Queue struct {
	socket string
	mu     sync.Mutex
	change *sync.Cond // of anything below
	queue  []*message // the first one is under way
	closed bool
	conn   *net.UnixConn // run's own, but for Close; nil: not connected
	done   chan struct{}
}

// message is a message, with a descriptor or without one.
type message struct {
	state string
	fd    int           // 0: none; closed when the message is done with
	told  func(error)   // called once it is; nil: nobody asks
	over  chan struct{} // closed then
	err   error
}

// NewQueue returns the queue to the service manager that started us; nil if there is none. The variable stays where it
// is: a program that replaces this one needs it, and no child gets it.
func NewQueue(env func(string) string) *Queue {
	socket := env("NOTIFY_SOCKET")
	if socket == "" {
		return nil
	}
	c := &Queue{socket: socket, done: make(chan struct{})}
	c.change = sync.NewCond(&c.mu)
	go c.run()
	return c
}

// behindTime is how long somebody who asks is kept waiting by a service manager that takes nothing.
const behindTime = time.Second

// tell hands over a message, and waits for a moment until it is delivered.
func (c *Queue) tell(state string) error {
	if c == nil {
		return nil
	}
	l := c.post(&message{state: state})
	behind := time.NewTimer(behindTime)
	defer behind.Stop()
	select {
	case <-l.over:
		return l.err
	case <-behind.C:
		return errBehind
	}
}

// post hands over a message, and returns the one that is delivered in its place: of two equal signs of life one is
// enough. It never waits. The descriptor is the queue's from then on.
func (c *Queue) post(l *message) *message {
	c.mu.Lock()
	defer c.mu.Unlock()
	l.over = make(chan struct{})
	if c.closed {
		l.end(net.ErrClosed)
		return l
	}
	for n, waiting := range c.queue {
		switch {
		case n == 0: // it may have been written already
		case l.state == sd.SdNotifyWatchdog && waiting.state == l.state:
			return waiting
		case isStatus(l.state) && isStatus(waiting.state):
			waiting.end(nil)
			c.queue = slices.Delete(c.queue, n, n+1)
			c.queue = append(c.queue, l)
			return l
		}
	}
	c.queue = append(c.queue, l)
	c.change.Broadcast()
	return l
}

// isStatus reports whether the message is a status and nothing else, which a newer one makes void.
func isStatus(state string) bool { return strings.HasPrefix(state, "STATUS=") }

func (l *message) end(err error) {
	if l.fd != 0 {
		_ = unix.Close(l.fd) // the service manager has its own
	}
	if l.err = err; l.told != nil {
		l.told(err)
	}
	close(l.over)
}

// Flush waits until all that was handed over is delivered, but no longer than the time given.
func (c *Queue) Flush(within time.Duration) {
	if c == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	defer context.AfterFunc(ctx, func() { c.mu.Lock(); c.change.Broadcast(); c.mu.Unlock() })()
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.queue) > 0 && ctx.Err() == nil {
		c.change.Wait()
	}
}

// Close delivers what waits, for no longer than the time given, and ends the queue.
func (c *Queue) Close(within time.Duration) {
	if c == nil {
		return
	}
	c.Flush(within)
	c.mu.Lock()
	c.closed = true
	if c.conn != nil {
		_ = c.conn.Close() // ends a write that waits
	}
	c.change.Broadcast()
	c.mu.Unlock()
	<-c.done
}

func (c *Queue) run() {
	defer close(c.done)
	for {
		l := c.next()
		if l == nil {
			return
		}
		err := c.deliver(l)
		c.mu.Lock()
		c.queue = c.queue[1:]
		l.end(err)
		c.change.Broadcast()
		c.mu.Unlock()
	}
}

// next waits for the next message; nil at the end.
func (c *Queue) next() *message {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.queue) == 0 && !c.closed {
		c.change.Wait()
	}
	if c.closed {
		for _, l := range c.queue {
			l.end(net.ErrClosed)
		}
		c.queue = nil
		if c.conn != nil {
			_ = c.conn.Close()
		}
		return nil
	}
	return c.queue[0]
}

// tryAgain is the pause before another try where the kernel does not say when one is worth it.
const tryAgain = 5 * time.Millisecond

// deliver sends one message, which is taken as a whole or not at all. It waits for as long as the service manager takes
// none, by the netpoller and without a thread.
func (c *Queue) deliver(l *message) error {
	for lost := false; ; {
		conn, err := c.connect()
		if err == nil {
			var rights []byte
			if l.fd != 0 {
				rights = unix.UnixRights(l.fd)
			}
			err = send(conn, []byte(l.state), rights)
		}
		switch {
		case err == nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		case errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.ETOOMANYREFS): // it will have read some by then
			time.Sleep(tryAgain)
		case conn != nil && !lost && (errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ENOTCONN) ||
			errors.Is(err, unix.EPIPE)):
			lost = true // another one may listen under the same name
			c.disconnect()
		default:
			return fmt.Errorf("the service manager cannot be told: %w", err)
		}
	}
}

// send waits until the message is taken, or the connection is closed.
func send(conn *net.UnixConn, state, rights []byte) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	err = raw.Write(func(fd uintptr) bool {
		for sent = unix.EINTR; errors.Is(sent, unix.EINTR); {
			sent = unix.Sendmsg(int(fd), state, rights, nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
		}
		return !errors.Is(sent, unix.EAGAIN)
	})
	if err != nil {
		return err
	}
	return sent
}

func (c *Queue) connect() (*net.UnixConn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, net.ErrClosed
	}
	if c.conn == nil {
		// A leading @ is Linux's abstract namespace, for package net too.
		conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: c.socket, Net: "unixgram"})
		if err != nil {
			return nil, err
		}
		c.conn = conn
	}
	return c.conn, nil
}

func (c *Queue) disconnect() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}
