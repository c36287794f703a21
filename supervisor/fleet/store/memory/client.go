package memory

import (
	"context"
	"errors"
	"sync"
	"time"

	"procman/supervisor/fleet/store"
)

// Call is one call of a Client, for whoever decides what becomes of it.
type Call struct {
	Op    string // grant, keepalive, revoke, get, list, commit
	Key   string // or prefix; empty for a lease, and for a transaction
	Lease store.Lease
	Txn   store.Transaction
}

// Fault is what becomes of a call. The zero Fault is none.
type Fault struct {
	Delay time.Duration // before the store has it
	Drop  bool          // the store never has it
	Lose  bool          // the store has it, and the answer is lost
	Back  time.Duration // before the caller has the answer
	// of Drop and Lose: the caller hears at once that no answer will come; else he waits for the end of his context
	Fail bool
}

// Client is a store.Store. What becomes of its calls Faults decides.
type Client struct {
	server *Server
	closed chan struct{}

	mu     sync.Mutex
	faults func(Call) Fault
	cut    bool
	done   bool
}

var _ store.Store = (*Client)(nil)

// Faults has f decide what becomes of each call from now on; nil: nothing happens to them. It is called by the
// goroutine of the call, with no lock held.
func (c *Client) Faults(f func(Call) Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = f
}

// Cut takes the way to the store away, or gives it back: until then no call comes through, and watches are silent.
func (c *Client) Cut(cut bool) {
	c.mu.Lock()
	c.cut = cut
	c.mu.Unlock()
	c.server.Tick()
}

func (c *Client) isCut() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cut
}

func (c *Client) fault(call Call) Fault {
	c.mu.Lock()
	f, cut := c.faults, c.cut
	c.mu.Unlock()
	switch {
	case cut:
		return Fault{Drop: true}
	case f == nil:
		return Fault{}
	}
	return f(call)
}

// Close ends what is under way.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.done {
		c.done = true
		close(c.closed)
	}
	return nil
}

var (
	errDropped = errors.New("what was asked for was lost on its way")
	errLost    = errors.New("the answer was lost on its way")
)

// call has the store do something. What do returns is lost with the answer, so it must only be looked at without an
// error.
func (c *Client) call(ctx context.Context, op string, call Call, do func(time.Time, *State) error) error {
	fail := func(kind, cause error) error {
		return &store.Error{Op: op, Key: call.Key, Kind: kind, Cause: cause}
	}
	wait := func(d time.Duration, forever bool) error {
		select { // of several that are ready, one is drawn
		case <-c.closed:
			return fail(store.ErrClosed, nil)
		case <-ctx.Done():
			return store.Ended(ctx, op, call.Key)
		default:
		}
		var over <-chan time.Time
		switch {
		case forever:
		case d <= 0:
			return nil
		default:
			t := time.NewTimer(d)
			defer t.Stop()
			over = t.C
		}
		select {
		case <-c.closed:
			return fail(store.ErrClosed, nil)
		case <-ctx.Done():
			return store.Ended(ctx, op, call.Key)
		case <-over:
			return nil
		}
	}
	if err := wait(0, false); err != nil {
		return err
	}
	f := c.fault(call)
	if err := wait(f.Delay, false); err != nil {
		return err
	}
	if f.Drop && f.Fail {
		return fail(store.ErrUnavailable, errDropped)
	}
	if f.Drop {
		return wait(0, true)
	}
	var err error
	c.server.Do(func(now time.Time, s *State) { err = do(now, s) })
	if f.Lose && f.Fail {
		return fail(store.ErrUnavailable, errLost)
	}
	if err := wait(f.Back, f.Lose); err != nil {
		return err
	}
	if err == nil {
		return nil
	}
	for _, kind := range []error{store.ErrLeaseLost, store.ErrCompacted} {
		if errors.Is(err, kind) {
			return fail(kind, nil)
		}
	}
	return fail(store.ErrInvalid, err)
}

// Grant makes a lease.
func (c *Client) Grant(ctx context.Context, ttl time.Duration) (l store.Lease, _ time.Duration, err error) {
	err = c.call(ctx, "get a lease", Call{Op: "grant"}, func(now time.Time, s *State) (err error) {
		l, err = s.Grant(now, ttl)
		return err
	})
	if err != nil {
		return 0, 0, err
	}
	return l, ttl, nil
}

// KeepAlive renews the lease.
func (c *Client) KeepAlive(ctx context.Context, l store.Lease) (ttl time.Duration, err error) {
	err = c.call(ctx, "renew the lease", Call{Op: "keepalive", Lease: l}, func(now time.Time, s *State) (err error) {
		ttl, err = s.KeepAlive(now, l)
		return err
	})
	if err != nil {
		return 0, err
	}
	return ttl, nil
}

// Revoke ends the lease.
func (c *Client) Revoke(ctx context.Context, l store.Lease) error {
	return c.call(ctx, "give up the lease", Call{Op: "revoke", Lease: l},
		func(_ time.Time, s *State) error { return s.Revoke(l) })
}

// Get returns the entry.
func (c *Client) Get(ctx context.Context, key string) (e store.Entry, at store.Revision, err error) {
	err = c.call(ctx, "read", Call{Op: "get", Key: key}, func(_ time.Time, s *State) error {
		if key == "" {
			return errors.New("the key is empty")
		}
		e, at = s.Get(key), s.Revision()
		return nil
	})
	if err != nil {
		return store.Entry{}, 0, err
	}
	return e, at, nil
}

// List returns the entries whose keys begin with the prefix.
func (c *Client) List(ctx context.Context, prefix string) (snap store.Snapshot, err error) {
	err = c.call(ctx, "read", Call{Op: "list", Key: prefix}, func(_ time.Time, s *State) error {
		snap = s.List(prefix)
		return nil
	})
	if err != nil {
		return store.Snapshot{}, err
	}
	return snap, nil
}

// Commit carries out the transaction.
func (c *Client) Commit(ctx context.Context, t store.Transaction) (out store.Outcome, err error) {
	err = c.call(ctx, "commit", Call{Op: "commit", Txn: t}, func(_ time.Time, s *State) (err error) {
		out, err = s.Commit(t)
		return err
	})
	if err != nil {
		return store.Outcome{}, err
	}
	return out, nil
}

// Watch tells what happens.
func (c *Client) Watch(ctx context.Context, prefix string, after store.Revision, tell func(store.Changes)) error {
	for {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		next, expiry, changed, err := c.server.since(prefix, after)
		if !c.isCut() {
			if err != nil {
				return &store.Error{Op: "watch", Key: prefix, Kind: err}
			}
			if next.Revision > after {
				after = next.Revision
				tell(next)
				continue
			}
		}
		if err := c.sleep(ctx, prefix, changed, expiry); err != nil {
			return err
		}
	}
}

// sleep waits until there may be something to tell.
func (c *Client) sleep(ctx context.Context, prefix string, changed <-chan struct{}, expiry time.Time) error {
	var over <-chan time.Time
	if c.server.clock == nil && !expiry.IsZero() {
		t := time.NewTimer(time.Until(expiry))
		defer t.Stop()
		over = t.C
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-c.closed:
		return &store.Error{Op: "watch", Key: prefix, Kind: store.ErrClosed}
	case <-over:
	case <-changed:
	}
	return nil
}
