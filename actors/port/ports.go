package port

import (
	"container/list"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"procman/actors"
	"procman/messages"
)

// ErrClosed is the answer of [Ports] after its Close.
var ErrClosed = errors.New("the port table is closed")

// Options says which ports may be leased, and how.
type Options struct {
	First, Last int // the range, both included
	// Hold keeps a leased port bound until the instance listens on it. The instance must set SO_REUSEADDR. Without it
	// a port is only checked, and another program can take it before the instance does.
	Hold   bool
	Logger *slog.Logger // nil: no records
}

// Ports leases the ports of a range. It is safe for concurrent use.
type Ports struct {
	first, last int
	hold        bool
	log         *slog.Logger

	mu     sync.Mutex
	closed bool
	slots  map[int]*slot // every port of the range that was ever tried, and the claimed ones outside of it
	next   int           // the ports of the range from here on that have no slot were never tried
	owned  map[messages.InstanceID]*slot
	past   map[messages.InstanceID]past // of those that have none; no more of them than there are ports
	// of *slot: the next to be tried, once none is left that was never tried, in front
	free   list.List
	parked list.List // of *slot: the longest parked in front
	bind   func(port int) (*socket, error)
	sole   func(fd, port int) (bool, error)
}

var _ actors.Ports = (*Ports)(nil)

// slot is one port. It is free (owner empty, in the list free), parked (owned, in the list parked) or leased (owned, in
// no list).
type slot struct {
	port      int
	owner     messages.InstanceID
	turn      uint64        // counts the leases; that of an earlier turn has no say
	place     *list.Element // in free or in parked; nil while leased
	held      *socket       // nil: not held
	moved     past          // what the owner had before, until it is told
	forgotten bool          // leased, but the owner is to lose it at the end of the lease
	taken     time.Time     // while free: when somebody else was found to have it; zero: nobody was
}

// past is a port that an instance had, and why it lost it; empty: it was forgotten, and may have it again.
type past struct {
	port int
	why  string
}

// New returns a table in which every port of the range is free. It touches no port yet.
func New(o Options) (*Ports, error) {
	p := &Ports{
		log: o.Logger, slots: map[int]*slot{}, owned: map[messages.InstanceID]*slot{},
		past: map[messages.InstanceID]past{},
		bind: bind, sole: soleSocket,
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	if err := p.Change(o.First, o.Last, o.Hold); err != nil {
		return nil, err
	}
	return p, nil
}

// Change gives the table another range and another way to hold its ports, see [Options]. A lease of a port outside of
// the range goes on, and the port is given up at its end. The error says why the range is none; then nothing has
// changed.
func (p *Ports) Change(first, last int, hold bool) error {
	if first < 1 || last > 65535 || first > last {
		return fmt.Errorf("the port range %d-%d is none: it must lie within 1-65535, and its end not before its "+
			"beginning", first, last)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return ErrClosed
	}
	p.first, p.last, p.hold = first, last, hold
	for n, s := range p.slots {
		switch inside := p.inside(n); {
		case s.place == nil: // leased
		case inside:
		case s.owner == "":
			p.leaveList(s)
			delete(p.slots, n)
			continue
		default:
			p.lose(s, outside)
			continue
		}
		if !hold {
			if err := s.letGo(); err != nil {
				p.log.Warn("port not closed", "instance", s.owner, "port", s.port, "error", err)
			}
		}
	}
	p.next = first
	return nil
}

// outside is why a port is lost that lies outside of the range.
const outside = "it lies outside of ports.range"

func (p *Ports) inside(port int) bool { return p.first <= port && port <= p.last }

// Acquire leases a port to the instance: the one it had before if that is free, else the one that has not been tried
// for the longest time, else one that is parked for another instance. If it is not the one it had before, the lease
// says why. The error is a *messages.StartError.
//
// A port that the instance has discarded is given again only if it is free and there is no other.
func (p *Ports) Acquire(id messages.InstanceID) (actors.Lease, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, &messages.StartError{Fault: messages.FaultNoPort, Err: ErrClosed}
	}
	if s := p.owned[id]; s != nil {
		if s.place == nil {
			s.forgotten = false // it is wanted again before its end
			return &lease{p, s, s.turn}, nil
		}
		ok, err := p.secure(s, true)
		if err != nil {
			return nil, p.refused(err)
		}
		if ok {
			return p.lease(s, id), nil
		}
		p.lose(s, "another program has it")
	}
	if had, is := p.past[id]; is && had.why == "" {
		s := p.slot(had.port)
		switch {
		case s == nil:
			p.past[id] = past{had.port, outside}
		case s.owner != "":
			p.past[id] = past{had.port, fmt.Sprintf("instance %s has it", s.owner)}
		default:
			ok, err := p.secure(s, true)
			if err != nil {
				return nil, p.refused(err)
			}
			if ok {
				return p.lease(s, id), nil
			}
			p.past[id] = past{had.port, "another program has it"}
		}
	}
	s, err := p.findFree()
	if err != nil {
		return nil, p.refused(err)
	}
	if s != nil {
		return p.lease(s, id), nil
	}
	for range p.parked.Len() {
		s := p.parked.Front().Value.(*slot)
		ok, err := p.secure(s, true)
		if err != nil {
			return nil, p.refused(err)
		}
		if ok {
			p.remember(s.owner, past{s.port, fmt.Sprintf("no other port was free for instance %s", id)})
			return p.lease(s, id), nil
		}
		p.lose(s, "another program has it")
	}
	return nil, p.exhausted()
}

