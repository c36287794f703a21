package explain

import (
	"fmt"
	"strings"
	"time"

	"procman/messages"
	"procman/supervisor/plan"
)

// Verdict says in words where an instance stands at the time given, what happens next by itself, and what would change
// that.
func Verdict(v View, t Terms, now time.Time) messages.Verdict {
	j := judge{View: v, t: t.WithDefaults(), s: v.Status(t), now: now, rules: v.policy()}
	j.v.Attempt, j.v.Change = v.Attempts, []string{}
	if v.LastExit != nil {
		j.v.Exit = meaning(*v.LastExit)
	}
	switch v.Phase {
	case messages.Running:
		j.running()
	case messages.Starting:
		j.starting()
	case messages.Stopping:
		j.stopping()
	case messages.Backoff:
		j.backoff()
	default:
		j.down()
	}
	if v.Leaving != "" {
		j.v.Next += "; its entry has left " + j.t.List + ", and it is not stopped by that: " + v.Leaving
		j.change("`%s` confirms that its entry is to go, and stops it; an edit that brings the entry back ends the "+
			"doubt", j.t.Reload)
	}
	return j.v
}

// judge is a verdict that is being reached.
type judge struct {
	View
	t     Terms
	s     messages.Status
	now   time.Time
	rules messages.AppInstance // by which it runs
	v     messages.Verdict
}

func (j *judge) change(format string, args ...any) {
	j.v.Change = append(j.v.Change, fmt.Sprintf(format, args...))
}

func (j *judge) because() string {
	if j.s.Reason == "" {
		return ""
	}
	return ": " + j.s.Reason
}

// again says what follows an end of the run, as the core has decided it: another start, or none.
func (j *judge) again(f future) string {
	switch {
	case f.Phase == messages.Starting:
		return "it is started again at once"
	case f.Phase == messages.Backoff && !f.DueAt.IsZero():
		return fmt.Sprintf("it is started again after %v", round(f.DueAt.Sub(f.at)))
	case f.Want == nil && f.Unread:
		return "what follows is decided as soon as the list of instances is known"
	case f.Want == nil:
		return "it stays down"
	case f.Attempts > j.Attempts:
		return fmt.Sprintf("it is given up: that would be failure %d of %d in a row", f.Attempts,
			f.Want.Restart.MaxAttempts)
	}
	if x := f.LastExit; x != nil && x.Reason == x.Unasked() && f.Want.Restart.Final.HasExit(*x) {
		return fmt.Sprintf("it stays down if it has %s: restart.final is %s", x, f.Want.Restart.Final)
	}
	return fmt.Sprintf("it stays down: restart.mode is %s", f.Want.Restart.Mode)
}

func (j *judge) running() {
	failed := failedLast(j.seen().Probes, j.StartedAt)
	switch {
	case len(failed) > 0:
		j.v.Summary = fmt.Sprintf("is running, but its last %s failed: %s", count(len(failed), "probe"),
			failed[len(failed)-1].Error)
	case j.Health == messages.Healthy:
		j.v.Summary = "is running and healthy" + j.since(", for ", j.s.HealthySince)
	default:
		j.v.Summary = "is running; an earlier daemon started it, and it has not been probed since"
	}
	health := j.rules.Health
	if len(failed) == 0 {
		f := j.future(j.now).crashed()
		j.v.Next = fmt.Sprintf("it is probed every %v; should it fail, %s", health.Interval, j.again(f))
		if final := j.rules.Restart.Final; final != "" && f.LastExit != nil && !final.HasExit(*f.LastExit) {
			j.v.Next += fmt.Sprintf("; not after %s: restart.final", messages.Alternatives(final.Words()))
		}
		return
	}
	j.v.Next = fmt.Sprintf("it is probed every %v; when %d in a row have failed %s",
		health.Interval, health.Failures, j.unhealthy(failed[0].At, j.now))
	j.change("a probe that succeeds (%s within %v) forgives those that failed", j.answer(), health.Timeout)
	j.change("%s replaces it now", of(j.t.Restart, j.ID))
}

