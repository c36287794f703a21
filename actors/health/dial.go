package health

import (
	"context"
	"errors"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"
)

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
