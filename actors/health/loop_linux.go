package health

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// loop is the flights under way.
type loop struct {
	*batch
	poll    *poller
	waiting []*flight         // for room
	fresh   []*flight         // connected, and not waited for yet
	open    map[int32]*flight // waited for, by their descriptors
	flies   [2]int            // how many of each kind have a connection
	soonest time.Time         // no deadline of any is before that
	looked  []unix.PollFd
	reader  *reader
	scratch []byte
	asked   []byte // the request that is being sent
}

// run is the loop.
func (b *batch) run() {
	l := &loop{batch: b, open: map[int32]*flight{}, reader: b.http.readers.Get().(*reader)}
	defer b.http.readers.Put(l.reader)
	var err error
	for l.take() {
		if err == nil {
			err = l.step()
		}
		if err != nil {
			l.fail(err)
		}
		if now := time.Now(); !now.Before(l.soonest) {
			l.expire(now)
		}
	}
	if l.poll != nil {
		_ = l.poll.file.Close() // it holds nothing any more
	}
}

// take takes in what was begun and drops what was broken off. It returns false when nothing is left; then the loop has
// ended.
func (l *loop) take() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.begun {
		l.waiting = append(l.waiting, f)
		l.hurry(f.deadline)
	}
	clear(l.begun)
	l.begun = l.begun[:0]
	if l.broken {
		l.broken = false
		l.waiting = slices.DeleteFunc(l.waiting, func(f *flight) bool { return f.broken })
		for _, f := range l.flying() {
			if f.broken {
				l.close(f)
			}
		}
	}
	l.running = len(l.waiting)+len(l.fresh)+len(l.open) > 0
	return l.running
}

// flying returns those that have a connection.
func (l *loop) flying() []*flight {
	return slices.AppendSeq(slices.Clone(l.fresh), maps.Values(l.open))
}

// hurry notes a deadline.
func (l *loop) hurry(deadline time.Time) {
	if l.soonest.IsZero() || deadline.Before(l.soonest) {
		l.soonest = deadline
	}
}

// step makes connections for those that wait, and goes on with those that can. When there is nothing to do it waits.
func (l *loop) step() error {
	next := l.next()
	for asked := 0; asked < len(next); asked += atOnce {
		for _, f := range next[asked:min(asked+atOnce, len(next))] {
			f.probe.At = time.Now()
			l.ask(f)
		}
		l.look()
	}
	// they may be begun yet
	others := len(next) >= few || slices.ContainsFunc(next, func(f *flight) bool { return f.Steady })
	for pause := gather; others && len(l.fresh) > 0 && pause <= gathers; pause *= 2 {
		time.Sleep(pause)
		l.look()
	}
	if err := l.settle(); err != nil || len(next) > 0 {
		return err
	}
	return l.rest()
}

// next takes from those that wait as many as there is room for.
func (l *loop) next() (next []*flight) {
	if len(l.waiting) == 0 {
		return nil
	}
	l.mu.Lock()
	used := l.slow
	l.mu.Unlock()
	for kind, n := range l.flies {
		used[kind] += n
	}
	l.waiting = slices.DeleteFunc(l.waiting, func(f *flight) bool {
		if used[f.kind()] >= l.limit {
			return false
		}
		used[f.kind()]++
		next = append(next, f)
		return true
	})
	return next
}

// look goes on with the fresh ones that can.
func (l *loop) look() {
	l.looked = l.looked[:0]
	for _, f := range l.fresh {
		l.looked = append(l.looked, unix.PollFd{Fd: int32(f.fd), Events: f.events()})
	}
	if n, err := poll(l.looked); n < 1 || err != nil {
		return // nothing yet; an error shows when they are waited for
	}
	fresh := slices.Clone(l.fresh)
	for n, f := range fresh {
		if events := l.looked[n].Revents; events != 0 {
			l.ready(f, events&unix.POLLRDHUP != 0)
		}
	}
}

// settle has those that are not so quick waited for.
func (l *loop) settle() (err error) {
	if len(l.fresh) == 0 {
		return nil
	}
	if l.poll == nil {
		if l.poll, err = newPoller(); err != nil {
			return err
		}
	}
	for _, f := range l.fresh {
		if err := l.poll.watch(unix.EPOLL_CTL_ADD, f.fd, uint32(f.events())); err != nil {
			return err
		}
		l.open[int32(f.fd)] = f
	}
	l.fresh = l.fresh[:0]
	return nil
}

