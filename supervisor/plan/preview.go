package plan

import (
	"fmt"
	"strings"

	"procman/messages"
)

// Preview returns what would become of an instance if the list said next of it (nil: nothing) in place of now, and
// whether anything would. held: an operator has stopped it.
func Preview(phase messages.Phase, held bool, now, next *App) (messages.Change, bool) {
	switch {
	case now == nil && next == nil:
		return messages.Change{}, false
	case now == nil:
		return added(next, held), true
	case next == nil:
		return removed(now, phase), true
	case now.Equal(next):
		return messages.Change{}, false
	}
	if next.EnvFault != "" {
		next = next.As(now.Spec) // what it would run is not known, and so no reason to restart it
	}
	c := messages.Change{ID: next.InstanceID, Deed: messages.DeedApply, Fields: messages.Diff(now.AppInstance, next.AppInstance)}
	names := make([]string, 0, len(c.Fields))
	starts := idle(phase) && now.wishes(next)
	for _, f := range c.Fields {
		if starts && f.Effect() >= messages.Wished || !starts && (now.Spec == next.Spec || f.Effect() == messages.Respawns) {
			names = append(names, f.Field)
		}
	}
	what := strings.Join(names, ", ") + " " + hasOrHave(len(names)) + " changed"
	switch {
	case next.Disabled && !now.Disabled:
		c.Deed, c.Why = messages.DeedStop, "disabled in the file"
	case next.Disabled:
		c.Why = "disabled in the file, so nothing runs: " + what
	case held:
		c.Why = "held down by an operator, so nothing runs until `procman start`: " + what
	case now.Disabled:
		c.Deed, c.Why = messages.DeedStart, "enabled in the file"
	case starts:
		c.Deed, c.Why = messages.DeedStart, fmt.Sprintf("it is %s, and an edit of that starts it at once: %s", phase, what)
	case idle(phase):
		c.Why = fmt.Sprintf("it is %s and stays so: %s", phase, what)
	case now.Spec == next.Spec:
		c.Why = "no process is touched: " + what
	default:
		c.Deed, c.Why = messages.DeedRestart, what
	}
	return c, true
}

func added(next *App, held bool) messages.Change {
	c := messages.Change{ID: next.InstanceID, Deed: messages.DeedStart, Why: "new in the file", Fields: []messages.FieldChange{}}
	switch {
	case next.Disabled:
		c.Deed, c.Why = messages.DeedApply, "new in the file, and disabled there"
	case held:
		c.Deed, c.Why = messages.DeedApply, "new in the file, and held down by an operator until `procman start`"
	}
	return c
}

func removed(now *App, phase messages.Phase) messages.Change {
	c := messages.Change{ID: now.InstanceID, Deed: messages.DeedStop, Why: "no longer in the file", Fields: []messages.FieldChange{}}
	if idle(phase) {
		c.Why += fmt.Sprintf("; it is %s, so there is no process to end", phase)
	}
	return c
}

// idle reports whether there is no process in the phase.
func idle(phase messages.Phase) bool {
	return phase == messages.Stopped || phase == messages.Failed || phase == messages.Backoff
}

func hasOrHave(n int) string {
	if n == 1 {
		return "has"
	}
	return "have"
}
