package port

import "procman/actors"

// lease is the right to use a slot for one turn. After the turn, and after the table is closed, its methods do nothing.
type lease struct {
	ports *Ports
	slot  *slot
	turn  uint64
}

var (
	_ actors.Lease = (*lease)(nil)
	_ actors.Mover = (*lease)(nil)
)

func (l *lease) Port() int { return l.slot.port }

// Moved returns the port that the instance had before this one, and why it lost it. It is said once.
func (l *lease) Moved() (from int, why string) {
	l.ports.mu.Lock()
	defer l.ports.mu.Unlock()
	was := l.slot.moved
	if !l.current() {
		return 0, ""
	}
	l.slot.moved = past{}
	return was.port, was.why
}

func (l *lease) current() bool { return !l.ports.closed && l.slot.turn == l.turn }

// Release ends the use. The port stays put by for the instance's next run, and stays held. A port outside the range is
// given up instead.
func (l *lease) Release() {
	l.ports.mu.Lock()
	defer l.ports.mu.Unlock()
	if l.current() {
		l.ports.park(l.slot)
	}
}

// Discard ends the use because the port is no good. Another instance may find it good later.
func (l *lease) Discard() {
	l.ports.mu.Lock()
	defer l.ports.mu.Unlock()
	if l.current() {
		l.ports.lose(l.slot, "another program took it")
	}
}

// Contested reports whether a server could not listen on the port now, because somebody else does or keeps it for
// himself. A port that cannot be examined counts as not contested.
func (l *lease) Contested() bool {
	listened, err := listened(l.slot.port)
	if err != nil {
		l.ports.log.Warn("port cannot be examined", "port", l.slot.port, "error", err)
	}
	return listened
}
