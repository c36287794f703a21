package member

import (
	"fmt"
	"time"
)

// leashPace is how often a leash is started, at most.
const leashPace = time.Second

// move is one step under way.
type move struct {
	State
	now     time.Duration
	actions []Action
}

// Step returns what becomes of the host's place in the fleet by the event, and what has to be done for it. now is
// CLOCK_BOOTTIME, read before the call: it is the T0 of what the step asks the store for.
func Step(s State, now time.Duration, e Event) (State, []Action) {
	m := &move{State: s, now: now}
	// What time has ended is ended before anything else is looked at: a daemon that was frozen for an hour finds the
	// answers of an hour ago in its mailbox.
	m.cell(Tick{})
	if e != (Tick{}) {
		m.cell(e)
	}
	m.cell(Tick{}) // what begins now is done now: no timer is armed for the present
	m.arm(e == (Tick{}))
	return m.State, m.actions
}

func (m *move) cell(e Event) {
	c, known := table[e.name()][m.Phase]
	if !known {
		c = bug
	}
	c.do(m, e)
}

func (m *move) act(a ...Action) { m.actions = append(m.actions, a...) }

func (m *move) say(what Notice, why string) { m.act(Say{What: what, Why: why}) }

func (m *move) to(p Phase) { m.Phase, m.Since = p, m.now }

// hinder says what keeps the host from being a member, once for each cause.
func (m *move) hinder(what Notice, why string) {
	if m.Why != why {
		m.Why = why
		m.say(what, why)
	}
}

// out is the host without a lease. What was granted is not revoked: a revocation under way when the daemon dies could
// end the lease under a successor that goes on with it. It ends by itself, a TTL later.
func (m *move) out(joinAt time.Duration) {
	m.forget()
	m.to(Out)
	m.JoinAt, m.EndBy, m.Overdue = joinAt, 0, false
}

func (m *move) forget() {
	m.Lease, m.Incarnation, m.Registered = 0, "", false
	m.Renewed, m.Answered, m.Sent = 0, 0, 0
}

func loaded(m *move, e Event) {
	l := e.(Loaded)
	s, resumes := l.Record.resumes(m.Boot, m.now)
	switch {
	case resumes:
		r := l.Record
		m.Schedule, m.Lease, m.Incarnation, m.Renewed, m.Answered = s, r.Lease, r.Incarnation, r.Renewed, r.Renewed
		m.to(In)
		m.act(Admit{})
		m.say(Resumed, "")
		m.Sent = 0 // at once: nothing is registered before an answer, and some of the lease is gone
		m.renew()
	case l.Survivors:
		m.to(Yielding)
		m.say(Yielded, "fenced instances live, and no lease of this boot allows it")
		m.end(m.now, false)
	default:
		m.out(m.now)
	}
}

func leashUp(m *move, _ Event) { m.Leash = true }

func leashGone(m *move, e Event) {
	m.Leash = false
	m.hinder(Unguarded, "there is no leash: "+e.(LeashGone).Why)
}

// leashGoneFenced: an answer would not count any more, and nothing runs here that the lease would be kept for.
func leashGoneFenced(m *move, e Event) {
	leashGone(m, e)
	m.out(m.now)
}

// leash has a leash started when there is none.
func (m *move) leash() {
	if !m.Leash && m.now >= m.LeashAt {
		m.LeashAt = m.now + leashPace
		m.act(StartLeash{})
	}
}

func tickOut(m *move, _ Event) {
	m.leash()
	// With a record under way that the disk does not take, none of a new lease would be taken either.
	if m.Leash && m.Writing == 0 && m.now >= m.JoinAt {
		m.Sent, m.Schedule = m.now, m.Next
		m.to(Joining)
		m.act(Grant{T0: m.now, TTL: m.Next.TTL})
	}
}

