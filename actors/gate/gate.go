package gate

import (
	"slices"
	"time"

	"procman/messages"
)

// The times of the gate.
const (
	// firstLook is when a process is looked at first. A program that has nothing to prepare listens by then.
	firstLook = 2 * time.Millisecond
	// Who works is looked at again after a quarter of the time that it has been at it, who rests when it has rested for
	// as long again, within these bounds.
	soonest     = time.Millisecond
	latestWork  = 100 * time.Millisecond
	restless    = 2 * time.Millisecond
	latestRest  = 250 * time.Millisecond
	forkTime    = 250 * time.Millisecond // by then there is a process, or it is no processor that is waited for
	littleWork  = 5 * time.Millisecond   // a process that has used less is one that begins
	endlessWork = 10 * time.Second       // and one that has used more may never end,
	endlessTime = 30 * time.Second       // or has been at it for so long
)

const (
	passedBy  = 8  // so many of those that go before one go before it in a row
	looksOnce = 64 // so many are looked at in one go

	// What a start takes of a place of which it is not known yet what it does: all of it, or less by each before it
	// that had next to nothing to do, and more again by each that is at work.
	whole   = 1000
	least   = whole / 8
	lighter = 4.0 / 5
	heavier = whole / 4
)

// Use is how a process is seen to use the processor.
type Use struct {
	Time   time.Duration // what it has used altogether
	Runs   bool          // it or one that it has started runs at this moment, or waits for the processor
	Family bool          // it has started others that live
}

// Start is one start on its way. The zero Start has not come to the gate yet; one that has left does not come again.
type Start struct {
	Of any // the caller's own
	ID messages.InstanceID

	precedence messages.Precedence
	priority   int32
	stage      stage
	place      place
	at         int // in looks; -1: it is not looked at

	since time.Time // it was let go on, its process exists, it was seen at rest: whichever was last
	due   time.Time // when it is looked at
	began time.Time // since when its process exists
	seen  time.Time // when it was looked at last
	use   Use       // what was seen
	rests bool
	blind bool // nobody can tell what its process uses
}

type stage int8

const (
	away    stage = iota // it has not come, or has left
	waits                // for its turn
	forks                // it was let go on, and has no process yet
	started              // its process exists
)

// place is what a start has.
type place int8

const (
	none      place = iota
	undecided       // some of a place: it is not known yet what it does
	working         // a place
	kinds
)

// Look is what is known of a start that is to be looked at.
type Look struct {
	Start *Start
	seen  time.Time
	use   Use
	rests bool
}

// Closer reports whether it must be asked too if the process runs at this moment, given the time that it has used by
// now.
func (l Look) Closer(used time.Duration, now time.Time) bool {
	switch {
	case worked(l.use.Time, used, now.Sub(l.seen)):
		return false
	case l.rests && !l.use.Family:
		return used != l.use.Time // who has used nothing has started nobody either
	}
	return true
}

// worked reports whether a process was at work for some part of a time: those that are share the processors with each
// other.
func worked(before, after, in time.Duration) bool {
	return after >= littleWork && 16*(after-before) >= in
}

// Gate is the starts that wait, and those under way. It belongs to whoever calls it, one call at a time.
type Gate struct {
	places  int
	all     [kinds]int // so many starts have each kind of place
	failing [kinds]int // of those, those of PrecedenceFailing
	doubt   int        // what one that is undecided takes of a whole place
	waiting int
	lines   []line
	looks   looks
	gathers time.Time // until then nobody goes on
}

// New returns a gate with so many places, at least one.
func New(places int) *Gate {
	return &Gate{places: max(1, places), doubt: whole, lines: make([]line, len(messages.Precedences()))}
}

// line is those of one precedence that wait.
type line struct {
	starts []*Start // in the order in which they came; those that have left meanwhile are passed over
	passed int      // so many of those that go first went before it, in a row
}

func (g *Gate) line(p messages.Precedence) *line { return &g.lines[p-messages.PrecedenceUrgent] }

// add puts a start where it belongs.
func (l *line) add(s *Start) {
	n := len(l.starts)
	for n > 0 && s.before(l.starts[n-1]) {
		n--
	}
	l.starts = slices.Insert(l.starts, n, s)
}

// before reports whether the start goes before another one that came to the same line before it.
func (s *Start) before(o *Start) bool {
	if s.priority != o.priority {
		return s.priority > o.priority
	}
	return s.priority != 0 && s.ID < o.ID
}

// first returns who is first in line; nil: nobody waits there.
func (l *line) first(p messages.Precedence) *Start {
	for len(l.starts) > 0 {
		if s := l.starts[0]; s.stage == waits && s.precedence == p {
			return s
		}
		l.starts[0] = nil
		l.starts = l.starts[1:]
	}
	l.starts, l.passed = nil, 0
	return nil
}

// Arrive puts a start at the end of its line. Next says when it may go on.
func (g *Gate) Arrive(s *Start, p messages.Precedence) {
	g.ArriveWith(s, p, 0)
}

// ArriveWith has a start that comes go before those in its line of which the priority is less; among equals that is not
// 0, by id.
func (g *Gate) ArriveWith(s *Start, p messages.Precedence, priority int) {
	*s = Start{Of: s.Of, ID: s.ID, precedence: p, priority: int32(priority), stage: waits, at: -1}
	g.waiting++
	g.line(p).add(s)
}

// Gather has all that come until then wait, so that who goes first does not depend on who came a moment before.
func (g *Gate) Gather(until time.Time) { g.gathers = until }

