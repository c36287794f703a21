package plan

import (
	"fmt"

	"procman/messages"
)

// conclude notes the end of the run.
func (m *move) conclude(e messages.Exited, as messages.ExitReason) {
	x := e.Exit
	x.Reason = as
	m.LastExit = &x
	m.tell(messages.Event{What: messages.InstanceExited, Why: x.String() + e.Rest.Text(m.Ending().Grace), Exit: &x,
		Bad: m.Phase != messages.Stopping || e.Rest.Killed > 0})
	m.PID, m.Port, m.Orphan, m.Health, m.Doubt = 0, 0, false, messages.HealthUnknown, ""
	if len(e.Rest.Left) > 0 {
		m.Left = messages.LeftAlone + messages.Members(e.Rest.Left) + messages.ByLeftovers
	}
	m.act(Drop{})
}

func exited(m *move, e Event) {
	x := messages.Exited(e.(Exited))
	as := x.Exit.Unasked()
	if x.Conflict {
		as = messages.ReasonPortConflict
		m.tell(messages.Event{What: messages.PortConflict,
			Why: fmt.Sprintf("port %d was taken by another process", m.Port), Bad: true})
	}
	m.conclude(x, as)
	m.retry(failure{reason: x.Exit.String(), exit: m.LastExit, conflict: x.Conflict, until: m.now})
}

// lingers: its first process ended by itself and has left others behind, which its actor ends. Until they have ended
// nothing else may be started.
func lingers(m *move, e Event) {
	l := messages.Lingers(e.(Lingers))
	if l.Exit == nil {
		m.act(Bug{Event: e.name(), Phase: m.Phase})
		return
	}
	young := m.HealthySince.IsZero()
	m.to(messages.Stopping, outlived(*l.Exit, l.Rest, young))
	m.StopAs, m.KillAt, m.HealthyUntil, m.FirstExit = l.Exit.Unasked(), m.now, m.now, l.Exit
	m.tell(messages.Event{What: messages.InstanceStopping, Why: m.Reason, Bad: true})
	m.PID, m.Health = 0, messages.HealthUnknown
}

// outlived says what happened, and to whoever started a server in the background also what to do.
func outlived(x messages.Exit, rest []messages.Member, young bool) string {
	s := fmt.Sprintf("%s, though %s, which it had started, lived on; that was sent KILL", x, messages.Members(rest))
	if young && x.Known && x.Signal == "" {
		s += "; the process that procman starts must not end before the server does: `exec` it, without & and not as " +
			"a daemon"
	}
	return s
}

// lingersStopping notes how far the end has come.
func lingersStopping(m *move, e Event) {
	l := messages.Lingers(e.(Lingers))
	before := m.Lingering
	m.FirstExit = l.Exit
	switch {
	case l.Exit == nil:
		m.Lingering = fmt.Sprintf("KILL does not end pid %d: it hangs in the kernel; nothing is started in its place "+
			"before it has ended", m.PID)
	case len(l.Rest) == 0:
		m.Lingering = ""
	case l.Stuck:
		m.Lingering = fmt.Sprintf("KILL does not end %s; nothing is started in their place before that",
			messages.Members(l.Rest))
	default:
		m.Lingering = fmt.Sprintf("its first process %s, and %s %s", endOf(*l.Exit), messages.Members(l.Rest), verb(l))
	}
	if l.Exit != nil {
		m.PID, m.Health = 0, messages.HealthUnknown
	}
	if l.Stuck && m.Lingering != before {
		m.tell(messages.Event{What: messages.InstanceStopping, Why: m.Lingering, Bad: true})
	}
}

func endOf(e messages.Exit) string {
	if !e.Known {
		return "has ended"
	}
	return e.String()
}

func verb(l messages.Lingers) string {
	if l.Killed {
		return "was sent KILL"
	}
	return "may end within the grace"
}

func exitedStopping(m *move, e Event) {
	x := messages.Exited(e.(Exited))
	if x.PortFree && m.StopAs == messages.ReasonPortConflict {
		m.StopAs = messages.ReasonUnhealthy // nobody else has the port: another would be refused as well
	}
	m.conclude(x, m.StopAs)
	m.finish()
}

// finish decides what follows a run that was stopped on purpose.
func (m *move) finish() {
	as, reason, until := m.StopAs, m.Reason, m.now
	if !m.HealthyUntil.IsZero() {
		until = m.HealthyUntil
	}
	switch {
	case (m.Want != nil || m.restored) && (as == messages.ReasonUnhealthy || as == messages.ReasonPortConflict):
		m.retry(failure{reason: reason, conflict: as == messages.ReasonPortConflict, until: until})
	case (m.Want != nil || m.restored) && m.LastExit != nil && as == m.LastExit.Unasked():
		m.retry(failure{reason: reason, exit: m.LastExit, until: until}) // it had ended by itself, and left others
	case m.Want == nil:
		m.to(messages.Stopped, "")
		if m.Doubt != "" {
			m.Reason = messages.LeftAlone + m.Doubt
		}
		m.tell(messages.Event{What: messages.InstanceStopped, Why: m.Reason, Bad: m.Doubt != ""})
		if m.restored {
			m.restored = false // the first list decides whether another is wanted
			return
		}
		m.Attempts, m.Conflicts, m.Losses = 0, 0, 0
		m.act(Forget{})
	default:
		m.tell(messages.Event{What: messages.InstanceRestarting, Why: reason})
		p := messages.PrecedenceFirst
		if as == messages.ReasonStopped || m.stable(until) {
			p = messages.PrecedenceUrgent // an operator has asked for another, or it served until a moment ago
		}
		m.fresh(p)
	}
}