func (j *judge) starting() {
	switch {
	case j.PID == 0:
		j.waiting()
	case j.Adopted:
		j.v.Summary = "was started by an earlier daemon, and has not answered healthy yet"
		j.v.Next = fmt.Sprintf("it is probed until %s, for %v at the most; then %s", j.healthy(),
			j.rules.Start.Deadline, j.unhealthy(j.now, j.now))
	default:
		deadline := j.StartedAt.Add(j.rules.Start.Deadline)
		j.v.Summary = "has been started" + j.since(" ", j.s.StartedAt) + " ago, and has not answered healthy yet"
		j.v.Next = fmt.Sprintf("it is probed until %s, for another %v at the most (start.deadline is %v); then %s",
			j.healthy(), round(deadline.Sub(j.now)), j.rules.Start.Deadline, j.unhealthy(deadline, deadline))
	}
	if p := j.LastProbe; p != nil && p.Error != "" {
		j.v.Summary += ": " + p.Error
	}
	if j.PID != 0 {
		j.change("%s makes it healthy", j.needed())
		j.change("a greater start.deadline gives it more time%s", j.t.edited())
	}
	j.change("%s holds it down", of(j.t.Stop, j.ID))
}

// waiting tells of an instance that has no process yet, or none that is taken for its own.
func (j *judge) waiting() {
	switch {
	case j.Waits == messages.FaultNotTaken:
		j.v.Summary = "its process runs on, but nobody watches it: it " + j.s.Reason
		j.v.Next = "nothing is started in its place; it is taken over within seconds once there is room, and not " +
			"restarted"
	case j.Waits == messages.FaultUnclear, j.Waits == "" && j.Doubt != "":
		j.v.Summary = j.s.Reason
		j.v.Next = "nothing is started in its place, and nothing is signalled; it is looked at again every few " +
			"seconds, and goes on by itself once that is settled"
	case j.seen().Queue.Waits:
		j.v.Summary = "has no process yet, and " + j.s.Reason
		j.v.Next = "it is started when one of them is healthy, has ended, or waits for something else than the " +
			"processor"
		if j.seen().Queue.Precedence != messages.PrecedenceUrgent {
			j.change("%s has it go before the others that wait", of(j.t.Start, j.ID))
		}
	case j.s.Reason != "":
		j.v.Summary = "has no process yet, and " + j.s.Reason
		j.v.Next = "it is tried again at least every few seconds, and when a port or a process of another instance " +
			"is let go; " +
			"that is no failed attempt, and it is not given up"
	case j.Adopted:
		j.v.Summary = "is being started: it has no process yet"
		j.v.Next = "its process, which an earlier daemon started, is taken over"
	default:
		j.v.Summary = "is being started: it has no process yet"
		j.v.Next = "its process is about to be started"
	}
}

func (j *judge) stopping() {
	j.v.Summary = "has been told to end" + j.because()
	asked := j.Ending().Asks().Plain() + " was sent to every process of it; "
	switch left := j.KillAt.Sub(j.now); {
	case j.KillAt.IsZero():
		j.v.Next = asked + "what has not ended when its grace is over gets KILL"
	case left > 0:
		j.v.Next = fmt.Sprintf("%swhat has not ended in %v gets KILL", asked, round(left))
	default:
		j.v.Next = "KILL was sent to every process of it, and is sent again until all have ended"
	}
	if f := j.future(j.now).stopped(); f.Phase == messages.Starting {
		j.v.Next += "; then another is started"
	} else {
		j.v.Next += "; then " + j.again(f)
	}
	if !j.KillAt.IsZero() && j.now.Sub(j.KillAt) > 10*time.Second && j.PID != 0 {
		j.change("a process that KILL does not end hangs in the kernel, mostly on a disk or a network file system: "+
			"`ps -o pid,stat,wchan -p %d`", j.PID)
	}
}

func (j *judge) backoff() {
	j.v.Summary = fmt.Sprintf("is down and waits for restart attempt %d", j.Attempts) + j.because()
	if j.Attempts == 0 {
		j.v.Summary = "is down and waits for its next start" + j.because()
	}
	due := j.future(j.now).due()
	in := "now"
	if left := j.DueAt.Sub(j.now); left > 0 {
		in = fmt.Sprintf("in %v", round(left))
	}
	switch {
	case does[plan.Adopt](due):
		j.v.Summary = "runs on, and nobody watches it" + j.because()
		j.v.Next = "it is taken over again " + in
		return
	case !does[plan.Launch](due):
		j.v.Next = "what follows is decided as soon as the list of instances is known"
		return
	}
	j.v.Next = "it is started again " + in
	restart := j.rules.Restart
	if f := due.crashed(); f.Phase == messages.Backoff {
		j.v.Next += fmt.Sprintf("; should that fail, the next attempt waits %v (restart.max is %v)",
			round(f.DueAt.Sub(f.at)), restart.Max)
		if restart.MaxAttempts > 0 {
			j.v.Next += fmt.Sprintf("; it is given up after %d failures in a row", restart.MaxAttempts)
		}
	} else {
		j.v.Next += "; should that fail, " + j.again(f)
	}
	j.advise("starts it now, as if nothing had failed", "starts it at once, as if nothing had failed")
	j.change("%s holds it down", of(j.t.Stop, j.ID))
}

