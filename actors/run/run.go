package run

import (
	"fmt"
	"slices"
	"syscall"
	"time"

	"procman/messages"
)

// Phase is where a run stands, as its own actor sees it.
type Phase string

// The phases.
const (
	New      Phase = "new"      // being started or found again
	Starting Phase = "starting" // has a process, not healthy yet
	Running  Phase = "running"  // has been healthy
	Stopping Phase = "stopping" // has been sent TERM, or what its policy says in its place
	Killing  Phase = "killing"  // has been sent KILL
	Exited   Phase = "exited"
)

// Phases lists every phase, in the order of a run's life.
func Phases() []Phase { return []Phase{New, Starting, Running, Stopping, Killing, Exited} }

// The pace of probing while a process starts, and of killing one that does not die.
const (
	firstProbe = 10 * time.Millisecond
	slowest    = time.Second
	killAgain  = 5 * time.Second
	// late is how much later than due something may come in a manager that gets its turns. What comes later was held up
	// with the manager, as by a SIGSTOP or a paused host, and most likely the process was, too.
	late = 5 * time.Second
)

// State is all that decides about a run. Begin makes the first one.
type State struct {
	ID     messages.InstanceID
	Phase  Phase
	Health *messages.HealthPolicy // never changed, but replaced
	Start  messages.StartPolicy

	Leftovers messages.Leftovers // what becomes of those that are away
	Ask       syscall.Signal     // New: by which it is asked to end, should a stop have come

	Deadline time.Time     // Starting: when it must have been healthy
	Pace     time.Duration // Starting: until the next probe
	ProbeAt  time.Time     // the one probe timer that counts; zero: none
	Ready    bool          // the process was healthy before it was adopted; until its first probe
	Probing  bool          // a probe is out
	Watched  bool          // Running: it is probed steadily, and only what is not good is told
	Told     bool          // the newest probe that was reported was good
	Reported bool          // Unhealthy has been reported
	Young    bool          // it ended before it was healthy
	Asked    bool          // New: a stop was asked for before there was a process
	Failures int           // probes failed in a row
	Since    time.Time     // the first of them

	Grace  time.Duration // New: of that stop
	KillAt time.Time     // the one grace timer that counts
	Kills  int           // how often KILL was sent

	Exit  *messages.Exit    // how the first process ended; nil: it lives
	Rest  []messages.Member // those beside it that lived when they were looked for the last time
	Ended messages.Rest     // what became of those that outlived it, so far
}

// Begin returns the state of a run about to be launched.
func Begin(a *messages.AppInstance, ready bool) State {
	return State{ID: a.InstanceID, Phase: New, Health: &a.Health, Start: a.Start, Leftovers: a.Stop.Leftovers,
		Ready: ready}
}

// Event is something that happened to the run.
type Event interface{ name() string }

// The events.
type (
	// Launched says that the process exists.
	Launched struct{}
	// LaunchFailed says that there will be none.
	LaunchFailed struct{ Err error }
	// ProbeDue says that the timer armed for At has fired.
	ProbeDue struct{ At time.Time }
	// Probed says what a probe found.
	Probed struct{ Probe messages.Probe }
	// StopAsked is the wish that the run ends.
	StopAsked messages.StopPolicy
	// GraceOver says that the timer armed for At has fired.
	GraceOver struct{ At time.Time }
	// ProcessExited says that the first process is gone, and which others of the run live.
	ProcessExited struct {
		Exit messages.Exit
		Rest []messages.Member
	}
	// RestChanged says which others live, after ProcessExited.
	RestChanged struct{ Rest []messages.Member }
	// PolicyChanged gives new rules for the process that runs.
	PolicyChanged struct {
		Health messages.HealthPolicy
		Start  messages.StartPolicy
		Stop   messages.StopPolicy
	}
)

func (Launched) name() string      { return "Launched" }
func (LaunchFailed) name() string  { return "LaunchFailed" }
func (ProbeDue) name() string      { return "ProbeDue" }
func (Probed) name() string        { return "Probed" }
func (StopAsked) name() string     { return "StopAsked" }
func (GraceOver) name() string     { return "GraceOver" }
func (ProcessExited) name() string { return "ProcessExited" }
func (RestChanged) name() string   { return "RestChanged" }
func (PolicyChanged) name() string { return "PolicyChanged" }

