package actors

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"procman/actors/run"
	"procman/messages"
)

// Rounds makes the probes of all instances that are well, as the schedule of each says. There is one timer for all, set
// for the next that is due; while nothing is due, nothing of it runs. No instance waits for another.
type Rounds struct {
	checker BatchChecker
	epoch   time.Time

	mu      sync.Mutex
	waiting patients
	timer   *time.Timer
	armed   time.Time // for when the timer is set; zero: it is not
}

// together is how much sooner than its time a probe may be made that is due in the same slot as another.
const together = time.Millisecond

// NewRounds returns one with nobody to probe.
func NewRounds(c HealthChecker) *Rounds {
	batch, is := c.(BatchChecker)
	if !is {
		batch = single{c}
	}
	return &Rounds{checker: batch, epoch: time.Now()}
}

// patient is one that is probed on the rounds, from its join until it leaves or a probe is not good.
type patient struct {
	rounds   *Rounds
	schedule run.Schedule
	target   func() messages.Target
	run      int
	recent   *Recent
	bad      func(messages.Probe)

	// Guarded by the mutex of the rounds.
	due    time.Time
	place  int       // among those who wait; -1: not there
	proved time.Time // when it was last asked whose the listener is
	body   string    // what was answered then
	gone   bool
	asks   bool   // the probe that is out asks for that
	out    int    // the probe that is out, counted; 0: none is
	made   int    // so many were
	cancel func() // of the probe that is out; nil: none is, or it is about to be known
}

// join has the target probed from now on, as it is made for each probe. bad is told of the first probe that is not
// good, from a goroutine of its own, and must not wait; with it the patient has left.
func (r *Rounds) join(s run.Schedule, target func() messages.Target, number int, recent *Recent,
	bad func(messages.Probe)) *patient {
	p := &patient{rounds: r, schedule: s, target: target, run: number, recent: recent, bad: bad, place: -1}
	r.mu.Lock()
	defer r.mu.Unlock()
	p.due = s.First(r.epoch, time.Now())
	r.wait(p)
	return p
}

// leave ends the rounds for the patient, and a probe that is out: nothing is told of it any more, but for what is being
// told. A nil patient has left.
func (p *patient) leave() {
	if p == nil {
		return
	}
	p.rounds.mu.Lock()
	gone, cancel := p.gone, p.cancel
	p.gone = true
	if p.place >= 0 {
		heap.Remove(&p.rounds.waiting, p.place)
		p.rounds.arm()
	}
	p.rounds.mu.Unlock()
	if !gone && cancel != nil {
		cancel()
	}
}

// wait puts the patient among those who wait; r.mu is held.
func (r *Rounds) wait(p *patient) {
	heap.Push(&r.waiting, p)
	r.arm()
}

// arm sets the timer for the first who waits; r.mu is held.
func (r *Rounds) arm() {
	switch {
	case len(r.waiting) == 0:
		if r.timer != nil {
			r.timer.Stop()
		}
		r.armed = time.Time{}
	case !r.waiting[0].due.Equal(r.armed):
		r.armed = r.waiting[0].due
		if r.timer == nil {
			r.timer = time.AfterFunc(time.Until(r.armed), r.visit)
			return
		}
		r.timer.Reset(time.Until(r.armed))
	}
}

// visit probes those who are due.
func (r *Rounds) visit() {
	r.mu.Lock()
	now := time.Now()
	var due []*patient
	for len(r.waiting) > 0 && r.waiting[0].due.Sub(now) < together {
		p := heap.Pop(&r.waiting).(*patient)
		if p.schedule.Missed(p.due, now) {
			p.due = p.schedule.First(r.epoch, now.Add(together))
			heap.Push(&r.waiting, p)
			continue
		}
		p.asks = p.schedule.Proves(p.proved, now)
		due = append(due, p)
	}
	r.armed = time.Time{}
	r.arm()
	r.mu.Unlock()
	for _, p := range due {
		p.probe()
	}
}

func (p *patient) probe() {
	p.rounds.mu.Lock()
	gone, asks := p.gone, p.asks
	p.made++
	number := p.made
	p.out = number
	p.rounds.mu.Unlock()
	if gone {
		return
	}
	t := p.target()
	t.Steady, t.Proved = true, !asks
	cancel := p.rounds.checker.Begin(t, p.probed)
	p.rounds.mu.Lock()
	gone = p.gone
	if p.out == number { // what holds a probe is not kept longer than that
		p.cancel = cancel
	}
	p.rounds.mu.Unlock()
	if gone {
		cancel()
	}
}

// probed takes in what a probe found.
func (p *patient) probed(found messages.Probe) {
	r := p.rounds
	r.mu.Lock()
	if p.gone {
		r.mu.Unlock()
		return
	}
	p.out, p.cancel = 0, nil
	p.recent.add(p.run, found)
	if !found.OK {
		p.gone = true
		r.mu.Unlock()
		p.bad(found)
		return
	}
	defer r.mu.Unlock()
	now := time.Now()
	switch {
	case p.asks:
		p.proved, p.body = now, found.Body
	case p.body != found.Body:
		p.proved = time.Time{} // another answer may be another's
	}
	p.due = p.schedule.Next(r.epoch, now)
	r.wait(p)
}

// patients are those who wait, a heap: the first is due first.
type patients []*patient

func (p patients) Len() int           { return len(p) }
func (p patients) Less(i, j int) bool { return p[i].due.Before(p[j].due) }
func (p patients) Swap(i, j int) {
	p[i], p[j] = p[j], p[i]
	p[i].place, p[j].place = i, j
}

// Push is heap.Interface's.
func (p *patients) Push(x any) {
	x.(*patient).place = len(*p)
	*p = append(*p, x.(*patient))
}

// Pop is heap.Interface's.
func (p *patients) Pop() any {
	last := len(*p) - 1
	x := (*p)[last]
	(*p)[last] = nil
	*p = (*p)[:last]
	x.place = -1
	return x
}

// single makes each probe in a goroutine of its own.
type single struct{ HealthChecker }

// Begin begins one.
func (s single) Begin(t messages.Target, done func(messages.Probe)) (cancel func()) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer cancel()
		done(s.Check(ctx, t))
	}()
	return cancel
}
