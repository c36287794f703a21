package plan

import (
	"fmt"
	"hash/fnv"
	"time"

	"github.com/cenkalti/backoff/v4"

	"procman/messages"
)

// maxConflicts bounds how often in a row another port is tried at once. More than this is no accident, and waits.
const maxConflicts = 5

// failure is how a run failed.
type failure struct {
	reason   string         // for a person
	exit     *messages.Exit // it ended by itself; nil: it was stopped, because it was not well
	conflict bool           // somebody else has its port
	until    time.Time
}

// retry decides what follows a run that has ended though it was wanted: another at once, another after a delay, or
// none.
func (m *move) retry(f failure) {
	if m.Want == nil { // before the first list: not known by which policy
		m.to(messages.Backoff, f.reason)
		m.pending = &f
		return
	}
	policy := m.Want.Restart
	stable := m.stable(f.until)
	m.HealthySince, m.HealthyUntil = time.Time{}, time.Time{}
	m.Reason = f.reason

	if f.conflict && m.Conflicts < maxConflicts {
		m.Conflicts++
		m.tell(messages.Event{What: messages.InstanceRestarting, Why: f.reason, Attempt: m.Attempts})
		m.launch(m.precedence())
		return
	}
	if f.conflict { // somebody else's deed all the same: no attempt is spent, and nothing is given up for it
		m.Conflicts++
		m.wait(Delay(policy, m.Conflicts-maxConflicts, m.draw()), f.reason)
		return
	}
	clean := f.exit != nil && policy.Success.HasExit(*f.exit)
	if f.exit != nil && policy.Final.HasExit(*f.exit) {
		m.giveUp(fmt.Sprintf("%s; restart.final says that it stays down then", f.reason), false)
		return
	}
	if policy.Mode == messages.RestartNever || policy.Mode == messages.RestartOnFailure && clean {
		m.giveUp(fmt.Sprintf("%s; restart mode is %s", f.reason, policy.Mode), clean)
		return
	}
	if stable {
		m.Attempts = 0
	} else {
		m.Attempts++
	}
	if policy.MaxAttempts > 0 && m.Attempts >= policy.MaxAttempts {
		m.giveUp(fmt.Sprintf("%s; that was failure %d of %d", f.reason, m.Attempts, policy.MaxAttempts), false)
		return
	}
	m.wait(Delay(policy, m.Attempts, m.draw()), f.reason)
}

// stable reports whether the run had been healthy for long enough at the time given that nothing before it counts.
func (m *move) stable(at time.Time) bool {
	return m.Want != nil && !m.HealthySince.IsZero() && at.Sub(m.HealthySince) >= m.Want.Restart.StableAfter
}

// awaitStable arms the moment in which failures are forgiven, if there is one to forgive. If that has passed, by an
// edit or while no manager watched, the run is watched for one interval more.
func (m *move) awaitStable() {
	if m.Phase != messages.Running || m.Attempts == 0 || m.Want == nil {
		return
	}
	at := m.HealthySince.Add(m.Want.Restart.StableAfter)
	if !at.After(m.now) {
		at = m.now.Add(m.Want.Health.Interval)
	}
	m.act(Arm{At: at})
}

// wait goes to Backoff for the delay; no delay is a launch at once.
func (m *move) wait(delay time.Duration, reason string) {
	m.tell(messages.Event{What: messages.InstanceRestarting, Why: reason, Delay: delay, Attempt: m.Attempts})
	m.to(messages.Backoff, reason)
	m.DueAt = m.now.Add(delay)
	if delay > 0 {
		m.act(Arm{At: m.DueAt})
		return
	}
	m.due(messages.PrecedenceUrgent) // there is no delay after a run that was stable
}

// precedence is that of a start for which nobody has asked now.
func (m *move) precedence() messages.Precedence {
	switch m.Attempts {
	case 0:
		return messages.PrecedenceFirst
	case 1:
		return messages.PrecedenceFailed
	}
	return messages.PrecedenceFailing
}

func (m *move) giveUp(reason string, clean bool) {
	phase := messages.Failed
	if clean {
		phase = messages.Stopped
	}
	m.to(phase, reason)
	m.tell(messages.Event{What: messages.InstanceStopped, Why: reason, Bad: !clean})
}

// Delay returns how long the restart after so many failures in a row waits: nothing for none, then Initial, growing by
// Multiplier, never more than Max. draw, from 0 up to but not including 1, chooses within ±Jitter; at the cap within
// what of that lies below it.
func Delay(p messages.RestartPolicy, failures int, draw float64) time.Duration {
	if failures <= 0 {
		return 0
	}
	b := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(p.Initial), backoff.WithMaxInterval(p.Max), backoff.WithMultiplier(p.Multiplier),
		backoff.WithRandomizationFactor(0),      // the jitter is drawn here, to stay within Max and to be reproducible
		backoff.WithMaxElapsedTime(0),           // the default gives up after 15 minutes
		backoff.WithClockProvider(standstill{}), // and would read the time to know
	)
	base := b.NextBackOff()
	for n := 1; n < failures && base < p.Max && p.Multiplier > 1; n++ {
		base = b.NextBackOff()
	}
	least := float64(base) * (1 - p.Jitter)
	most := min(float64(base)*(1+p.Jitter), float64(p.Max))
	return time.Duration(least + draw*(most-least))
}

// standstill is a clock that does not go.
type standstill struct{}

func (standstill) Now() time.Time { return time.Time{} }

// draw returns a number from 0 up to 1 that differs between instances and between runs.
func (m *move) draw() float64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s@%d+%d", m.ID, m.Run, m.Adoptions)
	x := h.Sum64()
	x ^= x >> 33 // FNV leaves the last bytes in the low bits
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return float64(x>>11) / (1 << 53)
}
