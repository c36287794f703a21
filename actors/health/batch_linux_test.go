package health

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

func hangs(c net.Conn) { _, _ = c.Read(make([]byte, 1)) }

// silent takes connections and answers none. It returns its port, and what tells of connections that have ended.
func silent(t *testing.T) (port int, ended chan struct{}) {
	ended = make(chan struct{}, 1000)
	return serveAll(t, func(c net.Conn) {
		hangs(c)
		ended <- struct{}{}
	}), ended
}

// serveAll is serve for many connections at a time.
func serveAll(t *testing.T, answer func(net.Conn)) (port int) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer func() { _ = conn.Close() }()
				if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
					answer(conn)
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		serving.Wait()
	})
	return l.Addr().(*net.TCPAddr).Port
}

func at(port int, timeout time.Duration) messages.Target {
	return messages.Target{ID: "a", Port: port, Policy: messages.HealthPolicy{Timeout: timeout}}
}

func TestProbesThatWereBegunWaitOnOneGoroutineAndNoneForAnother(t *testing.T) {
	const hanging = 50
	dead, ended := silent(t)
	well := serve(t, "127.0.0.1", say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
	c := New(Options{})
	before := runtime.NumGoroutine()
	var cancels []func()
	var told atomic.Int32
	for range hanging {
		cancels = append(cancels, c.Begin(at(dead, time.Hour), func(messages.Probe) { told.Add(1) }))
	}
	for range 20 {
		p := together(c, at(well, time.Minute))
		require.True(t, p.OK, p.Error)
	}
	require.LessOrEqual(t, runtime.NumGoroutine()-before, hanging+2, "one, beside those of the server")
	require.Zero(t, told.Load())
	for _, cancel := range cancels {
		cancel()
	}
	for range hanging {
		<-ended
	}
	require.Eventually(t, func() bool { return !c.batch.runs() }, time.Minute, time.Millisecond, "and it has ended")
	require.Zero(t, told.Load(), "nobody is told of what was broken off")
}

func (b *batch) runs() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.running
}

func TestEachProbeHasItsOwnDeadline(t *testing.T) {
	dead, _ := silent(t)
	c := New(Options{})
	told := make(chan messages.Probe)
	cancel := c.Begin(at(dead, time.Hour), func(messages.Probe) { t.Error("it has an hour") })
	began := time.Now()
	for _, timeout := range []time.Duration{3 * short, short, 2 * short} {
		c.Begin(at(dead, timeout), func(p messages.Probe) { told <- p })
	}
	for n := 1; n <= 3; n++ {
		p := <-told
		timeout := time.Duration(n) * short
		require.GreaterOrEqual(t, time.Since(began), timeout)
		if !p.Void { // void: this machine stood still
			require.Equal(t, fmt.Sprintf("timed out after %v", timeout), p.Error)
		}
	}
	cancel()
}

func TestAProbeThatIsBrokenOffInAnyStateLeavesNothing(t *testing.T) {
	half := serve(t, "127.0.0.1", func(c net.Conn) {
		for _, part := range []string{"HTTP", "/1.1 ", "200 ", "OK"} {
			say(part)(c)
			time.Sleep(5 * time.Millisecond)
		}
		hangs(c)
	})
	var connections, opened atomic.Int64
	c := New(Options{Opened: func(n int) {
		connections.Add(int64(n))
		opened.Add(int64(max(n, 0)))
	}})
	for _, after := range []time.Duration{0, 3 * time.Millisecond, 50 * time.Millisecond} {
		cancel := c.Begin(at(half, time.Hour), func(p messages.Probe) { t.Error("told", p) })
		time.Sleep(after)
		cancel()
		cancel()
	}
	require.Eventually(t, func() bool { return !c.batch.runs() && c.batch.others() == 0 }, time.Minute,
		time.Millisecond)
	require.Positive(t, opened.Load())
	require.Zero(t, connections.Load(), "as many connections were closed as were opened")
}

func (b *batch) others() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.slow[0] + b.slow[1]
}