func granted(m *move, e Event) {
	g := e.(Granted)
	if m.Lease != 0 || g.T0 != m.Since {
		return
	}
	if g.TTL < m.Schedule.TTL {
		m.hinder(Hindered, fmt.Sprintf("the store grants a lease of %v where fleet.ttl asks for %v: set fleet.ttl to "+
			"that",
			g.TTL, m.Schedule.TTL))
		m.out(m.now + m.Next.Suspect)
		return
	}
	m.Lease, m.Incarnation, m.Answered = g.Lease, g.Incarnation, g.T0
	m.persist()
}

func grantFailed(m *move, e Event) {
	if f := e.(GrantFailed); m.Lease == 0 && f.T0 == m.Since {
		m.hinder(Hindered, f.Why)
		m.out(m.now + m.Next.Renew)
	}
}

func tickJoining(m *move, _ Event) {
	m.leash()
	switch {
	case m.Lease == 0 && m.now >= m.Since+m.Schedule.Suspect:
		m.hinder(Hindered, "the store does not answer")
		m.out(m.now)
	case m.Lease == 0:
	case m.now >= max(m.Since, m.Renewed)+m.Schedule.Yield:
		m.out(m.now)
	default:
		m.renew()
	}
}

// renew asks for a renewal when one is due. Several may be under way: each counts from its own T0.
func (m *move) renew() {
	if m.now >= m.Sent+m.Schedule.Renew {
		m.Sent = m.now
		m.act(Renew{T0: m.now, Lease: m.Lease})
	}
}

func renewed(m *move, e Event) {
	r := e.(Renewed)
	switch {
	case r.Lease != m.Lease || r.T0 <= m.Answered || r.T0 > m.now || m.now >= r.T0+m.Schedule.Yield:
	case r.TTL < m.Schedule.TTL:
		m.hinder(Hindered, fmt.Sprintf("the store renews the lease for %v only, not for %v", r.TTL, m.Schedule.TTL))
	case !m.Leash: // what is not guarded may go on for as long as was granted before, and no longer
	default:
		m.Answered = r.T0
		m.persist()
	}
}

func renewFailed(m *move, e Event) {
	if f := e.(RenewFailed); f.Lease == m.Lease {
		m.Why = f.Why
	}
}

// persist writes the newest answer, one at a time. It counts once it is written, or the leash would kill earlier than
// the daemon believes, and a successor believe less.
func (m *move) persist() {
	if m.Lease != 0 && m.Step == ending && m.Writing == 0 && m.Answered > m.Renewed {
		m.Writing = m.Answered
		m.act(Persist{m.record(m.Answered)})
	}
}

func persisted(m *move, e Event) {
	r := e.(Persisted).Record
	if r.Void() {
		return
	}
	m.Writing = 0
	if r.Lease == m.Lease && r.Renewed > m.Renewed {
		m.count(r.Renewed)
	}
	m.persist()
}

// count lets a renewal count.
func (m *move) count(t0 time.Duration) {
	m.Renewed = t0
	if !m.Registered {
		m.act(Register{Lease: m.Lease, Incarnation: m.Incarnation})
	}
	if m.now >= t0+m.Schedule.Suspect {
		return
	}
	switch m.Phase {
	case Suspect:
		m.to(In)
		m.Why = ""
		m.say(Recovered, "")
	case Yielding, Fenced: // a lease that can be renewed has never ended, so nobody has taken anything over
		m.to(In)
		m.Why, m.EndBy, m.Overdue = "", 0, false
		m.act(Admit{})
		m.say(Recovered, "")
	}
}

func persistFailed(m *move, e Event) {
	f := e.(PersistFailed)
	if !f.Record.Void() {
		m.Writing = 0
	}
	m.hinder(NotDurable, f.Why)
}

// persistFailedFenced: the lease would go on with nothing running under it, and keep others from what is assigned here.
func persistFailedFenced(m *move, e Event) {
	persistFailed(m, e)
	m.out(m.now + m.Next.Suspect)
}

