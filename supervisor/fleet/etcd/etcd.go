package etcd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"procman/supervisor/fleet/store"
)

// Store is a store.Store on etcd.
type Store struct {
	o       Options
	log     *slog.Logger
	servers []*server

	life  context.Context // ends with Close
	end   context.CancelFunc
	calls sync.WaitGroup

	tokens tokens

	mu     sync.Mutex
	closed bool
	at     int // of servers: the one that is asked
}

var _ store.Store = (*Store)(nil)

// Open returns the store. It asks nobody yet: that a server is too old, or cannot be reached, the first call says.
func Open(o Options) (*Store, error) {
	if err := o.Check(); err != nil {
		return nil, &store.Error{Op: "use the store of the fleet", Kind: store.ErrInvalid, Cause: err}
	}
	o.Patience = cmp.Or(o.Patience, time.Second)
	s := &Store{o: o, log: cmp.Or(o.Logger, slog.New(slog.DiscardHandler))}
	for _, e := range o.Endpoints {
		s.servers = append(s.servers, &server{url: strings.TrimRight(e, "/")})
	}
	s.at = rand.IntN(len(s.servers)) // or all hosts ask the first one
	s.life, s.end = context.WithCancel(context.Background())
	return s, nil
}

// Close ends every call and watch.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.end()
	s.calls.Wait()
	for _, server := range s.servers {
		server.close()
	}
	return nil
}

// enter returns a context that ends with the call's or with the store.
func (s *Store) enter(ctx context.Context) (_ context.Context, leave func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, false
	}
	s.calls.Add(1)
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(s.life, func() { cancel(store.ErrClosed) })
	return ctx, func() { stop(); cancel(nil); s.calls.Done() }, true
}

// request is one call of etcd's.
type request struct {
	op, key string // for the error
	again   bool   // it may be sent twice
	do      func(ctx context.Context, c *connection) (answer, error)
}

// answer is what of one is needed.
type answer struct {
	revision store.Revision
	entries  []store.Entry
	more     bool // there are more entries
	done     bool // the transaction was carried out
	lease    store.Lease
	ttl      time.Duration
}

// ask returns the answer of whichever server gives one.
func (s *Store) ask(ctx context.Context, r request) (answer, error) {
	fail := func(kind, cause error, advice string) (answer, error) {
		return answer{}, &store.Error{Op: r.op, Key: r.key, Kind: kind, Cause: cause, Advice: advice}
	}
	ctx, leave, ok := s.enter(ctx)
	if !ok {
		return fail(store.ErrClosed, nil, "")
	}
	defer leave()
	var last error
	renewed, old := false, false
	for n := 0; ; n++ {
		if err := s.pause(ctx, n); err != nil {
			if s.life.Err() != nil {
				return fail(store.ErrClosed, nil, "")
			}
			return fail(store.ErrUnavailable, ended(ctx, last), "")
		}
		server, at := s.current()
		a, err := s.try(ctx, server, r)
		if err == nil {
			return a, nil
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
		advice, kind := kindOf(err)
		old = old || kind == store.ErrTooOld
		switch {
		case ctx.Err() != nil: // that is said at the top
		case unauthenticated(err) && s.o.User != "" && !renewed:
			renewed = true
			s.tokens.set("")
		case elsewhere(err) || r.again && kind == store.ErrUnavailable:
			if s.next(at); n+1 >= len(s.servers) && old {
				return fail(store.ErrTooOld, err, advice)
			}
		default:
			return fail(kind, err, advice)
		}
	}
}

// ended is the cause of a call that ended with its context.
func ended(ctx context.Context, last error) error {
	if last == nil {
		return context.Cause(ctx)
	}
	return fmt.Errorf("%w; last: %w", context.Cause(ctx), last)
}

// pause waits when all servers were asked. The error is that of the context.
func (s *Store) pause(ctx context.Context, n int) error {
	round := n / len(s.servers)
	if round == 0 || n%len(s.servers) != 0 {
		return ctx.Err()
	}
	t := time.NewTimer(min(time.Second, 25*time.Millisecond<<min(round, 6)) + rand.N(25*time.Millisecond))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

func (s *Store) current() (*server, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.servers[s.at], s.at
}

// next has another server asked, unless somebody else had that already.
func (s *Store) next(at int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at == at {
		s.at = (at + 1) % len(s.servers)
	}
}

// try asks one server.
func (s *Store) try(ctx context.Context, server *server, r request) (a answer, err error) {
	if r.again && len(s.servers) > 1 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.o.Patience)
		defer cancel()
	}
	c, err := s.open(ctx, server)
	if err != nil {
		return a, err
	}
	// or a server that was cut off from the others answers what it remembers
	a, err = r.do(clientv3.WithRequireLeader(ctx), c)
	return a, s.judge(ctx, server, c, err)
}

// judge returns the error of a call over a connection, and gives that up if nothing was said over it.
func (s *Store) judge(ctx context.Context, server *server, c *connection, err error) error {
	if err == nil {
		return nil
	}
	err = said(err)
	_, answered := errors.AsType[*status](err)
	_, old := errors.AsType[*tooOldError](err)
	cause := context.Cause(ctx)
	if !answered && !old && (cause == nil || errors.Is(cause, context.DeadlineExceeded)) {
		server.distrust(c)
	}
	return err
}

// open returns a connection to the server, which is known to be of a good version and to know who asks.
func (s *Store) open(ctx context.Context, server *server) (*connection, error) {
	c, err := server.connection(&s.o, &s.tokens)
	if err != nil {
		return nil, notSentError{err}
	}
	if s.o.User != "" && s.tokens.get() == "" {
		if err := s.authenticate(ctx, c); err != nil {
			return nil, before(s.judge(ctx, server, c, err))
		}
	}
	if !c.good.Load() {
		if err := server.verify(ctx, c); err != nil {
			return nil, before(s.judge(ctx, server, c, err))
		}
	}
	return c, nil
}

// before is the error of what has to be done before a request is sent: the request was not.
func before(err error) error {
	if _, kind := kindOf(err); kind == store.ErrUnavailable {
		return notSentError{err}
	}
	return err
}
