package health

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"procman/messages"
)

const (
	defaultMaxBody = 64 << 10
	defaultTimeout = 5 * time.Second
	defaultPath    = "/api/status"
	maxHeader      = 64 << 10 // of all responses to one request, 1xx included
	keptBody       = 256      // of the body, in Probe.Body
	stalled        = 250 * time.Millisecond
)

// Options says how probes are made.
type Options struct {
	MaxBody     int64 // at most so many bytes of a response's body are read; 0: 64 KiB
	Owner       bool  // whether the listener must belong to the instance's process, see Checker.Check
	Concurrency int   // at most so many probes at a time; 0: any number
	// Mask gives what hides the secrets of an instance in what it answers, nil if it has none. Nil: nothing is masked.
	Mask func(messages.InstanceID) *messages.Masker
}

// Checker probes instances over HTTP. It is safe for concurrent use and keeps nothing open between two probes.
type Checker struct {
	maxBody int64
	mask    func(messages.InstanceID) *messages.Masker // nil: nothing is masked
	slots   chan struct{}                              // nil: no limit
	owners  *owners                                    // nil: do not ask
	readers sync.Pool
}

// New returns a checker.
func New(o Options) *Checker {
	c := &Checker{maxBody: o.MaxBody, mask: o.Mask}
	if c.maxBody <= 0 {
		c.maxBody = defaultMaxBody
	}
	if o.Concurrency > 0 {
		c.slots = make(chan struct{}, o.Concurrency)
	}
	if o.Owner {
		c.owners = newOwners()
	}
	c.readers.New = func() any { return newReader() }
	return c
}

// Check asks for http://localhost:PORT/PATH once: at 127.0.0.1 and, if nothing listens there, at ::1. Only a complete
// response with status 200 within t.Timeout is healthy; of a body longer than the limit, the limit is enough. No proxy is
// used, no redirect followed, no name resolved, no compression asked for.
//
// If t.PID is not 0 and the checker asks for owners, the socket that listens on the port must belong to that process or to
// one of its run (see kernel.Circle), unless t.Owner is OwnerAny. If it belongs to somebody else, the probe has Conflict set
// and is not OK, whatever was answered. If the owner cannot be learned, the probe is judged without it.
//
// The time it waits for one of Options.Concurrency slots is part of t.Timeout, but not of Latency. It takes no
// longer than t.Timeout, apart from the look at the owner, which does not wait. When it returns, it has left no goroutine,
// no descriptor and no connection, not even one in TIME_WAIT.
func (c *Checker) Check(ctx context.Context, t messages.Target) messages.Probe {
	if t.Timeout <= 0 {
		t.Timeout = defaultTimeout
	}
	began := time.Now()
	deadline := began.Add(t.Timeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline, t.Timeout = d, d.Sub(began).Round(time.Millisecond)
	}
	if err := c.enter(ctx, deadline); err != nil {
		return messages.Probe{At: began, Error: err.Error(), Void: true}
	}
	defer c.leave()

	var mask *messages.Masker
	if c.mask != nil {
		mask = c.mask(t.ID)
	}
	p := messages.Probe{At: time.Now()}
	answerer, err := c.ask(ctx, t, deadline, mask, &p)
	if p.Latency == 0 {
		p.Latency = time.Since(p.At)
	}
	if err != nil {
		p.Error, p.Void = explain(ctx, err, t, mask)
		// Who wakes up long after the deadline was not there to see the answer, which may have come in time.
		if timedOut(err) && time.Since(deadline) > stalled {
			p.Error, p.Void = "not probed: the manager itself stood still while it waited for the answer", true
		}
	}
	switch {
	case c.owners == nil || t.PID == 0 || t.Owner == messages.OwnerAny || ctx.Err() != nil:
	case answerer != nil:
		if stranger := c.owners.stranger(t.PID, t.Tag, answerer); stranger != "" {
			p.Conflict, p.Void = true, false
			p.Error = fmt.Sprintf("port %d is answered by another process (%s); if it serves for this instance, as the daemon behind `docker run` does, "+
				"set health.owner: any", t.Port, stranger)
		}
	case errors.Is(err, syscall.ECONNREFUSED):
		if elsewhere := elsewhere(t.PID, t.Port); elsewhere != "" {
			p.Error = elsewhere
		}
	}
	p.OK = p.Error == ""
	p.Error = mask.Mask(p.Error)
	return p
}

