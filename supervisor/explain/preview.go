package explain

import (
	"fmt"
	"strings"
	"time"

	"procman/messages"
	"procman/supervisor/plan"
)

// Preview returns what would become of the instance if the list said next of it (nil: nothing), and whether anything
// would.
func Preview(v View, next *plan.App, t Terms, now time.Time) (messages.Change, bool) {
	after := v
	after.Unread = false
	if after.Listed = next; next != nil {
		after.Listed = v.Read(next)
	}
	p := preview{now: v.future(now), then: after.future(now).agree(), t: t.WithDefaults()}
	switch {
	case next == nil && v.Listed == nil && len(p.then.actions) == 0,
		next != nil && v.Listed != nil && v.Listed.Equal(after.Listed):
		return messages.Change{}, false
	}
	c := messages.Change{ID: v.ID, Kind: p.kind(), Fields: []messages.FieldChange{}}
	if v.Listed != nil && next != nil {
		c.Fields = messages.Diff(*v.Listed.AppInstance, *after.Listed.AppInstance)
	}
	c.Why = p.why(c)
	return c, true
}

// preview is an instance as it is, and as it would be with another list.
type preview struct {
	now, then future
	t         Terms
}

// kind reads it in what the core would do.
func (p preview) kind() messages.ChangeKind {
	stops := does[plan.Stop](p.then) || does[plan.Forget](p.then)
	was, will := p.now.stopped().returns(), p.then.stopped().returns()
	switch {
	case p.then.Listed == nil:
		return messages.ChangeStop // nothing is left of it, whatever it was
	case does[plan.Launch](p.then):
		return messages.ChangeStart
	case stops && will:
		return messages.ChangeRestart
	case stops, p.now.Phase == messages.Stopping && was && !will:
		return messages.ChangeStop
	case p.now.Phase == messages.Stopping && will && !was:
		return messages.ChangeStart
	}
	return messages.ChangeApply
}

func (p preview) why(c messages.Change) string {
	was, next, phase := p.now.Listed, p.then.Listed, p.now.Phase
	idle := !p.now.Live()
	switch {
	case next == nil && was == nil:
		return "not in " + p.t.Next
	case next == nil && idle:
		return fmt.Sprintf("no longer in %s; it is %s, so there is no process to end", p.t.Next, phase)
	case next == nil:
		return "no longer in " + p.t.Next
	case was == nil:
		return "new in " + p.t.Next + p.added(c.Kind)
	case next.Disabled && !was.Disabled:
		return "disabled in " + p.t.Next
	case next.Disabled:
		return "disabled in " + p.t.Next + ", so nothing runs: " + changed(c.Fields, messages.Noted)
	case p.then.Hold.On:
		return "held down by an operator, so nothing runs until " + of(p.t.Start, p.then.ID) + ": " +
			changed(c.Fields, messages.Noted)
	case was.Disabled:
		return "enabled in " + p.t.Next
	case c.Kind == messages.ChangeStart && idle:
		return fmt.Sprintf("it is %s, and an edit of that starts it at once: %s", phase,
			changed(c.Fields, messages.Wished))
	case c.Kind == messages.ChangeRestart:
		return changed(c.Fields, messages.Respawns)
	case idle:
		return fmt.Sprintf("it is %s and stays so: %s", phase, changed(c.Fields, messages.Noted))
	case phase == messages.Stopping:
		return "it is being stopped, and " + p.t.Next + " counts for what follows: " + changed(c.Fields, messages.Noted)
	}
	return "no process is touched: " + changed(c.Fields, messages.Noted)
}

// added says more of an instance that was not in the list.
func (p preview) added(d messages.ChangeKind) string {
	switch next := p.then.Listed; {
	case next.Disabled && d == messages.ChangeStop:
		return ", and disabled there; its process is stopped"
	case next.Disabled:
		return ", and disabled there"
	case p.then.Hold.On:
		return ", and held down by an operator until " + of(p.t.Start, p.then.ID)
	case d == messages.ChangeRestart:
		return "; what runs of it is something else"
	case d == messages.ChangeStart:
		return ""
	case p.then.Live():
		return "; its process runs on"
	}
	return fmt.Sprintf("; it is %s then", p.then.Phase)
}

// changed names the fields of which an edit has that effect at least, or all if it is none.
func changed(fields []messages.FieldChange, least messages.Effect) string {
	var all, names []string
	for _, f := range fields {
		all = append(all, f.Field)
		if f.Effect() >= least {
			names = append(names, f.Field)
		}
	}
	if len(names) == 0 {
		names = all
	}
	if len(names) == 1 {
		return names[0] + " has changed"
	}
	return strings.Join(names, ", ") + " have changed"
}