// Action is something the actor has to do. Actions are carried out in their order.
type Action interface{ action() }

// The actions.
type (
	// Cancel: give up the launch if it has not got as far as a process.
	Cancel struct{}
	// Probe: make one health check.
	Probe struct{}
	// ArmProbe: send ProbeDue{At} at that time, and only that.
	ArmProbe struct{ At time.Time }
	// Watch: probe by the schedule, in place of what was watched before. Send Probed of the first probe that is not
	// good, and end the watch with it.
	Watch struct{ Schedule }
	// Unwatch: end the watch, if it has not ended by itself.
	Unwatch struct{}
	// ArmGrace: send GraceOver{At} at that time, and only that.
	ArmGrace struct{ At time.Time }
	// Signal: send it to every process of the run. With LeftoversLeave, not to those that are away.
	Signal struct {
		Signal    syscall.Signal
		Leftovers messages.Leftovers
	}
	// ReportLaunched, ReportReady, ReportUnhealthy, ReportProbed: tell the root. Of probes it is told whether they are
	// good, when that changes.
	ReportLaunched  struct{}
	ReportReady     struct{}
	ReportUnhealthy struct {
		Cause    string
		Since    time.Time
		Conflict bool
	}
	ReportProbed struct{ Probe messages.Probe }
	// ReportLingers: tell the root that the run is at its end, but not over.
	ReportLingers struct {
		Exit          *messages.Exit
		Rest          []messages.Member
		Killed, Stuck bool
	}
	// Release: let go of the port and the output, then tell the root of the end: Exit, or Err if there never was a
	// process.
	Release struct {
		Exit  messages.Exit
		Rest  messages.Rest
		Err   error
		Young bool // it was never healthy
	}
	// Bug: an event came that cannot happen in this phase. Nothing was changed.
	Bug struct {
		Event string
		Phase Phase
	}
)

func (Cancel) action()          {}
func (Probe) action()           {}
func (ArmProbe) action()        {}
func (Watch) action()           {}
func (Unwatch) action()         {}
func (ArmGrace) action()        {}
func (Signal) action()          {}
func (ReportLaunched) action()  {}
func (ReportReady) action()     {}
func (ReportUnhealthy) action() {}
func (ReportProbed) action()    {}
func (ReportLingers) action()   {}
func (Release) action()         {}
func (Bug) action()             {}

// move is one step under way.
type move struct {
	State
	now     time.Time
	actions []Action
}

// Step returns what becomes of the run by the event, and what has to be done for it.
func Step(s State, now time.Time, e Event) (State, []Action) {
	m := &move{State: s, now: now}
	c, known := table[e.name()][s.Phase]
	if !known {
		c = bug
	}
	c.do(m, e)
	return m.State, m.actions
}

func (m *move) act(a ...Action) { m.actions = append(m.actions, a...) }

func (m *move) armProbe(at time.Time) {
	m.ProbeAt = at
	m.act(ArmProbe{at})
}

func launched(m *move, _ Event) {
	m.act(ReportLaunched{})
	switch {
	case m.Asked:
		m.terminate(m.Grace, m.Leftovers, m.Ask)
	case m.Ready:
		m.Phase = Running
		m.probe()
	default:
		m.Phase = Starting
		m.Deadline, m.Pace = m.now.Add(m.Start.Deadline), firstProbe
		m.armProbe(m.now.Add(m.Pace))
	}
}

func launchFailed(m *move, e Event) {
	m.Phase = Exited
	m.act(Release{Err: e.(LaunchFailed).Err})
}

func probeDue(m *move, e Event) {
	if e.(ProbeDue).At.Equal(m.ProbeAt) && !m.Probing {
		m.giveBack(m.ProbeAt)
		m.probe()
	}
}

