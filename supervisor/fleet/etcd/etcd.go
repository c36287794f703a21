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

	mu     sync.Mutex
	closed bool
	at     int    // of servers: the one that is asked
	token  string // of the user; empty: to be asked for
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

// request is one call of one of etcd's methods.
type request struct {
	op, key string // for the error
	method  string
	message message
	again   bool // it may be sent twice
	decode  func([]byte) (answer, error)
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
			s.forget()
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

// forget has the user authenticate anew.
func (s *Store) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token = ""
}

// try asks one server.
func (s *Store) try(ctx context.Context, server *server, r request) (a answer, err error) {
	if r.again && len(s.servers) > 1 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.o.Patience)
		defer cancel()
	}
	c, err := server.connection(s.o.tls)
	if err != nil {
		return a, notSentError{err}
	}
	stream, done, err := s.open(ctx, server, c, r, false)
	if err != nil {
		return a, err
	}
	m, err := stream.one()
	stream.close()
	if done(err); err != nil {
		return a, err
	}
	return r.decode(m)
}

// open sends the request over a connection to a server that is known to be of a good version. done tells what became of it.
func (s *Store) open(ctx context.Context, server *server, c *connection, r request, stays bool) (_ *stream, done func(error), err error) {
	done = func(err error) {
		_, said := errors.AsType[*status](err)
		cause := context.Cause(ctx)
		if err != nil && !said && (cause == nil || errors.Is(cause, context.DeadlineExceeded)) {
			server.distrust(c)
		}
	}
	s.mu.Lock()
	token := s.token
	s.mu.Unlock()
	if s.o.User != "" && token == "" {
		if token, err = s.authenticate(ctx, server, c); err != nil {
			done(err)
			return nil, nil, err
		}
	}
	if !c.good.Load() {
		if err = server.verify(ctx, c, token); err != nil {
			done(err)
			return nil, nil, before(err)
		}
	}
	stream, err := call(ctx, c, server.url, r.method, token, r.message, stays)
	if err != nil {
		done(err)
	}
	return stream, done, err
}

// before is the error of what has to be done before a request is sent: the request was not.
func before(err error) error {
	if _, kind := kindOf(err); kind == store.ErrUnavailable {
		return notSentError{err}
	}
	return err
}

// authenticate returns a token. It is empty if etcd asks nobody who he is.
func (s *Store) authenticate(ctx context.Context, server *server, c *connection) (string, error) {
	password, err := s.o.password()
	if err != nil {
		return "", notSentError{err}
	}
	stream, err := call(ctx, c, server.url, "Auth/Authenticate", "", authenticateRequest(s.o.User, password), false)
	if err == nil {
		defer stream.close()
		var m []byte
		if m, err = stream.one(); err == nil {
			a, err := textAnswer(m)
			if err != nil {
				return "", notSentError{err}
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			s.token = a.token
			return a.token, nil
		}
	}
	if st, is := errors.AsType[*status](err); is && st.code == codeFailedPrecondition {
		return "", nil
	}
	return "", before(err)
}
