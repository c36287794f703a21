package output

import (
	"slices"
	"time"

	opening "procman/actors/record"
	"procman/messages"
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

// worker gives turns. One that a disk keeps waiting is replaced, and ends with its turn.
type worker struct {
	u        *Outputs
	at       *spool // guarded by u.mu, as what follows
	replaced bool
}

// mostStalled is how many workers may wait for one file system that does not answer: so many threads it holds.
const mostStalled = 2

// labour is the life of a worker: it gives turns until Close.
func (u *Outputs) labour() {
	w := &worker{u: u}
	late := time.AfterFunc(time.Hour, w.replace)
	late.Stop()
	buf := make([]byte, tailSize+turnBytes)
	for {
		s := u.next(w)
		if s == nil {
			return
		}
		late.Reset(turnPatience)
		in := u.turn(s, buf)
		late.Stop()
		if u.release(w, s, in) {
			u.sayStalled(s.id)
			return
		}
	}
}

// replace has another worker go on if this one's turn does not end: those of other disks are harmed by none.
func (w *worker) replace() {
	u := w.u
	u.mu.Lock()
	s := w.at
	if s == nil || u.closed || w.replaced {
		u.mu.Unlock()
		return
	}
	w.replaced = true
	u.stalled[s.device]++
	u.crew.Go(u.labour)
	u.mu.Unlock()
	u.sayStalled(s.id)
}

// sayStalled logs that a disk does not answer, or that all do again.
func (u *Outputs) sayStalled(id messages.InstanceID) {
	u.saying.Lock()
	defer u.saying.Unlock()
	u.mu.Lock()
	all := len(u.stalled) == 0
	u.mu.Unlock()
	var err error
	if !all {
		err = &opening.StalledError{Name: diskName, For: turnPatience}
	}
	u.stalling.note(u.log, err, "output is not forwarded, nor its place saved", "instance", string(id),
		"consequence", "what is on the same disk waits for it, and nobody else")
}

// next waits for a spool that is due; nil after Close. Those on a disk that does not answer are passed over while enough
// wait for it.
func (u *Outputs) next(w *worker) *spool {
	u.mu.Lock()
	defer u.mu.Unlock()
	for {
		if u.closed {
			return nil
		}
		n := slices.IndexFunc(u.ready, func(s *spool) bool { return u.stalled[s.device] < mostStalled })
		if n < 0 {
			u.work.Wait()
			continue
		}
		s := u.ready[n]
		if n == 0 {
			u.ready[0] = nil
			u.ready = u.ready[1:]
		} else {
			u.ready = slices.Delete(u.ready, n, n+1)
		}
		s.shift, w.at = atWork, s
		return s
	}
}

// never says that a spool needs no turn until somebody wakes it.
const never time.Duration = -1

// release ends a spool's turn and sees to its next one, in the given time. It reports whether the worker was replaced.
func (u *Outputs) release(w *worker, s *spool, in time.Duration) (replaced bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	w.at = nil
	if w.replaced {
		if u.stalled[s.device]--; u.stalled[s.device] == 0 {
			delete(u.stalled, s.device)
		}
		u.work.Broadcast() // others were passed over
	}
	s.device = s.found
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
	return w.replaced
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
