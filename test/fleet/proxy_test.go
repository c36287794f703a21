package fleet

import (
	"errors"
	"net"
	"sync"
	"testing"
	"time"
)

// link is a way from a host to a member of etcd, which can fail. What it holds up it delivers later, as TCP does over a
// network that has lost it.
type link struct {
	listener net.Listener
	to       string
	wg       sync.WaitGroup

	mu      sync.Mutex
	changed chan struct{} // closed when the fault changes
	fault   fault
	conns   map[net.Conn]bool
	closed  bool
}

// fault is what is wrong with a link.
type fault struct {
	Up, Down bool          // what goes to etcd, or comes from it, is held up
	Slow     time.Duration // so much later each piece arrives
	Flap     time.Duration // so long all is held up, and so long nothing
	Reset    bool          // connections are refused, and ended
}

func newLink(t *testing.T, to string) *link {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	k := &link{listener: l, to: to, changed: make(chan struct{}), conns: map[net.Conn]bool{}}
	k.wg.Add(1)
	go k.accept()
	t.Cleanup(k.close)
	return k
}

func (k *link) address() string { return k.listener.Addr().String() }

func (k *link) set(f fault) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fault = f
	close(k.changed)
	k.changed = make(chan struct{})
	if f.Reset {
		k.cutAll()
	}
}

func (k *link) cutAll() {
	for c := range k.conns {
		_ = c.Close()
	}
}

func (k *link) close() {
	_ = k.listener.Close()
	k.mu.Lock()
	k.closed = true
	close(k.changed)
	k.changed = make(chan struct{})
	k.cutAll()
	k.mu.Unlock()
	k.wg.Wait()
}

// add counts a connection, unless none may be.
func (k *link) add(c net.Conn) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed || k.fault.Reset {
		_ = c.Close()
		return false
	}
	k.conns[c] = true
	return true
}

func (k *link) accept() {
	defer k.wg.Done()
	for {
		c, err := k.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		if k.add(c) {
			k.wg.Add(1)
			go k.serve(c)
		}
	}
}

func (k *link) serve(c net.Conn) {
	defer k.wg.Done()
	defer k.drop(c)
	if !k.pass(true) {
		return
	}
	s, err := net.DialTimeout("tcp", k.to, time.Second)
	if err != nil || !k.add(s) {
		return
	}
	defer k.drop(s)
	done := make(chan struct{})
	go func() {
		defer close(done)
		k.copy(s, c, true)
	}()
	k.copy(c, s, false)
	<-done
}

func (k *link) drop(c net.Conn) {
	k.mu.Lock()
	defer k.mu.Unlock()
	_ = c.Close()
	delete(k.conns, c)
}

func (k *link) copy(to, from net.Conn, up bool) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if !k.pass(up) {
				return
			}
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// pass returns when something may go on, or false if the link is gone.
func (k *link) pass(up bool) bool {
	slowed := false
	for {
		k.mu.Lock()
		f, changed, closed := k.fault, k.changed, k.closed
		k.mu.Unlock()
		wait := time.Hour
		switch {
		case closed:
			return false
		case f.Flap > 0 && time.Now().UnixNano()/int64(f.Flap)%2 == 0:
			wait = f.Flap - time.Duration(time.Now().UnixNano()%int64(f.Flap))
		case up && f.Up, !up && f.Down:
		case f.Slow > 0 && !slowed:
			wait, slowed = f.Slow, true
		default:
			return true
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-changed:
		}
		timer.Stop()
	}
}