// giveBack adds to a start deadline what was lost because something came that much later than it was due.
func (m *move) giveBack(due time.Time) {
	if lag := m.now.Sub(due); lag > late {
		m.Deadline = m.Deadline.Add(lag)
	}
}

func (m *move) probe() {
	m.ProbeAt, m.Probing = time.Time{}, true
	m.act(Probe{})
}

func probedStarting(m *move, e Event) {
	p := m.probed(e)
	switch {
	case p.Void:
		if !p.At.IsZero() {
			m.giveBack(p.At.Add(m.Health.Timeout))
		}
		m.armProbe(m.now.Add(slowest))
	case p.OK:
		m.Phase = Running
		m.act(ReportReady{})
		m.watch()
	case p.Conflict:
		m.unhealthy(p.Error, true)
		m.goOn()
	case !m.now.Before(m.Deadline):
		m.unhealthy(fmt.Sprintf("not healthy %v after its start: %s", m.Start.Deadline, p.Error), false)
		m.goOn()
	default:
		m.Pace = min(m.Pace*3/2, slowest)
		m.armProbe(earliest(m.now.Add(m.Pace), m.Deadline))
	}
}

func probedRunning(m *move, e Event) {
	m.unwatch()
	p := m.probed(e)
	if !p.OK && !p.Void && !m.Reported && m.Failures >= m.Health.Failures {
		m.unhealthy(fmt.Sprintf("%d probes failed in a row: %s", m.Failures, p.Error), p.Conflict)
	}
	switch {
	case p.OK:
		m.watch()
	case m.Ready: // adopted, and all of them at the same moment
		m.armProbe(m.spread())
	default:
		m.armProbe(m.now.Add(m.Health.Interval))
	}
	m.Ready = false
}

// watch has a run that is well probed steadily.
func (m *move) watch() {
	m.Watched, m.ProbeAt = true, time.Time{}
	m.act(Watch{scheduleOf(m.ID, m.Health.Interval)})
}

func (m *move) unwatch() {
	if m.Watched {
		m.Watched = false
		m.act(Unwatch{})
	}
}

// probed counts what a probe found. The root is told only when it is another than before.
func (m *move) probed(e Event) messages.Probe {
	p := e.(Probed).Probe
	m.Probing = false
	if p.OK != m.Told {
		m.Told = p.OK
		m.act(ReportProbed{p})
	}
	if p.Void {
		return p
	}
	if p.OK {
		m.Failures, m.Since, m.Reported = 0, time.Time{}, false
		return p
	}
	if m.Failures++; m.Failures == 1 {
		m.Since = p.At
	}
	return p
}

// unhealthy reports it, once.
func (m *move) unhealthy(cause string, conflict bool) {
	if m.Reported {
		return
	}
	m.Reported = true
	m.act(ReportUnhealthy{Cause: cause, Since: m.Since, Conflict: conflict})
}

// goOn has a run probed on that is not healthy after its start, and is not stopped for it.
func (m *move) goOn() {
	if m.Health.Asks().OnFailure == messages.FailureReport {
		m.armProbe(m.now.Add(m.Health.Interval))
	}
}

// spread is a time within the interval that depends on the id alone, so that a thousand instances adopted together are
// not probed together again.
func (m *move) spread() time.Time {
	return m.now.Add(time.Duration((share(m.ID) + 0.001) * float64(m.Health.Interval)))
}

func policyChanged(m *move, e Event) {
	p := e.(PolicyChanged)
	before := m.Health.Interval
	m.Deadline = m.Deadline.Add(p.Start.Deadline - m.Start.Deadline) // Starting: it counts from the same moment
	if was := m.Health.Asks().OnFailure; was != p.Health.Asks().OnFailure {
		m.Reported = false // what follows a report is another now
	}
	health := p.Health
	m.Health, m.Start, m.Leftovers = &health, p.Start, p.Stop.Leftovers
	switch {
	case m.Watched:
		m.watch()
	case m.Phase == Running && !m.Probing && before != p.Health.Interval:
		m.armProbe(m.spread())
	}
}

func stopBeforeLaunch(m *move, e Event) {
	s := e.(StopAsked)
	m.Asked, m.Grace, m.Leftovers, m.Ask = true, s.Grace, s.Leftovers, messages.StopPolicy(s).Asks().Number()
	m.act(Cancel{})
}