// Claim leases the port that a surviving process of the instance already listens on; it may lie outside the range. What
// the instance had before is free. It fails if the port is leased to another instance; one that is merely parked
// for another is taken from it, since that could not listen there.
func (p *Ports) Claim(id messages.InstanceID, port int) (actors.Lease, error) {
	if port < 1 || port > 65535 {
		return nil, fmt.Errorf("instance %s cannot have port %d: there are 1-65535", id, port)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, fmt.Errorf("port %d of instance %s: %w", port, id, ErrClosed)
	}
	s := p.slots[port]
	if s != nil && s.owner != "" && s.owner != id && s.place == nil {
		if p.owned[id] == nil {
			p.remember(id, past{port, fmt.Sprintf("instance %s has it", s.owner)})
		}
		return nil, fmt.Errorf("port %d cannot go to instance %s: it is leased to instance %s", port, id, s.owner)
	}
	if had := p.owned[id]; had != nil {
		if had == s && s.place == nil {
			s.forgotten = false
			return &lease{p, s, s.turn}, nil
		}
		if had != s {
			p.release(had)
		}
	}
	if s == nil {
		s = &slot{port: port}
		p.slots[port] = s
	}
	return p.lease(s, id), nil
}

// Owns reports whether a port is leased to the instance, or parked for it.
func (p *Ports) Owns(id messages.InstanceID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.owned[id] != nil
}

// Forget ends what the instance has: its port is free for any other, once a lease of it has ended.
func (p *Ports) Forget(id messages.InstanceID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.owned[id]
	switch {
	case s == nil:
	case s.place == nil:
		s.forgotten = true
	default:
		p.forget(s)
	}
}

// forget takes the slot from its owner, who may have it again if nobody else took it.
func (p *Ports) forget(s *slot) {
	p.remember(s.owner, past{port: s.port})
	p.release(s)
}

// lose takes the slot from its owner for a reason that is told when it gets another.
func (p *Ports) lose(s *slot, why string) {
	p.remember(s.owner, past{s.port, why})
	p.release(s)
}

func (p *Ports) remember(id messages.InstanceID, was past) {
	if id == "" {
		return
	}
	p.past[id] = was
	for other := range p.past {
		if len(p.past) <= max(len(p.slots), p.last-p.first+1) {
			break
		}
		if other != id { // an id that does not come back would stay for ever
			delete(p.past, other)
		}
	}
}

// Leases returns the ports that are leased at this moment. Parked ones are not among them.
func (p *Ports) Leases() map[messages.InstanceID]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	leases := make(map[messages.InstanceID]int, len(p.owned))
	for id, s := range p.owned {
		if s.place == nil {
			leases[id] = s.port
		}
	}
	return leases
}

