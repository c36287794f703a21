package memory

import (
	"sync"
	"time"

	"procman/supervisor/fleet/store"
)

// Server is a State that several clients share.
type Server struct {
	clock func() time.Time // nil: time.Now

	mu      sync.Mutex
	state   State
	changed chan struct{} // closed at a change of anything that a watch waits for
}

// New returns an empty store. Its clock is time.Now if clock is nil. With another one somebody has to call Tick when it
// has moved on, for watches to be told of what has run out.
func New(clock func() time.Time) *Server {
	return &Server{clock: clock, changed: make(chan struct{})}
}

func (s *Server) now() time.Time {
	if s.clock != nil {
		return s.clock()
	}
	return time.Now()
}

// Do has f look at the store, or change it, at one moment.
func (s *Server) Do(f func(now time.Time, state *State)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	s.state.Expire(now)
	f(now, &s.state)
	s.wake()
}

// wake is called with the lock held.
func (s *Server) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// since returns what a watch has to tell, and what it waits for if that is nothing. It wakes nobody but at an expiry:
// watches would wake each other for ever.
func (s *Server) since(prefix string, after store.Revision) (next store.Changes, expiry time.Time,
	changed <-chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.state.Revision()
	if s.state.Expire(s.now()); s.state.Revision() != before {
		s.wake()
	}
	next, err = s.state.Since(prefix, after)
	return next, s.state.NextExpiry(), s.changed, err
}

// Tick ends the leases that have run out.
func (s *Server) Tick() { s.Do(func(time.Time, *State) {}) }

// Compact forgets the changes before the revision.
func (s *Server) Compact(before store.Revision) {
	s.Do(func(_ time.Time, state *State) { state.Compact(before) })
}

// Elect is a change of the store's leader: every lease lasts for its TTL anew.
func (s *Server) Elect() {
	s.Do(func(now time.Time, state *State) { state.Elect(now) })
}

// Client returns what one host has of the store. Each fails on its own.
func (s *Server) Client() *Client { return &Client{server: s, closed: make(chan struct{})} }
