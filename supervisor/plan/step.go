package plan

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"procman/messages"
)

// move is one step under way: the instance as it becomes, and the actions so far.
type move struct {
	*Instance
	now     time.Time
	actions []Action
}

// Step returns what becomes of the instance by the event, and what has to be done for it. The instance given is not
// changed.
func Step(i Instance, now time.Time, e Event) (Instance, []Action) {
	actions := i.Step(now, e)
	return i, actions
}

// Step makes of the instance what becomes of it by the event, and returns what has to be done for it.
func (i *Instance) Step(now time.Time, e Event) []Action {
	m := &move{Instance: i, now: now}
	c, known := table[e.name()][i.Phase]
	if !known {
		c = bug
	}
	c.do(m, e)
	return m.actions
}

// Diff returns the event that brings the instance closer to what is desired (nil: nothing), if one is needed. listed is
// what the list says of it: the same, unless somebody holds it down.
func Diff(i Instance, desired, listed *App) (Event, bool) {
	switch {
	case desired != nil && i.Want != desired:
		return Want{desired}, true
	case desired != nil && i.Spec != desired.Spec && (i.Phase == messages.Starting || i.Phase == messages.Running) &&
		i.Spec != "":
		return Want{desired}, true
	case desired == nil && (i.Want != nil || i.restored || i.Phase != messages.Stopped && i.Phase != messages.Stopping):
		return Unwant{listed}, true
	}
	return nil, false
}

func (m *move) act(a ...Action) { m.actions = append(m.actions, a...) }

// tell says what has happened to the run as it is now; the next line of a cell may be about another.
func (m *move) tell(e messages.Event) {
	e.ID, e.Run, e.PID, e.Port = m.ID, m.Run, m.PID, m.Port
	m.act(Tell(e))
}

// to enters a phase in which nothing is due.
func (m *move) to(p messages.Phase, reason string) {
	m.Phase, m.Reason, m.DueAt = p, reason, time.Time{}
	m.Waits = ""
	if p != messages.Stopping {
		m.StopAs, m.KillAt, m.Lingering, m.FirstExit = "", time.Time{}, "", nil
	}
}

// launch asks for a new run of what is wanted.
func (m *move) launch(p messages.Precedence) {
	m.to(messages.Starting, "")
	m.restored, m.Doubt, m.Left = false, "", ""
	m.Run++
	m.Adoptions, m.Adopted, m.Orphan, m.PID, m.Port, m.counted = 0, false, false, 0, 0, false
	m.Have, m.Spec = m.Want, m.Want.Spec
	m.HealthySince, m.HealthyUntil, m.LastProbe, m.Health = time.Time{}, time.Time{}, nil, messages.HealthUnknown
	m.act(Launch{App: m.Want, Run: m.Run, Precedence: p})
}

// adopt asks for an actor for the run that exists.
func (m *move) adopt() {
	m.to(messages.Starting, "")
	m.Adoptions++
	m.Orphan = false
	m.act(Adopt{App: m.shown(), Run: m.Run, Adoption: m.Adoptions, Ready: !m.HealthySince.IsZero(), Stop: m.Ending()})
}

// fresh launches as if nothing had failed before.
func (m *move) fresh(p messages.Precedence) {
	if m.Orphan {
		m.adopt()
		return
	}
	m.Attempts, m.Conflicts, m.Losses = 0, 0, 0
	m.launch(p)
}

// stop asks for the end of the run.
func (m *move) stop(as messages.ExitReason, reason string) {
	end := m.Ending()
	m.to(messages.Stopping, reason)
	m.StopAs, m.KillAt = as, m.now.Add(end.Grace)
	m.tell(messages.Event{What: messages.InstanceStopping, Why: reason})
	m.act(Stop(end))
}

// Ending is how the run is ended: by what it was launched with, else by what is wanted, else by what a predecessor
// remembered.
func (i Instance) Ending() messages.StopPolicy {
	for _, app := range []*App{i.Have, i.Want} {
		if app != nil {
			return app.Stop
		}
	}
	return i.left.WithDefaults()
}

// --- the wish ---

// wantIdle notes what is wanted where there is no process, and starts it if that is a wish: where nothing was wanted,
// or after an edit that is one. The first list after the manager's own restart is compared with what is remembered in
// the same way. After any other edit a delay goes on, and what stayed down stays down.
func wantIdle(m *move, e Event) {
	app := e.(Want).App
	wish, pending := m.Want == nil, m.pending
	switch {
	case m.Want != nil:
		wish = m.Want.wishes(app)
	case m.restored: // a memory of an earlier version says nothing of the policy
		wish = (&App{Spec: m.Spec, Rule: cmp.Or(m.Rule, app.Rule)}).wishes(app)
	}
	m.want(app)
	m.pending = nil
	switch {
	case wish:
		m.fresh(messages.PrecedenceFirst)
	case pending != nil:
		m.retry(*pending)
	case m.Phase == messages.Backoff && !m.DueAt.After(m.now):
		m.due(m.precedence())
	}
}