func registered(m *move, e Event) {
	if e.(Registered).Lease != m.Lease {
		return
	}
	m.Registered = true
	if m.Phase == Joining {
		m.to(In)
		m.Why = ""
		m.act(Admit{})
		m.say(Joined, "")
	}
}

func hindered(m *move, e Event) {
	switch e := e.(type) {
	case RegisterFailed:
		if e.Lease == m.Lease {
			m.hinder(Hindered, e.Why)
		}
	case NameTaken:
		if e.Lease == m.Lease {
			m.hinder(Hindered, fmt.Sprintf("a host of this name is a member already (%s): "+
				"give this one another fleet.host, or wait until that one's lease has ended", e.By))
		}
	}
}

func tickIn(m *move, _ Event) {
	m.leash()
	switch {
	case m.now >= m.Renewed+m.Schedule.Yield:
		m.to(Yielding)
		m.act(Say{What: Yielded, Why: m.Why, At: m.KillAt()})
		m.end(m.Renewed+m.Schedule.Yield+m.Schedule.Grace, false)
	case m.Phase == In && m.now >= m.Renewed+m.Schedule.Suspect:
		m.to(Suspect)
		m.act(Say{What: Suspected, Why: m.Why, At: m.KillAt()})
	}
	m.renew()
}

// end takes fenced instances, or all, off the list, in a round of its own.
func (m *move) end(by time.Duration, all bool) {
	m.Round++
	m.EndBy, m.Overdue = by, false
	m.act(End{Round: m.Round, By: by, All: all})
}

// hurry is the same round with less time.
func (m *move) hurry(by time.Duration, all bool) {
	m.EndBy = by
	m.act(End{Round: m.Round, By: by, All: all})
}

func tickYielding(m *move, _ Event) {
	m.leash()
	if m.Lease != 0 {
		m.renew()
	}
	m.overdue()
}

// overdue says once that something lives that was sent KILL.
func (m *move) overdue() {
	if m.EndBy != 0 && m.now >= m.EndBy+settling && !m.Overdue {
		m.Overdue = true
		m.say(Overdue, "a fenced process outlives KILL, and another host may start the instance: "+
			"look for a process in uninterruptible sleep")
	}
}

func down(m *move, e Event) {
	switch {
	case e.(Down).Round != m.Round:
	case m.Lease == 0 || !m.Leash:
		m.say(AllFenced, "")
		m.out(m.now)
	default:
		m.to(Fenced)
		m.EndBy, m.Overdue = 0, false
		m.say(AllFenced, "")
	}
}

func tickFenced(m *move, _ Event) {
	m.leash()
	if m.Writing != 0 && m.now >= m.Writing+m.Schedule.Yield {
		m.hinder(NotDurable, "the disk does not answer")
		m.out(m.now)
		return
	}
	m.renew()
}

// concerns reports whether the event says that the lease is over, and why that is, for a person.
func (m *move) concerns(e Event) (string, bool) {
	switch e := e.(type) {
	case LeaseLost:
		return "the store has ended the lease", e.Lease == m.Lease && m.Lease != 0
	case NameTaken:
		return "another has this host's name: " + e.By, e.Lease == m.Lease && m.Lease != 0
	}
	return "", false
}

func lostJoining(m *move, e Event) {
	if why, is := m.concerns(e); is {
		m.hinder(Lost, why)
		m.out(m.now + m.Next.Renew)
	}
}

// lostNow is the loss of a lease under which fenced instances live: others may start them at this moment.
func lostNow(m *move, e Event) {
	why, is := m.concerns(e)
	if !is {
		return
	}
	m.act(Persist{m.void()}) // for the leash, if we do not live on
	m.say(Lost, why)
	m.forget()
	if m.Phase == Yielding {
		m.hurry(m.now, false)
		return
	}
	m.to(Yielding)
	m.end(m.now, false)
}

func lostFenced(m *move, e Event) {
	if why, is := m.concerns(e); is {
		m.say(Lost, why)
		m.out(m.now)
	}
}