func stop(m *move, e Event) {
	s := e.(StopAsked)
	m.terminate(s.Grace, s.Leftovers, messages.StopPolicy(s).Asks().Number())
}

func (m *move) terminate(grace time.Duration, leftovers messages.Leftovers, ask syscall.Signal) {
	m.unwatch()
	m.Phase, m.ProbeAt, m.Leftovers = Stopping, time.Time{}, leftovers
	// CONT, or a stopped process would sleep through its grace period.
	m.signal(ask)
	m.signal(syscall.SIGCONT)
	m.KillAt = m.now.Add(grace)
	m.act(ArmGrace{m.KillAt})
}

// stopAgain is a stop with another grace: it may come sooner, never later.
func stopAgain(m *move, e Event) {
	if at := m.now.Add(e.(StopAsked).Grace); at.Before(m.KillAt) {
		m.KillAt = at
		m.act(ArmGrace{at})
	}
}

func graceOver(m *move, e Event) {
	if !e.(GraceOver).At.Equal(m.KillAt) {
		return
	}
	first := m.Phase != Killing
	if first && m.Exit != nil {
		m.Ended.Killed = len(m.bound())
	}
	m.kill()
	if first && m.Exit != nil || m.Kills == stuckAfter {
		m.lingers()
	}
}

// stuckAfter is how often KILL is sent before it is said that it does not help.
const stuckAfter = 2

// kill is done again and again: a process in an uninterruptible sleep dies when it wakes, and a group may fork while it
// is killed.
func (m *move) kill() {
	m.Phase = Killing
	m.Kills++
	m.signal(syscall.SIGKILL)
	m.KillAt = m.now.Add(killAgain)
	m.act(ArmGrace{m.KillAt})
}

func (m *move) signal(s syscall.Signal) { m.act(Signal{s, m.Leftovers}) }

// bound returns those beside the first process that must end before the run is over.
func (m *move) bound() []messages.Member {
	if m.Leftovers != messages.LeftoversLeave {
		return m.Rest
	}
	return slices.DeleteFunc(slices.Clone(m.Rest), func(r messages.Member) bool { return r.Away })
}

// exitedAlone is the end of a first process that nobody asked for. What it leaves behind answers on a port and writes
// to a database that the next run needs, and has nobody any more to tell it to end well.
func exitedAlone(m *move, e Event) {
	m.Young = m.Phase == Starting
	if m.ended(e) {
		return
	}
	m.Ended.Killed, m.Ended.AtOnce = len(m.bound()), true
	m.kill()
	m.lingers()
}

// exitedAsked is the end of the first process after a stop was asked for. The others keep what is left of the grace.
func exitedAsked(m *move, e Event) {
	if !m.ended(e) {
		m.lingers()
	}
}

// exitedKilled: those that were killed with it need a moment, and one that was just being forked another KILL.
func exitedKilled(m *move, e Event) {
	if !m.ended(e) {
		m.signal(syscall.SIGKILL)
	}
}

// ended notes the end of the first process, and reports whether the run is over with it.
func (m *move) ended(e Event) bool {
	x := e.(ProcessExited)
	m.unwatch()
	m.Exit, m.Rest, m.ProbeAt = &x.Exit, x.Rest, time.Time{}
	return m.over()
}

func restChanged(m *move, e Event) {
	m.Rest = e.(RestChanged).Rest
	if !m.over() {
		m.lingers()
	}
}

// over ends the run if nobody is left who must end before.
func (m *move) over() bool {
	if len(m.bound()) > 0 {
		return false
	}
	m.Phase, m.KillAt = Exited, time.Time{}
	m.Ended.Left = m.Rest
	m.act(Release{Exit: *m.Exit, Rest: m.Ended, Young: m.Young})
	return true
}

func (m *move) lingers() {
	m.act(ReportLingers{Exit: m.Exit, Rest: m.bound(), Killed: m.Phase == Killing, Stuck: m.Kills >= stuckAfter})
}

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