func (m *move) want(app *App) { m.Want, m.Rule, m.restored = app, app.Rule, false }

func wantLive(m *move, e Event) {
	app := e.(Want).App
	before := m.Have
	m.want(app)
	if m.Spec != app.Spec {
		m.stop(messages.ReasonChanged, "what should run has changed")
		return
	}
	m.Have = app
	if before == nil || !before.SamePolicy(*app.AppInstance) {
		m.act(Apply{app})
		m.awaitStable()
	}
}

func wantStopping(m *move, e Event) {
	app := e.(Want).App
	switch { // whatever it is being stopped for, it is wanted anew
	case m.restored:
	case m.Want == nil:
		m.StopAs, m.Reason = messages.ReasonStopped, "wanted again"
	case m.Want.Spec != app.Spec:
		m.StopAs, m.Reason = messages.ReasonChanged, "what should run has changed"
	}
	m.want(app)
}

func unwantLive(m *move, e Event) {
	m.Want = nil
	if m.Have == nil { // a survivor that is not to run: its policy counts all the same
		m.Have = e.(Unwant).App
	}
	m.stop(messages.ReasonStopped, "not wanted")
}

func unwantStopping(m *move, _ Event) {
	m.Want, m.restored = nil, false
	m.Reason = "not wanted"
}

func forget(m *move, _ Event) {
	m.Want, m.restored = nil, false
	if m.Orphan {
		m.adopt()
		m.stop(messages.ReasonStopped, "not wanted")
		return
	}
	m.to(messages.Stopped, "")
	m.Attempts, m.Conflicts, m.Losses = 0, 0, 0
	m.act(Forget{})
}

// --- the facts ---

func launched(m *move, e Event) {
	l := messages.Launched(e.(Launched))
	m.Doubt = ""
	if m.Phase == messages.Starting {
		m.Reason, m.Waits = "", ""
	}
	m.PID, m.Port, m.StartedAt, m.Spec, m.Adopted = l.PID, l.Port, l.StartedAt, l.SpecHash, l.Adopted
	if !m.counted {
		m.Starts, m.counted = m.Starts+1, true
	}
	if !l.Adopted {
		m.tell(messages.Event{What: messages.InstanceStarted})
		if l.PortWas != 0 && l.PortWas != l.Port {
			m.tell(messages.Event{What: messages.PortChanged, OldPort: l.PortWas,
				Why: fmt.Sprintf("from %d to %d: %s", l.PortWas, l.Port, l.PortWhy)})
		}
		return
	}
	if m.Want != nil && m.Want.Spec == l.SpecHash {
		m.Have = m.Want
	}
	m.tell(messages.Event{What: messages.InstanceAdopted})
	if m.Phase == messages.Starting && !m.HealthySince.IsZero() {
		m.to(messages.Running, "")
		m.awaitStable()
	}
}

func ready(m *move, _ Event) {
	m.to(messages.Running, "")
	m.Health, m.HealthySince, m.HealthyUntil = messages.Healthy, m.now, time.Time{}
	m.Conflicts, m.Losses = 0, 0
	m.tell(messages.Event{What: messages.InstanceReady})
	m.awaitStable()
}

func probed(m *move, e Event) {
	p := e.(Probed).Probe
	m.LastProbe = &p
	if m.Phase == messages.Running && p.OK {
		m.Health, m.Losses = messages.Healthy, 0
		m.recovered()
	}
}

// recovered ends a time in which it was only reported that the run is not healthy.
func (m *move) recovered() {
	if m.HealthyUntil.IsZero() {
		return
	}
	m.HealthySince, m.HealthyUntil, m.Reason = m.now, time.Time{}, ""
	m.tell(messages.Event{What: messages.InstanceReady, Why: "healthy again"})
	m.awaitStable()
}

// dueRunning comes when the run may be stable. While its probes fail that is not known.
func dueRunning(m *move, _ Event) {
	if m.stable(m.now) && m.LastProbe != nil && m.LastProbe.OK {
		m.Attempts = 0
	}
	m.awaitStable()
}

