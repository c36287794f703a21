package member

import "fmt"

func leaveOut(m *move, _ Event) { m.gone("") }

func (m *move) gone(why string) {
	m.forget()
	m.to(Gone)
	m.Step, m.EndBy = ending, 0
	m.say(Left, why)
}

func leave(m *move, _ Event) {
	by := m.EndBy
	m.to(Leaving)
	m.end(by, true)
}

// leaveDown is a leave of a host that runs nothing yet.
func leaveDown(m *move, _ Event) {
	m.to(Leaving)
	m.give()
}

func tickLeaving(m *move, _ Event) {
	if m.Step != ending {
		m.next()
		return
	}
	m.leash()
	if m.Lease != 0 {
		m.renew()
		if m.EndBy == 0 && m.now >= m.Renewed+m.Schedule.Yield {
			m.act(Say{What: Yielded, Why: m.Why, At: m.KillAt()})
			m.hurry(m.Renewed+m.Schedule.Yield+m.Schedule.Grace, true)
		}
	}
	m.overdue()
}

func downLeaving(m *move, e Event) {
	if m.Step == ending && e.(Down).Round == m.Round {
		m.give()
	}
}

// give begins to give back the assignments and the lease. The record is made void first, and nothing is given back
// before that is durable: or a release that is under way while the daemon dies would take from under its successor
// what that has gone on with.
func (m *move) give() {
	if m.Lease == 0 {
		m.gone("")
		return
	}
	m.Step, m.Since = voiding, m.now
	m.act(Persist{m.void()})
}

// next goes on without an answer: whoever shuts down waits for nobody for long.
func (m *move) next() {
	switch {
	case m.now < m.Since+m.Schedule.Suspect:
	case m.Step == voiding:
		m.gone("the lease was not given back, others wait until it ends: the disk does not answer")
	case m.Step == releasing:
		m.revoke("the store does not answer")
	case m.Step == revoking:
		m.gone("the lease may not be revoked, others wait until it ends: the store does not answer")
	}
}

func (m *move) revoke(why string) {
	m.Step, m.Since, m.Why = revoking, m.now, why
	m.act(Revoke{m.Lease})
}

func persistedLeaving(m *move, e Event) {
	if !e.(Persisted).Record.Void() {
		persisted(m, e)
		return
	}
	if m.Step == voiding {
		m.Step, m.Since = releasing, m.now
		m.act(Release{})
	}
}

func persistFailedLeaving(m *move, e Event) {
	persistFailed(m, e)
	if f := e.(PersistFailed); f.Record.Void() && m.Step == voiding {
		m.gone(fmt.Sprintf("the lease was not given back, others wait until it ends: %s", f.Why))
	}
}

func released(m *move, e Event) {
	if m.Step == releasing {
		m.revoke(e.(Released).Why)
	}
}

func revoked(m *move, e Event) {
	if m.Step != revoking {
		return
	}
	if why := e.(Revoked).Why; why != "" {
		m.gone(fmt.Sprintf("the lease could not be revoked, others wait until it ends: %s", why))
		return
	}
	m.gone("")
}

func lostLeaving(m *move, e Event) {
	why, is := m.concerns(e)
	switch {
	case !is:
	case m.Step == ending:
		m.act(Persist{m.void()})
		m.say(Lost, why)
		m.forget()
		m.hurry(m.now, true)
	default:
		m.gone("")
	}
}

func detach(m *move, _ Event) {
	at := m.KillAt()
	m.to(Gone)
	m.act(Say{What: Detached, At: at})
}