// down tells of an instance that has no process, and is due none.
func (j *judge) down() {
	j.v.Next = "nothing: it stays down"
	switch {
	case j.Want == nil && j.Unread:
		j.v.Summary = "is stopped" + j.because()
		j.v.Next = "what follows is decided as soon as the list of instances is known"
	case j.Phase == messages.Failed:
		j.v.Summary = "was given up" + j.because()
		j.advise("starts it, as if nothing had failed", "does the same")
	case j.Hold.On:
		j.v.Summary = "is held down: " + j.Hold.by()
		if !j.Hold.At.IsZero() {
			j.v.Summary += fmt.Sprintf(", %v ago", round(j.now.Sub(j.Hold.At)))
		}
		j.v.Next += ", also over restarts of the daemon and edits of " + j.t.List
		if left := j.s.Left(); left != "" {
			j.v.Summary += "; " + messages.LeftAlone + left
		}
		j.free()
	case j.Listed == nil:
		j.v.Summary = "is not in " + j.t.List + " any more"
		j.change("an entry of that id in %s starts it", j.t.List)
	case j.Listed.Disabled:
		j.v.Summary = "is disabled in " + j.t.List
		j.change("`enabled: true` in %s starts it%s", j.t.List, j.t.edited())
	default:
		j.v.Summary = "is stopped" + j.because()
		j.advise("starts it", "does the same")
	}
}

// free says what ends a hold, and makes it run.
func (j *judge) free() {
	switch {
	case j.Listed == nil:
		j.change("an entry of that id in %s, and then %s, starts it", j.t.List, of(j.t.Start, j.ID))
	case j.Listed.Disabled:
		j.change("`enabled: true` in %s, and then %s, starts it", j.t.List, of(j.t.Start, j.ID))
	default:
		j.change("%s ends the hold and starts it", of(j.t.Start, j.ID))
	}
}

// advise names the wishes that start it, if they do.
func (j *judge) advise(command, edit string) {
	if does[plan.Launch](j.future(j.now).then(plan.Retry{})) {
		j.change("%s %s", of(j.t.Start, j.ID), command)
		j.change("an edit of its entry in %s %s, if it changes %s", j.t.List, edit, wishful)
	}
}

// wishful is an edit that is a wish to see it run, see wished.
const wishful = "what runs or a key of restart"

func (j *judge) since(before string, t *time.Time) string {
	if t == nil {
		return ""
	}
	return before + round(j.now.Sub(*t)).String()
}

// failedLast returns the newest probes that failed in a row, of the run that began at the time given.
func failedLast(probes []messages.Probe, began time.Time) []messages.Probe {
	n := len(probes)
	for n > 0 && !probes[n-1].OK && !probes[n-1].Void && !probes[n-1].At.Before(began) {
		n--
	}
	return probes[n:]
}

func count(n int, what string) string {
	if n == 1 {
		return what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// round leaves of a duration what a person reads.
func round(d time.Duration) time.Duration {
	switch d = max(0, d); {
	case d < 10*time.Second:
		return d.Round(100 * time.Millisecond)
	default:
		return d.Round(time.Second)
	}
}

// meaning says what an exit reason says of a run that ended, and where to look.
func meaning(x messages.Exit) string {
	switch x.Reason {
	case messages.ReasonExit:
		return "it ended by itself"
	case messages.ReasonSignal:
		if x.Signal == "KILL" {
			return "procman did not send that signal; if nobody did, the kernel had no more memory for it, at all or " +
				"within resources.memory: `dmesg | grep -i oom`"
		}
		if strings.Contains(" SEGV BUS ILL FPE ABRT ", " "+x.Signal+" ") {
			return "it crashed; procman did not send that signal"
		}
		return "somebody else sent that signal, not procman"
	case messages.ReasonUnhealthy:
		return "procman stopped it because its health checks failed"
	case messages.ReasonStopped:
		return "procman stopped it, because it was not wanted or for an operator"
	case messages.ReasonChanged:
		return "procman stopped it, because what should run, or a file of it, had changed"
	case messages.ReasonStartFailed:
		return "there never was a process"
	case messages.ReasonPortConflict:
		return "somebody else took its port"
	default:
		return "it ended while no daemon watched, and the kernel did not know how any more"
	}
}
