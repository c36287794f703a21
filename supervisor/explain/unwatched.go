package explain

import (
	"fmt"
	"time"

	"procman/messages"
	"procman/supervisor/plan"
)

// Unwatched returns how an instance stands that no manager supervises: as the next one will find it by what is
// remembered of it and by the run that was found, if one was. Nothing is due before there is one.
func Unwatched(m messages.Memory, found *messages.Survivor, t Terms, now time.Time) messages.Status {
	f := View{Instance: plan.New(m.ID)}.future(now).step(plan.Survivor{Memory: m, Found: found})
	if does[plan.Adopt](f) && f.Doubt == "" {
		f = f.step(plan.Launched{ID: m.ID, Run: f.Run, PID: found.PID, Port: found.Port, StartedAt: found.StartedAt,
			SpecHash: found.SpecHash, Adopted: true})
	}
	s := f.Instance.Status()
	s.Held, s.Health, s.HealthySince, s.NextStartAt = m.Held, messages.HealthUnknown, nil, nil
	if s.Phase == messages.Backoff && f.DueAt.IsZero() {
		s.Phase = messages.Stopped // nobody has decided yet what follows
	}
	s.Reason = "unsupervised: " + unwatched(f, m, found)
	if !m.Held {
		return s
	}
	hold := Hold{true, m.HeldBy, m.HeldAt}
	if f.Live() {
		s.Reason = "unsupervised: no daemon; held: " + hold.since() + ", but the process runs on"
	} else {
		s.Reason = "held: " + hold.since() + "; " + of(t.WithDefaults().Start, m.ID) + " ends that, once a daemon runs"
	}
	return s
}

// UnwatchedVerdict says in words what follows of such a status.
func UnwatchedVerdict(s messages.Status) messages.Verdict {
	v := messages.Verdict{Summary: "is " + string(s.Phase) + ", and no daemon supervises it",
		Attempt: s.ConsecutiveFailures,
		Next:    "nothing, until a daemon runs", Change: []string{}}
	if s.Reason != "" {
		v.Summary += ": " + s.Reason
	}
	if s.LastExit != nil {
		v.Exit = meaning(*s.LastExit)
	}
	return v
}

func unwatched(f future, m messages.Memory, found *messages.Survivor) string {
	because := func(text, reason string) string {
		if reason == "" {
			return text
		}
		return text + "; " + reason
	}
	switch {
	case f.Doubt != "":
		return "no daemon; " + f.Doubt
	case f.Phase == messages.Stopping:
		return fmt.Sprintf("no daemon; the process runs on; it was told to stop (%s)", f.Reason)
	case f.Live():
		return "no daemon; the process runs on"
	case m.Rebooted && !m.Exited && found != nil:
		return "ended when the host was restarted"
	case f.LastExit != m.LastExit:
		return f.LastExit.String() + " while nobody watched"
	case m.Phase != messages.Backoff:
		return because("no daemon", f.Reason)
	case f.DueAt.After(f.at):
		return because("was in backoff, next start is due "+f.DueAt.UTC().Round(time.Second).Format(time.RFC3339),
			f.Reason)
	case !f.DueAt.IsZero():
		return because("was in backoff, next start was due "+
			f.DueAt.UTC().Round(time.Second).Format(time.RFC3339), f.Reason)
	}
	return because("was in backoff", f.Reason)
}
