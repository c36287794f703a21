package actors

import (
	"context"
	"sync"
	"time"

	"procman/actors/gate"
	"procman/messages"
)

// Gate rations the processor among the instances that are starting, see package gate, which decides. A thousand
// processes that all compile their module at the same moment would starve each other past every deadline. A nil Gate
// lets all pass. Nobody looks at anything, and no timer runs, while nobody waits.
type Gate struct {
	mu      sync.Mutex
	core    *gate.Gate
	waiting map[messages.InstanceID]*passage // nil: nobody does
	timer   *time.Timer
	due     time.Time // when the timer fires; zero: it is not set
	looking bool      // somebody looks, without the lock
}

// NewGate returns a gate that lets so many instances at once use the processor for their start.
func NewGate(places int) *Gate {
	return &Gate{core: gate.New(places)}
}

// passage is one start's way through the gate.
type passage struct {
	gate.Start
	then  func(passed bool) // called once, with the lock: it may go on, or is not to; it does not block
	waits bool              // it was not called yet
	stop  func() bool       // no longer awaits the end of its context; nil: nobody does
	work  Worker            // nil: nobody can tell; set before it is begun
}

// Waits says of an instance whether its start waits for its turn, and for how many others that use the processor.
func (g *Gate) Waits(id messages.InstanceID) messages.Queue {
	if g == nil {
		return messages.Queue{}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.waiting[id]
	if p == nil {
		return messages.Queue{}
	}
	busy, places := g.core.Taken()
	return messages.Queue{Waits: true, Precedence: p.Precedence(), Busy: busy, Places: places}
}

// gatherTime is how long those are waited for that come at the same moment: longer than a thousand take.
const gatherTime = 20 * time.Millisecond

// Gather has those that come in a moment go on in the order of their priorities, and not in that in which they happen
// to come.
func (g *Gate) Gather() {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.core.Gather(time.Now().Add(gatherTime))
}

// enter has p.then called when the start may go on, or when ctx ends first. A start that waits has no goroutine: a
// thousand that are there at once are kept by the runtime for good.
func (g *Gate) enter(ctx context.Context, p *passage, priority int, precedence func() messages.Precedence) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if ctx.Err() != nil {
		p.then(false)
		return
	}
	g.core.ArriveWith(&p.Start, precedence(), priority)
	p.waits = true
	if g.waiting == nil {
		g.waiting = map[messages.InstanceID]*passage{}
	}
	g.waiting[p.ID] = p
	g.call(time.Now())
	if p.waits {
		p.stop = context.AfterFunc(ctx, func() { g.giveUp(p) })
	}
}

// giveUp ends the waiting of one that has not been let go on.
func (g *Gate) giveUp(p *passage) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !p.waits {
		return
	}
	g.core.Leave(&p.Start)
	g.over(p, false)
	g.call(time.Now())
}

// over ends the waiting.
func (g *Gate) over(p *passage, passed bool) {
	p.waits = false
	if g.waiting[p.ID] == p {
		delete(g.waiting, p.ID)
		if len(g.waiting) == 0 {
			g.waiting = nil // a map keeps the room for as many as it ever had
		}
	}
	if p.stop != nil {
		p.stop()
	}
	p.then(passed)
}

func (g *Gate) began(p *passage, process Process) {
	g.mu.Lock()
	defer g.mu.Unlock()
	p.work, _ = process.(Worker)
	now := time.Now()
	g.core.Began(&p.Start, now, p.work != nil)
	g.arm(now)
}

func (g *Gate) leave(p *passage) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.core.Leave(&p.Start)
	g.call(time.Now())
}

// call has those go on that may.
func (g *Gate) call(now time.Time) {
	for s := g.core.Next(now); s != nil; s = g.core.Next(now) {
		g.over(s.Of.(*passage), true)
	}
	g.arm(now)
}

// arm has somebody look when that is due.
func (g *Gate) arm(now time.Time) {
	at, due := g.core.LookAt()
	switch {
	case !due || g.looking:
		if g.timer != nil {
			g.timer.Stop()
		}
		g.due = time.Time{}
	case g.timer == nil:
		g.due, g.timer = at, time.AfterFunc(at.Sub(now), g.look)
	case !at.Equal(g.due):
		g.due = at
		g.timer.Reset(at.Sub(now))
	}
}

// look looks at those that are due. What it reads of them it reads without the lock: who is healthy does not wait for
// it.
func (g *Gate) look() {
	g.mu.Lock()
	if g.looking {
		g.mu.Unlock()
		return
	}
	due := g.core.Due(time.Now())
	g.looking = true
	g.mu.Unlock()
	uses := make([]gate.Use, len(due))
	seen := make([]bool, len(due))
	for n, l := range due {
		uses[n], seen[n] = see(l)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.looking, g.due = false, time.Time{}
	now := time.Now()
	for n, l := range due {
		if seen[n] {
			g.core.Saw(l.Start, uses[n], now)
		} else {
			g.core.Unseen(l.Start)
		}
	}
	g.call(now)
}

func see(l gate.Look) (u gate.Use, seen bool) {
	work := l.Start.Of.(*passage).work
	used, err := work.Used()
	if err != nil {
		return u, false
	}
	u.Time = used
	if l.Closer(used, time.Now()) {
		u.Runs, u.Family = work.Runs()
	}
	return u, true
}

// slot is a run's place in the gate, until it is healthy.
type slot struct {
	gate       *Gate
	id         messages.InstanceID
	precedence messages.Precedence // guarded by the gate
	priority   int
	passage    *passage // the newest; nil: it has not come to the gate
}

// await has then called when the start may go on, or when ctx ends first.
func (s *slot) await(ctx context.Context, then func(passed bool)) {
	if s.gate == nil {
		then(ctx.Err() == nil)
		return
	}
	s.passage = &passage{then: then}
	s.passage.Of, s.passage.ID = s.passage, s.id
	s.gate.enter(ctx, s.passage, s.priority, func() messages.Precedence { return s.precedence })
}

func (s *slot) Acquire(ctx context.Context, _ *messages.Launch) error {
	passed := make(chan bool, 1)
	s.await(ctx, func(is bool) { passed <- is })
	if !<-passed {
		return ctx.Err()
	}
	return nil
}

// Begin says which process the start has come to.
func (s *slot) Begin(p Process) {
	if s.gate != nil {
		s.gate.began(s.passage, p)
	}
}

// urge has the start go before others, now if it waits, and when it comes to the gate again.
func (s *slot) urge() {
	if s.gate == nil {
		return
	}
	s.gate.mu.Lock()
	defer s.gate.mu.Unlock()
	s.precedence = messages.PrecedenceUrgent
	if p := s.gate.waiting[s.id]; p != nil {
		s.gate.core.Urge(&p.Start)
	}
}

func (s *slot) Attach(*messages.Launched) error { return nil }

func (s *slot) Release(*End) {
	if s.gate != nil {
		s.gate.leave(s.passage)
		s.passage = nil
	}
}
