package output

import (
	"slices"
	"time"
)

// shift says where a spool stands with the workers.
type shift int

const (
	idle   shift = iota // nothing to do, or a timer or a watch will wake it
	queued              // in Outputs.ready
	atWork              // a worker has it
	again               // a worker has it, and something came after it began
)

// wake gives a spool a turn.
func (u *Outputs) wake(s *spool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.wakeLocked(s)
}

func (u *Outputs) wakeLocked(s *spool) {
	switch {
	case u.closed:
	case s.shift == idle:
		s.shift = queued
		u.ready = append(u.ready, s)
		u.work.Signal()
	case s.shift == atWork:
		s.shift = again
	}
}

func (u *Outputs) wakeAll() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, s := range u.spools {
		if len(s.followers) > 0 {
			u.wakeLocked(s)
		}
	}
}

// labour is the life of a worker: it gives turns until Close.
func (u *Outputs) labour() {
	buf := make([]byte, tailSize+turnBytes)
	for {
		s := u.next()
		if s == nil {
			return
		}
		u.release(s, u.turn(s, buf))
	}
}

// next waits for a spool that is due; nil after Close.
func (u *Outputs) next() *spool {
	u.mu.Lock()
	defer u.mu.Unlock()
	for len(u.ready) == 0 && !u.closed {
		u.work.Wait()
	}
	if u.closed {
		return nil
	}
	s := u.ready[0]
	u.ready[0] = nil
	u.ready = u.ready[1:]
	s.shift = atWork
	return s
}

// never says that a spool needs no turn until somebody wakes it.
const never time.Duration = -1

// release ends a spool's turn and sees to its next one, in the given time.
func (u *Outputs) release(s *spool, in time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if s.shift == again {
		in = 0
	}
	s.shift = idle
	if s.timer != nil {
		s.timer.Stop()
	}
	switch {
	case in == 0:
		u.wakeLocked(s)
	case in > 0 && !u.closed:
		// A timer that fires late finds a spool that does not need it, and costs one turn.
		s.timer = time.AfterFunc(in, func() { u.wake(s) })
	case len(s.followers) == 0:
		u.dropLocked(s)
	}
}

// current returns the follower whose turn it is, whether it ends, and who comes after it; nil where there is none.
func (u *Outputs) current(s *spool) (f *follower, stopping bool, heir *follower) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(s.followers) > 1 {
		heir = s.followers[1]
	}
	if len(s.followers) > 0 {
		f = s.followers[0]
		stopping = f.stopping
	}
	return f, stopping, heir
}

// precede puts the ghost of an earlier run before the others.
func (u *Outputs) precede(s *spool, ghost *follower) {
	u.mu.Lock()
	defer u.mu.Unlock()
	s.followers = slices.Insert(s.followers, 0, ghost)
}

// finish ends the first follower, and reports whether there is another.
func (u *Outputs) finish(s *spool) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	close(s.followers[0].done)
	s.followers[0] = nil
	s.followers = s.followers[1:]
	return len(s.followers) > 0
}