func unhealthy(m *move, e Event) {
	u := e.(Unhealthy)
	m.Health, m.HealthyUntil = messages.NotHealthy, u.Since
	as := messages.ReasonUnhealthy
	if u.Conflict {
		as = messages.ReasonPortConflict
		m.tell(messages.Event{What: messages.PortConflict, Why: u.Cause, Bad: true})
	} else {
		m.tell(messages.Event{What: messages.InstanceUnhealthy, Why: u.Cause, Bad: true})
	}
	if app := cmp.Or(m.Have, m.Want); app != nil && app.Health.Asks().OnFailure == messages.FailureReport {
		m.Reason = u.Cause
		return
	}
	m.stop(as, u.Cause)
}

// refused: the host has no room for the run yet. Whose fault a start is decides about attempts, and here it is not the
// instance's: so none is spent, and neither restart.mode nor max_attempts has a say.
func refused(m *move, e Event) {
	err := e.(Refused).Err
	m.Reason = "waits: " + err.Error()
	m.Doubt = ""
	switch err.Fault {
	case messages.FaultUnclear, messages.FaultNotTaken: // it lives, and is not watched
		m.Doubt = err.Error()
	case messages.FaultElsewhere:
		// its help is for who waits
		m.Doubt = (&messages.StartError{Fault: err.Fault, Path: err.Path, Err: err.Err}).Error()
	}
	if m.Waits != err.Fault {
		m.Waits = err.Fault
		m.tell(messages.Event{What: messages.StartFailed, Why: m.Reason, Bad: true})
	}
}

func launchFailed(m *move, e Event) {
	err := e.(LaunchFailed).Err
	if m.Adopted && errors.Is(err, messages.ErrNoRun) {
		// It was in doubt and on no record, and there is none any more.
		exited(m, Exited{Exit: messages.Exit{Code: -1, At: m.now}})
		return
	}
	m.Doubt = ""
	m.tell(messages.Event{What: messages.StartFailed, Why: err.Error(), Bad: true})
	m.LastExit = &messages.Exit{Code: -1, At: m.now, Reason: messages.ReasonStartFailed}
	m.Orphan, m.Health = false, messages.HealthUnknown
	m.act(Drop{})
	reason := "start failed: " + err.Error()
	var start *messages.StartError
	if errors.As(err, &start) && start.Fault == messages.FaultOther {
		reason = start.Error()
	}
	m.retry(failure{reason: reason, until: m.now})
}

func launchCancelled(m *move, _ Event) {
	m.act(Drop{})
	m.finish()
}

// lost: the actor is gone, its process most likely not. A first loss is made good at once; an actor that is lost again
// and again is a bug that must not become a hot loop, while the process runs on.
func lost(m *move, _ Event) {
	m.Losses++
	if m.Losses == 1 {
		m.adopt()
		return
	}
	policy := messages.RestartPolicy{}.WithDefaults()
	m.to(messages.Backoff, "its actor was lost; the process runs on")
	m.Orphan = true
	m.DueAt = m.now.Add(Delay(policy, m.Losses-1, m.draw()))
	m.act(Arm{At: m.DueAt})
}

func lostStopping(m *move, _ Event) {
	as, reason, killAt := m.StopAs, m.Reason, m.KillAt
	m.Losses++
	m.adopt()
	m.resumeStop(as, reason, killAt)
}

// resumeStop goes on with a stop that somebody else began, with what is left of its grace.
func (m *move) resumeStop(as messages.ExitReason, reason string, killAt time.Time) {
	m.to(messages.Stopping, reason)
	m.StopAs, m.KillAt = as, killAt
	end := m.Ending()
	end.Grace = max(0, killAt.Sub(m.now))
	m.act(Stop(end))
}

// --- time, operators ---

func dueBackoff(m *move, e Event) {
	if e.(Due).At.Equal(m.DueAt) {
		m.due(m.precedence())
	}
}

// due is the end of a delay. While it is not known what is wanted, it waits for that.
func (m *move) due(p messages.Precedence) {
	switch {
	case m.Orphan:
		m.adopt()
	case m.Want != nil:
		m.launch(p)
	}
}

func retryNow(m *move, _ Event) {
	if m.Want != nil || m.Orphan {
		m.fresh(messages.PrecedenceUrgent)
	}
}

// retryWaiting: it is being started as it is, and whoever asks for it wants it now.
func retryWaiting(m *move, _ Event) {
	if m.PID == 0 {
		m.act(Urge{})
	}
}

func restart(m *move, e Event) {
	r := e.(Restart)
	m.stop(cmp.Or(r.As, messages.ReasonStopped), cmp.Or(r.Why, "restart asked for"))
}

func hurry(m *move, _ Event) {
	if m.Want != nil {
		m.StopAs = messages.ReasonStopped
	}
}