// Urge has a start that waits go before all those that nobody has urged.
func (g *Gate) Urge(s *Start) {
	if s.stage == waits && s.precedence != messages.PrecedenceUrgent {
		s.precedence = messages.PrecedenceUrgent
		g.line(s.precedence).add(s)
	}
}

// Next returns a start that may go on now, which by that has a place; nil: there is none.
func (g *Gate) Next(now time.Time) *Start {
	if g.waiting == 0 || now.Before(g.gathers) || !g.room(g.all, g.places) {
		return nil
	}
	var next *Start
	for _, p := range messages.Precedences() {
		s := g.line(p).first(p)
		if s == nil || p == messages.PrecedenceFailing && !g.room(g.failing, max(1, g.places/2)) {
			continue
		}
		if next == nil || g.line(p).passed >= passedBy && g.line(next.precedence).passed < passedBy {
			next = s
		}
	}
	if next == nil {
		return nil
	}
	for _, p := range messages.Precedences() {
		switch l := g.line(p); {
		case p == next.precedence:
			l.passed = 0
		case p > next.precedence && l.first(p) != nil:
			l.passed++
		}
	}
	g.waiting--
	next.stage, next.since = forks, now
	g.put(next, working) // of the manager: it forks
	g.lookAt(next, now.Add(forkTime))
	return next
}

// Began says that the process of a start exists, and whether it can be seen what it uses. If not, it has its place
// until it leaves, or for ten seconds.
func (g *Gate) Began(s *Start, now time.Time, visible bool) {
	if s.stage != forks {
		return
	}
	s.stage, s.since, s.began, s.seen, s.blind = started, now, now, now, !visible
	if s.blind {
		g.put(s, working)
		g.lookAt(s, now.Add(endlessWork))
		return
	}
	g.put(s, undecided)
	g.lookAt(s, now.Add(firstLook))
}

// Leave takes a start out, wherever it is: it is healthy, has ended, or is given up.
func (g *Gate) Leave(s *Start) {
	if s.stage == waits {
		g.waiting--
	}
	s.stage = away
	g.put(s, none)
	g.looks.remove(s)
}

// room reports whether there is room for another among so many places, given who has some of them.
func (g *Gate) room(taken [kinds]int, places int) bool {
	return taken[working]*whole+(taken[undecided]+1)*g.doubt <= places*whole
}

func (g *Gate) put(s *Start, p place) {
	g.all[s.place]--
	g.all[p]++
	if s.precedence == messages.PrecedenceFailing {
		g.failing[s.place]--
		g.failing[p]++
	}
	s.place = p
}

// LookAt returns when somebody has to be looked at; false: nobody, as long as nothing happens.
func (g *Gate) LookAt() (time.Time, bool) {
	switch {
	case g.waiting == 0:
		return time.Time{}, false
	case !g.gathers.IsZero():
		return g.gathers, true
	case len(g.looks) == 0:
		return time.Time{}, false
	}
	return g.looks[0].due, true
}

// Due returns whose process is to be looked at now, the one that is overdue most first. What is seen of them is for
// Saw.
func (g *Gate) Due(now time.Time) []Look {
	if !now.Before(g.gathers) {
		g.gathers = time.Time{}
	}
	var due []Look
	for g.waiting > 0 && len(due) < looksOnce && len(g.looks) > 0 && !now.Before(g.looks[0].due) {
		s := g.looks[0]
		g.looks.remove(s)
		if s.stage == forks || s.blind {
			g.put(s, none)
			continue
		}
		due = append(due, Look{s, s.seen, s.use, s.rests})
	}
	return due
}

// Saw says what was seen of a start that was due.
func (g *Gate) Saw(s *Start, u Use, now time.Time) {
	if s.stage != started {
		return // it has left meanwhile
	}
	works := u.Runs || worked(s.use.Time, u.Time, now.Sub(s.seen))
	s.use, s.seen = u, now
	switch {
	case u.Time >= endlessWork || works && now.Sub(s.began) >= endlessTime:
		g.put(s, none)
	case works:
		if s.rests {
			s.rests, s.since = false, now
		}
		if s.place != working && (s.place == none || u.Time >= littleWork) {
			g.doubt = min(g.doubt+heavier, whole)
			g.put(s, working)
		}
		g.lookAt(s, now.Add(min(max(now.Sub(s.since)/4, soonest), latestWork)))
	default:
		if !s.rests {
			s.rests, s.since = true, now
		}
		if s.place == undecided && u.Time < littleWork {
			g.doubt = max(least, int(float64(g.doubt)*lighter))
		}
		g.put(s, none)
		g.lookAt(s, now.Add(min(max(now.Sub(s.since), restless), latestRest)))
	}
}

// Unseen says that nothing could be seen of a start that was due: its process has ended, or is not shown any more.
func (g *Gate) Unseen(s *Start) {
	if s.stage == started {
		g.put(s, none)
	}
}

// Taken returns how many places are taken, and how many there are. More are taken than there are if some that had been
// at rest went to work.
func (g *Gate) Taken() (taken, places int) {
	return g.all[working] + (g.all[undecided]*g.doubt+whole-1)/whole, g.places
}

// Precedence returns by what it goes before others.
func (s *Start) Precedence() messages.Precedence { return s.precedence }

func (g *Gate) lookAt(s *Start, at time.Time) {
	g.looks.remove(s)
	s.due = at
	g.looks.add(s)
}