func TestThoseForWhomThereIsNoRoomWaitForItAndAreNotJudgedIfThereIsNone(t *testing.T) {
	dead, _ := silent(t)
	well := serve(t, "127.0.0.1", say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
	c := New(Options{Concurrency: 6})
	var cancels []func()
	for range 2 {
		cancels = append(cancels, c.Begin(at(dead, time.Hour), func(messages.Probe) { t.Error("it has an hour") }))
	}
	p := together(c, at(well, short))
	require.True(t, p.Void, p.Error)
	require.Contains(t, p.Error, "not probed")
	require.True(t, alone(c, at(well, time.Minute)).OK)
	steady := at(well, time.Minute)
	steady.Steady = true
	for range 10 {
		require.True(t, together(c, steady).OK, "who is well does not wait for those that hang in their start")
	}

	told := make(chan messages.Probe, 10)
	for range 10 {
		c.Begin(at(well, time.Minute), func(p messages.Probe) { told <- p })
	}
	for _, cancel := range cancels {
		cancel()
	}
	for range 10 {
		p := <-told
		require.True(t, p.OK, p.Error)
	}
}

func TestAProbeThatReliesOnAnEarlierProofAsksOnlyOfWhatIsNotHealthy(t *testing.T) {
	pid := sleeper(t)
	ask := func(port int, proved bool) messages.Probe {
		target := at(port, time.Minute)
		target.PID, target.Proved = pid, proved
		alone, together := alone(New(Options{Owner: true}), target), together(New(Options{Owner: true}), target)
		require.Equal(t, alone.Error, together.Error)
		require.Equal(t, alone.Conflict, together.Conflict)
		return together
	}
	well := serve(t, "127.0.0.1", say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
	require.True(t, ask(well, false).Conflict)
	require.True(t, ask(well, true).OK, "what that leaves open")
	require.True(t, ask(serve(t, "127.0.0.1", say("HTTP/1.1 404 Not Found\r\n\r\n")), true).Conflict)
}

func TestAnOwnerThatWasFoundBeforeIsProvedWithoutAGoroutine(t *testing.T) {
	pid, port := startServer(t, "127.0.0.1:0", "")
	c := New(Options{Owner: true})
	target := at(port, time.Minute)
	target.PID = pid
	require.True(t, together(c, target).OK)
	require.True(t, c.owners.familiar(pid, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}))
	require.False(t, c.owners.familiar(os.Getpid(), &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}),
		"of another it proves nothing")
}

func TestWhenNoDescriptorIsLeftNothingIsSaidOfAnInstance(t *testing.T) {
	c := New(Options{})
	port := serve(t, "127.0.0.1", hangs)
	l := &loop{batch: c.batch, open: map[int32]*flight{}, reader: newReader()}
	told := make(chan messages.Probe, 2)
	for range 2 {
		f := c.batch.flight(at(port, time.Minute), func(p messages.Probe) { told <- p })
		l.waiting = append(l.waiting, f)
	}
	l.ask(l.waiting[0])
	l.waiting = l.waiting[1:]
	l.fail(os.NewSyscallError("epoll_create1", syscall.EMFILE))
	for range 2 {
		p := <-told
		require.True(t, p.Void)
		require.Contains(t, p.Error, "no file descriptor left")
	}
	require.Empty(t, l.flying())
	require.Zero(t, l.flies)
}

func TestManyAtATimeAllHaveTheirAnswer(t *testing.T) {
	const probes = 500
	port := serveAll(t, say("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi"))
	c := New(Options{Concurrency: 100})
	var wg sync.WaitGroup
	for range probes {
		wg.Add(1)
		c.Begin(at(port, time.Minute), func(p messages.Probe) {
			defer wg.Done()
			if !p.OK {
				t.Error(p.Error)
			}
		})
	}
	wg.Wait()
	require.Eventually(t, func() bool { return !c.batch.runs() }, time.Minute, time.Millisecond)
	require.Zero(t, inTimeWait(t, port))
}

// The manager may have been held up while the answer came.
func TestAnAnswerThatIsThereCountsAlsoAfterItsDeadline(t *testing.T) {
	answered := make(chan struct{})
	port := serve(t, "127.0.0.1", func(c net.Conn) {
		say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")(c)
		close(answered)
	})
	c := New(Options{})
	l := &loop{batch: c.batch, open: map[int32]*flight{}, reader: newReader()}
	told := make(chan messages.Probe, 1)
	f := c.batch.flight(at(port, time.Minute), func(p messages.Probe) { told <- p })
	l.ask(f)
	<-answered
	f.deadline = time.Now()
	l.expire(time.Now())
	p := <-told
	require.True(t, p.OK, p.Error)
	require.Empty(t, l.flying())
}