// rest waits until something can be done, and does it.
func (l *loop) rest() error {
	if l.poll == nil {
		if len(l.waiting) > 0 { // others have all the room, and wake the loop
			var err error
			l.poll, err = newPoller()
			return err
		}
		return nil
	}
	l.mu.Lock()
	if len(l.begun) > 0 || l.broken {
		l.mu.Unlock()
		return nil
	}
	err := l.poll.until(l.soonest)
	l.asleep = l.poll
	l.mu.Unlock()
	var events []unix.EpollEvent
	if err == nil {
		events, err = l.poll.wait()
	}
	l.mu.Lock()
	l.asleep = nil
	l.mu.Unlock()
	for _, e := range events {
		if f := l.open[e.Fd]; f != nil {
			l.ready(f, e.Events&unix.EPOLLRDHUP != 0)
		}
	}
	return err
}

// ask begins to ask at 127.0.0.1, or at ::1.
func (l *loop) ask(f *flight) {
	network, family := "tcp4", unix.AF_INET
	if f.over6 {
		network, family = "tcp6", unix.AF_INET6
	}
	fd, call, err := openSocket(family)
	f.fd = fd
	if fd >= 0 {
		l.checker.opened(1)
	}
	if err == nil {
		call, err = "connect", connect(fd, f.Port, f.over6)
	}
	if err != nil {
		l.unreached(f, &net.OpError{Op: "dial", Net: network, Addr: f.address(), Err: os.NewSyscallError(call, err)})
		return
	}
	l.asked = request(l.asked[:0], f.path, f.Port, f.Policy.Check)
	f.unsent = l.asked
	l.fresh = append(l.fresh, f)
	l.flies[f.kind()]++
	// On loopback the connection is made by now, unless the listener has too many that wait.
	l.send(f)
	f.unsent = slices.Clone(f.unsent) // the next one is asked in the same memory
}

func (f *flight) address() *net.TCPAddr {
	if f.over6 {
		return &net.TCPAddr{IP: net.IPv6loopback, Port: f.Port}
	}
	return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: f.Port}
}

// events is what the flight waits for, as poll and epoll call it.
func (f *flight) events() int16 {
	if len(f.unsent) > 0 {
		return unix.POLLOUT
	}
	return unix.POLLIN | unix.POLLRDHUP
}

// send sends what is left of the request.
func (l *loop) send(f *flight) {
	n, err := write(f.fd, f.unsent)
	switch {
	case err == nil:
		f.unsent = f.unsent[n:]
	case errors.Is(err, unix.EAGAIN):
	case errors.Is(err, unix.ECONNREFUSED):
		l.unreached(f, &net.OpError{Op: "dial", Net: "tcp", Addr: f.address(), Err: os.NewSyscallError("connect", err)})
	case broken(err): // a server may answer and close without having read the request: the answer counts
		f.unsent = nil
	default:
		l.answered(f, false, &net.OpError{Op: "write", Net: "tcp", Addr: f.address(),
			Err: os.NewSyscallError("write", err)})
	}
}

// unreached ends a flight to where no connection could be made, or goes on with the other address.
func (l *loop) unreached(f *flight, err error) {
	l.close(f)
	switch {
	case !f.over6 && errors.Is(err, unix.ECONNREFUSED):
		f.over6, f.first = true, err
		l.ask(f)
		return
	case f.over6:
		err = f.first
	}
	l.finish(f, false, err)
}

// ready goes on with a flight that can. With closed, its server has said all.
func (l *loop) ready(f *flight, closed bool) {
	switch {
	case f.told: // it has closed, or says more than it should
		l.close(f)
	case len(f.unsent) > 0:
		if l.send(f); f.fd >= 0 && len(f.unsent) == 0 && l.open[int32(f.fd)] == f {
			// An error shows at the deadline: it is waited for as before.
			_ = l.poll.watch(unix.EPOLL_CTL_MOD, f.fd, uint32(f.events()))
		}
	default:
		l.read(f, closed, nil)
	}
}

