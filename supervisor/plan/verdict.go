package plan

import (
	"fmt"
	"strings"
	"time"

	"procman/messages"
)

// Judge says in words where an instance stands at the time given, what happens next by itself, and what would change that.
func Judge(x messages.Explanation, now time.Time) messages.Verdict {
	j := judge{x: x, s: x.Status, now: now, policy: messages.AppInstance{}.WithDefaults()}
	if x.Desired != nil {
		j.policy = *x.Desired
	}
	j.v.Attempt, j.v.Change = j.s.ConsecutiveFailures, []string{}
	if x.Status.LastExit != nil {
		j.v.Exit = meaning(*x.Status.LastExit)
	}
	switch j.s.Phase {
	case messages.Running:
		j.running()
	case messages.Starting:
		j.starting()
	case messages.Stopping:
		j.stopping()
	case messages.Backoff:
		j.backoff()
	case messages.Failed:
		j.failed()
	default:
		j.stopped()
	}
	if x.Leaving != "" {
		j.v.Next += "; its entry has left the configuration, and it is not stopped by that: " + x.Leaving
		j.change("`procman reload` confirms that its entry is to go, and stops it; an edit that brings the entry back ends the doubt")
	}
	return j.v
}

// judge is a verdict that is being reached.
type judge struct {
	x      messages.Explanation
	s      messages.Status
	now    time.Time
	policy messages.AppInstance
	v      messages.Verdict
}

func (j *judge) change(format string, args ...any) {
	j.v.Change = append(j.v.Change, fmt.Sprintf(format, args...))
}

// word is a command that is about the instance.
func (j *judge) word(command string) string { return fmt.Sprintf("`procman %s %s`", command, j.s.ID) }

func (j *judge) because() string {
	if j.s.Reason == "" {
		return ""
	}
	return ": " + j.s.Reason
}

func (j *judge) running() {
	failures := trailingFailures(j.x.Probes, j.s.StartedAt)
	switch {
	case j.s.Health == messages.NotHealthy:
		j.v.Summary = "is running and unhealthy" + j.because()
	case failures > 0:
		j.v.Summary = fmt.Sprintf("is running, but its last %s failed: %s", count(failures, "probe"), j.x.Probes[len(j.x.Probes)-1].Error)
	case j.s.Health == messages.Healthy:
		j.v.Summary = "is running and healthy" + j.since(", for ", j.s.HealthySince)
	default:
		j.v.Summary = "is running; an earlier daemon started it, and it has not been probed since"
	}
	switch {
	case failures > 0:
		j.v.Next = fmt.Sprintf("it is probed every %v; when %d in a row have failed it is stopped, and %s", j.policy.Health.Interval, j.policy.Health.Failures, j.afterFailure())
		j.change("a probe that succeeds (GET %s answers 200 within %v) forgives those that failed", j.policy.Health.Path, j.policy.Health.Timeout)
		j.change("%s replaces it now", j.word("restart"))
	default:
		j.v.Next = fmt.Sprintf("it is probed every %v; should it fail, %s", j.policy.Health.Interval, j.afterFailure())
	}
}

// afterFailure says what would follow if the run failed now.
func (j *judge) afterFailure() string {
	p := j.policy.Restart
	failures := j.s.ConsecutiveFailures + 1
	stable := j.s.HealthySince != nil && j.now.Sub(*j.s.HealthySince) >= p.StableAfter
	switch down := j.stays(failures); {
	case p.Mode == messages.RestartNever:
		return down
	case stable:
		return "it is started again at once"
	case down != "":
		return down
	}
	return fmt.Sprintf("it is started again after about %v", round(Delay(p, failures, 0.5)))
}

// stays says why an instance would stay down after so many failures in a row; empty: it would not.
func (j *judge) stays(failures int) string {
	p := j.policy.Restart
	switch {
	case p.Mode == messages.RestartNever:
		return "it stays down: restart.mode is never"
	case p.MaxAttempts > 0 && failures >= p.MaxAttempts:
		return fmt.Sprintf("it is given up: that would be failure %d of %d in a row", failures, p.MaxAttempts)
	}
	return ""
}

func (j *judge) starting() {
	deadline := j.policy.Start.Deadline
	switch {
	case j.s.PID == 0 && strings.HasPrefix(j.s.Reason, "waits: "+string(messages.FaultNotTaken)):
		j.v.Summary = "its process runs on, but nobody watches it: it " + j.s.Reason
		j.v.Next = "nothing is started in its place; it is taken over within seconds once there is room, and not restarted"
	case j.s.PID == 0 && strings.HasPrefix(j.s.Reason, "waits: "+string(messages.FaultUnclear)):
		j.v.Summary = j.s.Reason
		j.v.Next = "nothing is started in its place, and nothing is signalled; it is looked at again every few seconds, and goes on by itself once that is settled"
	case j.s.PID == 0 && j.s.Reason != "":
		j.v.Summary = "has no process yet, and " + j.s.Reason
		j.v.Next = "it is tried again at least every few seconds, and when a port or a process of another instance is let go; " +
			"that is no failed attempt, and it is not given up"
	case j.s.PID == 0:
		j.v.Summary = "is being started: it has no process yet"
		j.v.Next = "it is started as soon as fewer than start.parallel instances are starting"
		if j.s.Adopted {
			j.v.Next = "its process, which an earlier daemon started, is taken over"
		}
	case j.s.Adopted:
		j.v.Summary = "was started by an earlier daemon, and has not answered healthy yet"
		j.v.Next = fmt.Sprintf("it is probed until it answers 200, for %v at the most; then it is stopped, and %s", deadline, j.afterFailure())
	default:
		j.v.Summary = "has been started" + j.since(" ", j.s.StartedAt) + " ago, and has not answered healthy yet"
		j.v.Next = "it is probed until it answers 200"
		if j.s.StartedAt != nil {
			j.v.Next += fmt.Sprintf(", for another %v at the most (start.deadline is %v); then it is stopped, and %s",
				round(max(0, j.s.StartedAt.Add(deadline).Sub(j.now))), deadline, j.afterFailure())
		}
	}
	if p := j.s.LastProbe; p != nil && p.Error != "" {
		j.v.Summary += ": " + p.Error
	}
	if j.s.PID != 0 {
		j.change("a 200 for GET %s on port %d within %v makes it healthy", j.policy.Health.Path, j.s.Port, j.policy.Health.Timeout)
		j.change("a greater start.deadline gives it more time; the file is watched")
	}
	j.change("%s holds it down", j.word("stop"))
}

