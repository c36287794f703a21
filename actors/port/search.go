package port

import "time"

// Somebody else's port is not tried again at once by whoever comes next: with thousands of them, as when a program has
// left connections on all, each start would try each of them anew.
const (
	takenTime  = time.Second
	takenTries = 16 // of those that were taken a moment ago, by one who finds no other
)

// findFree returns a free slot whose port is secured; nil: there is none.
func (p *Ports) findFree() (*slot, error) {
	now := time.Now()
	tried := p.free.Len()
	for s := p.untried(); s != nil; s = p.untried() {
		if ok, err := p.try(s, now); ok || err != nil {
			return s, err
		}
	}
	var taken []*slot
	next := p.free.Front()
	for range tried {
		s := next.Value.(*slot)
		next = next.Next() // s may become the last
		if now.Sub(s.taken) < takenTime {
			if len(taken) < takenTries {
				taken = append(taken, s)
			}
			continue
		}
		if ok, err := p.try(s, now); ok || err != nil {
			return s, err
		}
	}
	for _, s := range taken {
		if ok, err := p.try(s, now); ok || err != nil {
			return s, err
		}
	}
	return nil, nil
}

// try secures the port of a free slot. One that somebody else has becomes the last to be tried.
func (p *Ports) try(s *slot, now time.Time) (ok bool, err error) {
	if ok, err = p.secure(s, false); !ok && err == nil {
		s.taken = now
		p.free.MoveToBack(s.place)
	}
	return ok, err
}

// slot returns the slot of a port; nil if it lies outside of the range and nobody has it.
func (p *Ports) slot(port int) *slot {
	s := p.slots[port]
	if s == nil && p.inside(port) {
		s = &slot{port: port}
		s.place = p.free.PushBack(s)
		p.slots[port] = s
	}
	return s
}

// untried returns the slot of a port that was never tried; nil if there is none. There is no slot of it before: a range
// may be much wider than what is run.
func (p *Ports) untried() *slot {
	for ; p.next <= p.last; p.next++ {
		if p.slots[p.next] == nil {
			return p.slot(p.next)
		}
	}
	return nil
}