// read judges the answer as far as it has come. end is why no more of it is waited for; nil: it is.
func (l *loop) read(f *flight, closed bool, end error) {
	so := soFar{fd: f.fd, got: f.got, end: end}
	if f.got == nil {
		so.got = l.scratch[:0]
	}
	l.reader.mask, l.reader.check = f.mask, f.Policy.Check
	whole, err := l.reader.response(&so, l.http.maxBody, f.deadline, &f.probe)
	if f.got == nil {
		l.scratch = so.got[:0]
	}
	if so.again {
		f.probe.Status, f.probe.Body = 0, ""
		f.got, f.looks = slices.Clone(so.got), f.looks+1
		if f.looks >= looksMost || so.hurried {
			l.handOver(f)
		}
		return
	}
	var head *headError
	if errors.As(err, &head) && f.itself() {
		l.unreached(f, &net.OpError{Op: "dial", Net: "tcp", Addr: f.address(),
			Err: os.NewSyscallError("connect", unix.ECONNREFUSED)})
		return
	}
	f.probe.Latency = time.Since(f.probe.At)
	l.answered(f, whole && !closed, err)
}

// answered ends a flight with what was heard. A server that is to close may do that first.
func (l *loop) answered(f *flight, closes bool, err error) {
	if closes {
		if _, closed := read(f.fd, l.reader.chunk[:1]); errors.Is(closed, unix.EAGAIN) {
			l.finish(f, true, err)
			f.told, f.deadline = true, earlier(f.deadline, time.Now().Add(closingTime))
			l.hurry(f.deadline)
			return
		}
	}
	l.close(f)
	l.finish(f, true, err)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// itself reports whether the connection is one to itself, which TCP allows when a port nobody listens on is in the
// ephemeral range.
func (f *flight) itself() bool {
	switch at, _ := unix.Getsockname(f.fd); at := at.(type) {
	case *unix.SockaddrInet4:
		return at.Port == f.Port
	case *unix.SockaddrInet6:
		return at.Port == f.Port
	}
	return false
}

// expire ends what has come to its deadline.
func (l *loop) expire(now time.Time) {
	l.soonest = time.Time{}
	for _, f := range l.flying() {
		switch {
		case now.Before(f.deadline):
			l.hurry(f.deadline)
		case f.told:
			l.close(f)
		case len(f.unsent) > 0:
			l.close(f)
			l.finish(f, false, os.ErrDeadlineExceeded)
		default:
			l.read(f, false, &net.OpError{Op: "read", Net: "tcp", Addr: f.address(), Err: os.ErrDeadlineExceeded})
		}
	}
	l.waiting = slices.DeleteFunc(l.waiting, func(f *flight) bool {
		if now.Before(f.deadline) {
			l.hurry(f.deadline)
			return false
		}
		f.probe.Void, f.probe.Error = true, "not probed: the manager itself stood still when it was due"
		if now.Sub(f.deadline) <= stalled {
			f.probe.Error = fmt.Sprintf("not probed: the limit of %d probes at a time was reached all along", l.limit)
		}
		conclude(f.target, &f.probe)
		f.done(f.probe)
		return true
	})
}

// fail ends all: the kernel does not let them be waited for.
func (l *loop) fail(err error) {
	err = &net.OpError{Op: "poll", Net: "tcp", Err: err}
	for _, f := range l.flying() {
		l.close(f)
		if !f.told {
			l.finish(f, false, err)
		}
	}
	for _, f := range l.waiting {
		l.finish(f, false, err)
	}
	l.waiting = nil
}

// close closes the connection of a flight, if it has one.
func (l *loop) close(f *flight) {
	if f.fd >= 0 {
		l.let(f)
		shut(f.fd)
		f.fd = -1
		l.checker.opened(-1)
	}
}

// let lets go of a connection, and reports whether it was waited for.
func (l *loop) let(f *flight) bool {
	if l.open[int32(f.fd)] == f {
		delete(l.open, int32(f.fd))
		l.flies[f.kind()]--
		return true
	}
	if n := slices.Index(l.fresh, f); n >= 0 {
		l.fresh = slices.Delete(l.fresh, n, n+1)
		l.flies[f.kind()]--
	}
	return false
}

// finish gives the verdict on what was answered, or was not. A look at other processes takes a while, and is done
// aside.
func (l *loop) finish(f *flight, answered bool, err error) {
	c := l.checker
	c.judge(context.Background(), f.target, &f.probe, err)
	switch {
	case !c.asksOwner(f.target):
	case answered && (f.Proved && f.probe.Error == "" || c.owners.familiar(f.PID, f.address())):
	case answered, errors.Is(err, syscall.ECONNREFUSED):
		t, p, done := f.target, f.probe, f.done
		var answerer *net.TCPAddr
		if answered {
			answerer = f.address()
		}
		go func() {
			c.identify(context.Background(), t, answerer, err, &p)
			conclude(t, &p)
			done(p)
		}()
		return
	}
	conclude(f.target, &f.probe)
	f.done(f.probe)
}