func (j *judge) stopping() {
	j.v.Summary = "has been told to end" + j.because()
	left := j.x.KillAt.Sub(j.now)
	switch {
	case j.x.KillAt.IsZero():
		j.v.Next = "TERM was sent to every process of it; what has not ended when its grace is over gets KILL"
	case left > 0:
		j.v.Next = fmt.Sprintf("TERM was sent to every process of it; what has not ended in %v gets KILL", round(left))
	default:
		j.v.Next = "KILL was sent to every process of it, and is sent again until all have ended"
	}
	switch {
	case j.s.Held, j.x.Desired == nil, j.x.Desired.Disabled:
		j.v.Next += "; then it stays down"
	case j.x.StopAs == messages.ReasonUnhealthy && j.stays(j.s.ConsecutiveFailures+1) != "":
		j.v.Next += "; then " + j.stays(j.s.ConsecutiveFailures+1)
	default:
		j.v.Next += "; then another is started"
	}
	if !j.x.KillAt.IsZero() && j.now.Sub(j.x.KillAt) > 10*time.Second && j.s.PID != 0 {
		j.change("a process that KILL does not end hangs in the kernel, mostly on a disk or a network file system: `ps -o pid,stat,wchan -p %d`", j.s.PID)
	}
}

func (j *judge) backoff() {
	p := j.policy.Restart
	j.v.Summary = fmt.Sprintf("is down and waits for restart attempt %d", j.v.Attempt) + j.because()
	if j.s.NextStartAt == nil {
		j.v.Next = "what follows is decided as soon as the list of instances is known"
		return
	}
	j.v.Next = "it is started again now"
	if left := j.s.NextStartAt.Sub(j.now); left > 0 {
		j.v.Next = fmt.Sprintf("it is started again in %v", round(left))
	}
	if down := j.stays(j.s.ConsecutiveFailures + 1); down != "" {
		j.v.Next += "; should that fail, " + down
	} else {
		j.v.Next += fmt.Sprintf("; should that fail, the next attempt waits about %v (restart.max is %v)", round(Delay(p, j.v.Attempt+1, 0.5)), p.Max)
		if p.MaxAttempts > 0 {
			j.v.Next += fmt.Sprintf("; it is given up after %d failures in a row", p.MaxAttempts)
		}
	}
	j.change("%s starts it now, as if nothing had failed", j.word("start"))
	j.change("an edit of its entry in the configuration starts it at once, as if nothing had failed, if it changes %s", wishful)
	j.change("%s holds it down", j.word("stop"))
}

func (j *judge) failed() {
	j.v.Summary = "was given up" + j.because()
	j.v.Next = "nothing: it stays down"
	j.change("%s starts it, as if nothing had failed", j.word("start"))
	j.change("an edit of its entry in the configuration does the same, if it changes %s", wishful)
}

func (j *judge) stopped() {
	j.v.Next = "nothing: it stays down"
	switch {
	case j.s.Held:
		by := j.x.HeldBy
		if by == "" {
			by = "an operator"
		}
		j.v.Summary = "is held down: stopped by " + by
		if !j.x.HeldAt.IsZero() {
			j.v.Summary += fmt.Sprintf(", %v ago", round(j.now.Sub(j.x.HeldAt)))
		}
		j.v.Next += ", also over restarts of the daemon and edits of the file"
		if left := j.s.Left(); left != "" {
			j.v.Summary += "; " + messages.LeftAlone + left
		}
		j.change("%s ends the hold and starts it", j.word("start"))
	case j.x.Desired == nil:
		j.v.Summary = "is not in the list of instances any more"
		j.change("an entry of that id in the configuration starts it")
	case j.x.Desired.Disabled:
		j.v.Summary = "is disabled in the configuration"
		j.change("`enabled: true` in the configuration starts it; the file is watched")
	default:
		j.v.Summary = "is stopped" + j.because()
		j.change("%s starts it", j.word("start"))
		j.change("an edit of its entry in the configuration does the same, if it changes %s", wishful)
	}
}

// wishful is what App.wishes looks at.
const wishful = "what runs or a key of restart"

func (j *judge) since(before string, t *time.Time) string {
	if t == nil {
		return ""
	}
	return before + round(j.now.Sub(*t)).String()
}

// trailingFailures counts the newest probes that failed, of the run that began at the time given.
func trailingFailures(probes []messages.Probe, began *time.Time) int {
	n := 0
	for n < len(probes) {
		p := probes[len(probes)-1-n]
		if p.OK || p.Void || began != nil && p.At.Before(*began) {
			break
		}
		n++
	}
	return n
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
			return "procman did not send that signal; if nobody did, the kernel was out of memory: `dmesg | grep -i oom`"
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
		return "procman stopped it, because what should run had changed"
	case messages.ReasonStartFailed:
		return "there never was a process"
	case messages.ReasonPortConflict:
		return "somebody else took its port"
	default:
		return "it ended while no daemon watched, and the kernel did not know how any more"
	}
}