func (c *Checker) enter(ctx context.Context, deadline time.Time) error {
	if c.slots == nil {
		return nil
	}
	late := time.NewTimer(time.Until(deadline))
	defer late.Stop()
	select {
	case c.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("not probed: %w", ctx.Err())
	case <-late.C:
		return fmt.Errorf("not probed: the limit of %d probes at a time was reached all along", cap(c.slots))
	}
}

func (c *Checker) leave() {
	if c.slots != nil {
		<-c.slots
	}
}

// ask makes the request and puts what comes back into p. It returns the address of the listener if there is one, also
// beside an error.
func (c *Checker) ask(ctx context.Context, t messages.Target, deadline time.Time, mask *messages.Masker, p *messages.Probe) (answerer *net.TCPAddr, err error) {
	target, err := requestTarget(t.Path)
	if err != nil {
		return nil, err
	}
	conn, err := dial(ctx, t.Port, deadline)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	answerer, _ = conn.RemoteAddr().(*net.TCPAddr)
	// What is closed by a reset leaves no TIME_WAIT on either side.
	if err := errors.Join(conn.SetLinger(0), conn.SetDeadline(deadline)); err != nil {
		return answerer, err
	}
	defer interruptible(ctx, conn)()

	// Connection: close lets the server be the first to close, in its own time, so that the reset meets no program.
	request := "GET " + target + " HTTP/1.1\r\nHost: localhost:" + strconv.Itoa(t.Port) +
		"\r\nUser-Agent: procman\r\nAccept: */*\r\nConnection: close\r\n\r\n"
	if _, err := conn.Write([]byte(request)); err != nil && !broken(err) {
		return answerer, err
	}
	// A server may answer and close without having read the request: the answer counts.
	r := c.readers.Get().(*reader)
	defer c.readers.Put(r)
	r.mask = mask
	whole, err := r.response(conn, c.maxBody, deadline, p)
	p.Latency = time.Since(p.At)
	if whole {
		r.goodbye(conn, deadline)
	}
	return answerer, err
}

// dial connects to the port. Both addresses are literal, so nothing is resolved. Go's dialer detects a connection to
// itself, which TCP allows when a port nobody listens on is in the ephemeral range.
func dial(ctx context.Context, port int, deadline time.Time) (*net.TCPConn, error) {
	d := net.Dialer{Deadline: deadline, KeepAlive: -1}
	n := strconv.Itoa(port)
	conn, err := d.DialContext(ctx, "tcp4", "127.0.0.1:"+n)
	if errors.Is(err, syscall.ECONNREFUSED) {
		var err6 error
		conn, err6 = d.DialContext(ctx, "tcp6", "[::1]:"+n)
		switch {
		case err6 == nil:
			err = nil
		case errors.Is(err6, os.ErrDeadlineExceeded) || ctx.Err() != nil:
			err = err6
		}
	}
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

// interruptible makes the end of ctx end all use of conn. The function it returns must be called before conn is closed.
func interruptible(ctx context.Context, conn net.Conn) (done func()) {
	if ctx.Done() == nil {
		return func() {}
	}
	ran := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ran)
		_ = conn.SetDeadline(time.Unix(1, 0)) // fails only on a closed connection, which needs no interruption
	})
	return func() {
		if !stop() {
			<-ran
		}
	}
}

// requestTarget returns the path, with its query, as it goes into the request line.
func requestTarget(path string) (string, error) {
	if path == "" {
		path = defaultPath
	}
	u, err := url.ParseRequestURI(path)
	if err != nil || !strings.HasPrefix(path, "/") || strings.ContainsFunc(path, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return "", pathError(path)
	}
	return u.RequestURI(), nil
}
