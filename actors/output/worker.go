package output

import (
	"os"
	"runtime"
	"slices"
	"time"

	"procman/actors/record"
	"procman/messages"
)

const (
	// turnPatience is how long a turn may take until another worker goes on: more than a loaded host makes of one.
	turnPatience = 5 * time.Second
	// mostStalled is how many workers may wait for one file system that does not answer: so many threads it holds.
	mostStalled = 2
	// never says that a source needs no turn until somebody wakes it.
	never time.Duration = -1
)

// worker gives turns to sources that are due. One that a disk keeps waiting is replaced, and ends with its turn.
type worker struct {
	u     *Outputs
	small []byte
	large *[]byte // for the turn under way, from Outputs.large; nil: small is enough

	// Guarded by Outputs.mu.
	source   *source // that has the turn; nil: none. The worker itself may look without the lock
	device   uint64  // that it is on
	since    time.Time
	replaced bool

	// Of the turn under way.
	began    time.Time
	follower *follower
	files    [2]*os.File // that are open
	armed    [2]bool     // which had a watch that had told nothing
	ending   bool        // it ends
	final    bool        // and a line that it has begun is all there will be of it
	news     bool        // something has changed
	more     bool        // there is more than the turn took
	poll     bool        // a file is missing or sick: look again in a while
}

func workers() int { return min(4, max(2, runtime.GOMAXPROCS(0))) }

// wake gives a source a turn; u.mu is held.
func (u *Outputs) wake(s *source) {
	if u.closed || s.queued {
		return
	}
	s.queued = true
	if !s.busy {
		u.due = append(u.due, s)
		u.work.Signal()
	}
}

// wakeAll gives every source that is followed a turn; u.mu is held.
func (u *Outputs) wakeAll() {
	for _, s := range u.sources {
		if len(s.followers) > 0 {
			u.wake(s)
		}
	}
}

// run is the life of a worker: it gives turns until Close.
func (u *Outputs) run() {
	w := &worker{u: u, small: make([]byte, smallBytes)}
	late := time.AfterFunc(time.Hour, w.replace)
	late.Stop()
	for s := w.next(); s != nil; s = w.next() {
		late.Reset(u.o.patience)
		in := w.turn(s)
		late.Stop()
		if w.release(in) {
			u.sayStalled(s.id)
			return
		}
	}
}

// smallBytes is what a turn has room for without memory that is given back after it.
const smallBytes = 4 << 10

// bytes returns room for n bytes, at most for what a turn takes. It is used again by the next call.
func (w *worker) bytes(n int64) []byte {
	if n <= smallBytes {
		return w.small[:n]
	}
	if w.large == nil {
		w.large, _ = w.u.large.Get().(*[]byte)
	}
	if w.large == nil {
		b := make([]byte, fingerprintSize+turnBytes)
		w.large = &b
	}
	return (*w.large)[:n]
}

// next waits for a source that is due; nil after Close. Those on a disk that does not answer are passed over while
// enough wait for it.
func (w *worker) next() *source {
	u := w.u
	u.mu.Lock()
	defer u.mu.Unlock()
	for !u.closed {
		n := slices.IndexFunc(u.due, func(s *source) bool { return u.stalled[s.device] < mostStalled })
		if n < 0 {
			u.work.Wait()
			continue
		}
		s := u.due[n]
		if n == 0 {
			u.due[0] = nil
			u.due = u.due[1:]
		} else {
			u.due = slices.Delete(u.due, n, n+1)
		}
		s.queued, s.busy = false, true
		w.source, w.device, w.since = s, s.device, time.Now()
		return s
	}
	return nil
}

// place finds out on which disk a source is, and reports whether that keeps enough workers waiting.
func (w *worker) place(s *source) (stalled bool) {
	if w.device != 0 {
		return false
	}
	device, _ := deviceOf(w.u.dir.Instance(s.id))
	w.u.mu.Lock()
	defer w.u.mu.Unlock()
	s.device = device
	if !w.replaced {
		w.device = device
	}
	return w.u.stalled[device] >= mostStalled
}

// current takes up the follower whose turn it is, and returns who comes after it; nil where there is none.
func (w *worker) current(s *source) (heir *follower) {
	w.u.mu.Lock()
	defer w.u.mu.Unlock()
	w.follower, w.ending = nil, false
	if len(s.followers) > 0 {
		w.follower, w.ending = s.followers[0], s.followers[0].ending
	}
	if len(s.followers) > 1 {
		heir = s.followers[1]
	}
	w.watchesLocked(s)
	return heir
}

// watches finds out which files have a watch that has told nothing.
func (w *worker) watches(s *source) {
	w.u.mu.Lock()
	defer w.u.mu.Unlock()
	w.watchesLocked(s)
}

func (w *worker) watchesLocked(s *source) {
	for n, t := range s.tails {
		w.armed[n] = w.u.watch != nil && w.u.watch.armed(t)
	}
}

