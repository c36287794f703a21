package health

import (
	"context"
	"sync"
	"time"

	"procman/messages"
)

// batch makes the probes that were begun, on one goroutine: the loop, which lives as long as there are any.
type batch struct {
	checker *Checker
	http    *overHTTP
	limit   int // of connections of a kind at the same time, see kind

	mu      sync.Mutex
	begun   []*flight // the loop has not seen them yet
	broken  bool      // some that it has seen were broken off
	slow    [2]int    // connections that others have of it, by kind
	running bool
	later   *time.Timer // has the loop run that is to begin with more than one
	asleep  *poller     // nil: the loop does not wait
}

// flight is one probe that was begun. But for what is said to be the batch's, it belongs to the loop, or to whoever has
// it from that.
type flight struct {
	target
	batch *batch
	path  string
	probe messages.Probe
	done  func(messages.Probe)

	fd     int    // -1: none
	over6  bool   // it is asked at ::1
	first  error  // why it is not asked at 127.0.0.1
	unsent []byte // of the request; not empty: the connection is being made
	got    []byte // of the answer
	looks  int    // at the answer, which was not whole
	told   bool   // the server is to close

	broken bool               // guarded by batch.mu
	stop   context.CancelFunc // of what it does elsewhere; nil: nothing; guarded by batch.mu
}

// kind is 1 if the target was well the last time, else 0.
func (f *flight) kind() int {
	if f.Steady {
		return 1
	}
	return 0
}

// looksMost is how many times an answer is looked at from its beginning. One that comes in more parts, or is longer,
// has a goroutine of its own.
const (
	looksMost = 3
	longest   = 16 << 10
)

// atOnce is how many connections are made before it is looked what was answered: who has answered does not wait for
// all.
const atOnce = 8

// lull is how long the loop lets a steady probe wait for those that are due with it: begun one by one while it ran,
// beside who begins them, they would be many small batches, on two processors. gather is how long it is waited for all
// that were asked, before each is waited for: what is heard meanwhile costs one wake-up. Then for those that are left,
// twice as long, up to gathers. It is not done for a few that start, of which somebody waits to hear.
const (
	lull    = 200 * time.Microsecond
	gather  = time.Millisecond
	gathers = 4 * gather
	few     = 4
)

func newBatch(c *Checker, limit int) *batch {
	http, is := c.probers[plainHTTP].(*overHTTP)
	if !is || limit < 1 {
		return nil
	}
	b := &batch{checker: c, http: http, limit: limit}
	b.later = time.AfterFunc(time.Hour, b.run)
	b.later.Stop()
	return b
}

// flight returns a probe to begin; nil if it is none of those that are made here.
func (b *batch) flight(t messages.Target, done func(messages.Probe)) *flight {
	if b == nil || t.Port < 1 || t.Port > 65535 {
		return nil
	}
	at, by, p := b.checker.aim(context.Background(), t)
	if by != prober(b.http) {
		return nil
	}
	path, err := requestTarget(at.Policy.Path)
	if err != nil {
		return nil
	}
	return &flight{target: at, batch: b, path: path, probe: p, done: done, fd: -1}
}

func (b *batch) begin(f *flight) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.begun = append(b.begun, f)
	switch {
	case !b.running && f.Steady:
		b.running = true
		b.later.Reset(lull)
	case !b.running, !f.Steady && b.later.Stop():
		b.running = true
		go b.run()
	}
	b.wake()
}

// wake has the loop look around; b.mu is held.
func (b *batch) wake() {
	if b.asleep != nil {
		b.asleep.wake()
		b.asleep = nil
	}
}

// cancel breaks the flight off.
func (f *flight) cancel() {
	f.batch.mu.Lock()
	defer f.batch.mu.Unlock()
	f.broken = true
	if f.stop != nil {
		f.stop()
		return
	}
	f.batch.broken = true
	f.batch.wake()
}
