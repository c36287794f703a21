package member

import "time"

// arm has the next moment told in which time alone changes something. fired says that the timer may have been used up.
func (m *move) arm(fired bool) {
	var next time.Duration
	for _, at := range m.moments() {
		if at > m.now && (next == 0 || at < next) {
			next = at
		}
	}
	if next != 0 && (fired || next != m.ArmedAt) {
		m.act(Arm{next})
	}
	m.ArmedAt = next
}

// moments lists when a Tick would do something.
func (m *move) moments() []time.Duration {
	s := m.Schedule
	var at []time.Duration
	if !m.Leash && m.Step == ending && m.Phase != New && m.Phase != Gone {
		at = append(at, m.LeashAt)
	}
	if m.Lease != 0 && m.Step == ending && m.Phase != Gone {
		at = append(at, m.Sent+s.Renew)
	}
	if m.EndBy != 0 && !m.Overdue {
		at = append(at, m.EndBy+settling)
	}
	switch m.Phase {
	case Out:
		at = append(at, m.JoinAt)
	case Joining:
		if m.Lease == 0 {
			return append(at, m.Since+s.Suspect)
		}
		at = append(at, max(m.Since, m.Renewed)+s.Yield)
	case In:
		at = append(at, m.Renewed+s.Suspect)
	case Suspect:
		at = append(at, m.Renewed+s.Yield)
	case Fenced:
		if m.Writing != 0 {
			at = append(at, m.Writing+s.Yield)
		}
	case Leaving:
		if m.Step != ending {
			at = append(at, m.Since+s.Suspect)
		} else if m.Lease != 0 && m.EndBy == 0 {
			at = append(at, m.Renewed+s.Yield)
		}
	}
	return at
}