// turn gives the first follower of a source its share, and returns after which time the source needs another.
func (w *worker) turn(s *source) time.Duration {
	if w.place(s) {
		return 0
	}
	if !s.loaded {
		s.load()
	}
	both, heir := [2]bool{true, true}, w.current(s)
	f := w.follower
	if f == nil {
		if u := w.u; u.account.Load() != nil {
			w.shrink(s)
		}
		return never
	}
	begun := s.active != f
	quiet := [2]bool{} // whose watch would have told of anything new; of a total each turn gives an account
	if s.resting && !begun && !w.ending && w.u.account.Load() == nil {
		quiet = w.armed
	}
	if quiet == both {
		return s.rest(s.saveInTime())
	}
	s.resting = false
	saved := !begun || s.takeUp(f)
	if heir != nil && heir.run == f.run {
		// The same process goes on: so does its line.
		s.finish()
		return 0
	}
	w.began = time.Now()
	w.final = w.ending && (heir != nil || f.ghost || !alive(f.pid))
	w.news, w.more, w.poll = false, false, false
	// What is watched before it is looked at need not be looked at again; but not of one that writes on and on.
	watched := !w.ending && w.u.age()-s.newsAt > 2*settle && s.arm()
	if watched {
		w.watches(s)
	}
	w.visitAll(s, saved, quiet)
	if w.news {
		s.newsAt = w.u.age()
		s.tell()
	}
	if w.ending && !w.more {
		return s.end(w.final)
	}
	wait := s.saveInTime()
	switch {
	case w.more:
		return w.breath()
	case watched && !w.poll && w.armed == both:
		return s.rest(wait)
	case w.news:
		return sooner(wait, settle)
	case w.poll || !s.arm():
		return sooner(wait, pollEvery)
	case s.moved():
		return 0
	}
	return s.rest(wait)
}

// visitAll gives each file its share. What the checkpoints are of is on disk before anything is forwarded, unless it is
// already: if we die then, the next manager must know whose lines it finds.
func (w *worker) visitAll(s *source, saved bool, quiet [2]bool) {
	var errs [2]error
	for n, t := range s.tails {
		if !quiet[n] {
			errs[n] = w.look(t)
		}
	}
	if !saved || !s.sick && s.confused() {
		_ = s.save() // a failure was said, and it is tried again in time
	}
	for n, t := range s.tails {
		if errs[n] == nil {
			errs[n] = w.visit(t)
		}
		w.u.count(t, true, errs[n])
		w.conclude(t, errs[n])
	}
	if !s.sick && s.confused() {
		_ = s.save() // likewise
	}
}

// breath is how long a source that floods waits for its next turn: so long that to follow it takes two thirds of a
// processor at the most. Where there are two, the rest of the manager and of the host then finds room beside both.
func (w *worker) breath() time.Duration {
	if w.ending {
		return 0
	}
	return min(time.Since(w.began)/2, settle)
}

// release ends the turn and sees to the source's next one, in the given time. It reports whether the worker was
// replaced.
func (w *worker) release(in time.Duration) (replaced bool) {
	u, s := w.u, w.source
	u.mu.Lock()
	defer u.mu.Unlock()
	w.source, w.follower = nil, nil
	if w.large != nil {
		u.large.Put(w.large)
		w.large = nil
	}
	if w.replaced {
		if u.stalled[w.device]--; u.stalled[w.device] == 0 {
			delete(u.stalled, w.device)
		}
		u.work.Broadcast() // others were passed over
	}
	again := s.queued || in == 0
	s.queued, s.busy = false, false
	if s.timer != nil {
		s.timer.Stop()
	}
	if in == never {
		s.timer = nil
	}
	switch {
	case again:
		u.wake(s)
	case in > 0 && !u.closed && s.timer != nil:
		s.timer.Reset(in)
	case in > 0 && !u.closed:
		// A timer that fires late finds a source that does not need it, and costs one turn.
		s.timer = time.AfterFunc(in, func() {
			u.mu.Lock()
			defer u.mu.Unlock()
			u.wake(s)
		})
	case len(s.followers) == 0:
		u.forget(s)
	}
	return w.replaced
}

// replace has another worker go on if this one's turn does not end: those of other disks are harmed by none.
func (w *worker) replace() {
	u := w.u
	u.mu.Lock()
	s := w.source
	if s == nil || u.closed || w.replaced || time.Since(w.since) < u.o.patience {
		u.mu.Unlock()
		return
	}
	w.replaced = true
	u.stalled[w.device]++
	u.crew.Go(u.run)
	u.mu.Unlock()
	u.sayStalled(s.id)
}

// sayStalled logs that a disk does not answer, or that all do again.
func (u *Outputs) sayStalled(id messages.InstanceID) {
	u.stalling.mu.Lock()
	defer u.stalling.mu.Unlock()
	u.mu.Lock()
	all := len(u.stalled) == 0
	u.mu.Unlock()
	var err error
	if !all {
		err = &record.StalledError{Name: diskName, For: u.o.patience}
	}
	u.stalling.trouble.note(u.log, err, "output is not forwarded, nor its place saved", "instance", string(id),
		"consequence", "what is on the same disk waits for it, and nobody else")
}

// sooner returns the shorter of two times, of which the first may be never.
func sooner(a, b time.Duration) time.Duration {
	if a == never {
		return b
	}
	return min(a, b)
}