// ReleaseParked closes the sockets that hold parked ports, because descriptors run short, and reports whether there
// were any. The ports stay put by for their owners, as far as nobody else takes them meanwhile.
func (p *Ports) ReleaseParked() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	relieved := false
	for e := p.parked.Front(); e != nil; e = e.Next() {
		s := e.Value.(*slot)
		if s.held == nil {
			continue
		}
		if err := s.letGo(); err != nil {
			p.log.Warn("port not closed", "instance", s.owner, "port", s.port, "error", err)
		}
		relieved = true
	}
	return relieved
}

// Close lets go of every port. From then on Acquire and Claim fail, and leases do nothing.
func (p *Ports) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	var errs []error
	for _, s := range p.slots {
		errs = append(errs, s.letGo())
	}
	return errors.Join(errs...)
}

// secure reports whether the port of a slot that is not leased can be used, and holds it if that is the way. remains
// says that connections of our own dead process may still be around.
func (p *Ports) secure(s *slot, remains bool) (bool, error) {
	if s.held != nil {
		listened, err := listened(s.port)
		return !listened, err
	}
	var err error
	if p.hold && remains {
		s.held, err = bindBesideRemains(s.port, p.sole)
	} else {
		s.held, err = p.bind(s.port)
	}
	if errors.Is(err, errTaken) {
		return false, nil
	}
	if err == nil && !p.hold {
		err = s.letGo()
	}
	return err == nil, err
}

// lease gives the slot to id, whoever had it.
func (p *Ports) lease(s *slot, id messages.InstanceID) *lease {
	p.leaveList(s)
	if s.owner != id {
		delete(p.owned, s.owner)
		s.moved = past{}
	}
	s.owner = id
	s.forgotten = false
	s.taken = time.Time{}
	s.turn++
	p.owned[id] = s
	if was, is := p.past[id]; is {
		delete(p.past, id)
		if s.moved = was; was.port == s.port {
			s.moved = past{}
		}
	}
	return &lease{p, s, s.turn}
}

// park ends the use of the slot and keeps it for its owner.
func (p *Ports) park(s *slot) {
	switch {
	case s.forgotten:
		p.forget(s)
		return
	case !p.inside(s.port):
		p.lose(s, outside)
		return
	}
	if p.hold && s.held == nil {
		if _, err := p.secure(s, true); err != nil {
			// Not lost: the next Acquire asks again.
			p.log.Warn("port cannot be held", "instance", s.owner, "port", s.port, "error", err)
		}
	}
	s.turn++
	s.place = p.parked.PushBack(s)
}

// release takes the slot from its owner. It becomes the last of the free ones.
func (p *Ports) release(s *slot) {
	p.leaveList(s)
	if err := s.letGo(); err != nil {
		p.log.Warn("port not closed", "instance", s.owner, "port", s.port, "error", err)
	}
	delete(p.owned, s.owner)
	s.owner, s.moved = "", past{}
	s.forgotten = false
	s.turn++
	if !p.inside(s.port) {
		delete(p.slots, s.port)
		return
	}
	s.place = p.free.PushBack(s)
}

func (p *Ports) leaveList(s *slot) {
	switch {
	case s.place == nil:
	case s.owner == "":
		p.free.Remove(s.place)
	default:
		p.parked.Remove(s.place)
	}
	s.place = nil
}

func (s *slot) letGo() error {
	if s.held == nil {
		return nil
	}
	held := s.held
	s.held = nil
	return held.close()
}

func (p *Ports) refused(err error) error {
	if isShortage(err) {
		help := "raise the limit of open files (ulimit -n, LimitNOFILE=)"
		if p.hold {
			help += ", or set ports.hold to false"
		}
		return &messages.StartError{Fault: messages.FaultResources, Err: err, Help: help}
	}
	return &messages.StartError{Fault: messages.FaultNoPort, Err: err}
}

func (p *Ports) exhausted() error {
	leased := 0
	for _, s := range p.owned {
		if s.place == nil && p.inside(s.port) {
			leased++
		}
	}
	size := p.last - p.first + 1
	return &messages.StartError{
		Fault: messages.FaultNoPort,
		Err: fmt.Errorf("of the %d ports %d-%d, %d are leased to instances and %d are taken by other programs",
			size, p.first, p.last, leased, size-leased),
		Help: "make ports.range larger, or stop what uses its ports",
	}
}
