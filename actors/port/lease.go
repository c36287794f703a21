package port

import "procman/actors"

// lease is the right to use a seat for one turn. After the turn, and after the table is closed, its methods do nothing.
type lease struct {
	ports *Ports
	seat  *seat
	turn  uint64
}

var _ actors.Lease = (*lease)(nil)

func (l *lease) Port() int { return l.seat.port }

func (l *lease) current() bool { return !l.ports.closed && l.seat.turn == l.turn }

// Release ends the use. The port stays put by for the instance's next run, and stays held. A port outside the range is
// given up instead.
func (l *lease) Release() {
	l.ports.mu.Lock()
	defer l.ports.mu.Unlock()
	if l.current() {
		l.ports.park(l.seat)
	}
}

// Discard ends the use because the port is no good. Another instance may find it good later.
func (l *lease) Discard() {
	l.ports.mu.Lock()
	defer l.ports.mu.Unlock()
	if l.current() {
		l.ports.release(l.seat)
	}
}

// Contested reports whether a server could not listen on the port now, because somebody else does or keeps it for
// himself. A port that cannot be examined counts as not contested.
func (l *lease) Contested() bool {
	listened, err := listened(l.seat.port)
	if err != nil {
		l.ports.log.Warn("port cannot be examined", "port", l.seat.port, "error", err)
	}
	return listened
}
