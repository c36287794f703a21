package health

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// handOver gives a flight whose answer comes in parts to a goroutine of its own.
func (l *loop) handOver(f *flight) {
	var err error
	if l.let(f) {
		err = l.poll.watch(unix.EPOLL_CTL_DEL, f.fd, 0)
	}
	ctx, stop := context.WithCancel(context.Background())
	l.mu.Lock()
	l.slow[f.kind()]++
	f.stop = stop
	if f.broken {
		stop()
	}
	l.mu.Unlock()
	go func() {
		defer stop()
		l.batch.listen(ctx, f, err)
		l.batch.mu.Lock()
		defer l.batch.mu.Unlock()
		l.batch.slow[f.kind()]--
		l.batch.wake()
	}()
}

// listen goes on with a flight until the end of its answer.
func (b *batch) listen(ctx context.Context, f *flight, err error) {
	file := os.NewFile(uintptr(f.fd), "probe")
	f.fd = -1
	conn, err2 := net.FileConn(file)
	if err = errors.Join(err, err2, file.Close()); err == nil {
		err = b.hear(ctx, f, conn)
	}
	if err2 == nil {
		_ = conn.Close() // it is reset: nothing is lost by it
	}
	b.checker.opened(-1)
	b.checker.judge(ctx, f.target, &f.probe, err)
	b.checker.identify(ctx, f.target, f.address(), err, &f.probe)
	conclude(f.target, &f.probe)
	if ctx.Err() == nil {
		f.done(f.probe)
	}
}

func (b *batch) hear(ctx context.Context, f *flight, conn net.Conn) error {
	if err := conn.SetDeadline(f.deadline); err != nil {
		return err
	}
	defer interruptible(ctx, conn)()
	return b.http.answer(begunConn{conn, io.MultiReader(bytes.NewReader(f.got), conn)}, f.target, &f.probe)
}

// begunConn is a connection of which something was read already.
type begunConn struct {
	net.Conn
	from io.Reader
}

func (c begunConn) Read(b []byte) (int, error) { return c.from.Read(b) }

// soFar reads what has come of an answer by now.
type soFar struct {
	fd      int
	got     []byte // all of it
	at      int    // so much of that was read
	end     error  // why no more is waited for; nil: more may come
	again   bool   // more may come
	hurried bool   // it is not to be waited for here
}

// errAgain is what is read of what has not come yet.
var errAgain = errors.New("more may come")

func (s *soFar) Read(b []byte) (int, error) {
	if s.at < len(s.got) {
		n := copy(b, s.got[s.at:])
		s.at += n
		return n, nil
	}
	if len(s.got) >= longest && s.end == nil {
		s.again, s.hurried = true, true
		return 0, errAgain
	}
	n, err := read(s.fd, b)
	for errors.Is(err, unix.EINTR) {
		n, err = read(s.fd, b)
	}
	switch {
	case errors.Is(err, unix.EAGAIN) && s.end != nil:
		return 0, s.end
	case errors.Is(err, unix.EAGAIN):
		s.again = true
		return 0, errAgain
	case err != nil:
		return 0, &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", err)}
	case n == 0:
		return 0, io.EOF
	}
	s.got = append(s.got, b[:n]...)
	s.at += n
	return n, nil
}

// SetReadDeadline is asked for when the rest of an answer is not worth waiting for.
func (s *soFar) SetReadDeadline(time.Time) error {
	s.hurried = true
	return nil
}
