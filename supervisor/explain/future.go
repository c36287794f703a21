package explain

import (
	"slices"
	"time"

	"procman/messages"
	"procman/supervisor/plan"
)

// future is what becomes of an instance by what happens to it, as the core decides.
type future struct {
	View
	at      time.Time
	actions []plan.Action // so far
}

func (v View) future(now time.Time) future { return future{View: v, at: now} }

// then lets an event happen, and then what the root does after every one.
func (f future) then(e plan.Event) future {
	return f.step(e).agree()
}

func (f future) step(e plan.Event) future {
	next, actions := plan.Step(f.Instance, f.at, e)
	f.Instance = next
	f.actions = slices.Concat(f.actions, actions)
	return f
}

// agree brings wish and fact closer to each other, as long as it takes, once it is known what is wished.
func (f future) agree() future {
	for n := 0; n < 4 && !f.Unread; n++ {
		e, needed := plan.Diff(f.Instance, f.Wanted(), f.Listed)
		if !needed {
			break
		}
		f = f.step(e)
	}
	return f
}

// crashed is what follows if the process ends by itself, as failed.
func (f future) crashed() future {
	return f.ended(messages.Exit{Code: 1, Known: true, At: f.at})
}

// unhealthy is what follows if its health checks have failed since then.
func (f future) unhealthy(since time.Time) future {
	return f.then(plan.Unhealthy{Cause: "health checks failed", Since: since}).stopped()
}

// stopped is what follows once a stop that is under way has come to its end.
func (f future) stopped() future {
	if f.Phase != messages.Stopping {
		return f
	}
	if f.FirstExit != nil {
		return f.ended(*f.FirstExit)
	}
	return f.ended(messages.Exit{Code: -1, Signal: f.Ending().Asks().Plain(), Known: true, At: f.at})
}

func (f future) ended(x messages.Exit) future {
	return f.then(plan.Exited{ID: f.ID, Run: f.Run, Exit: x})
}

// due is what follows in the moment in which the next start is due.
func (f future) due() future {
	if f.DueAt.After(f.at) {
		f.at = f.DueAt
	}
	return f.then(plan.Due{At: f.DueAt})
}

// returns reports whether the instance runs, or will by itself.
func (f future) returns() bool {
	switch f.Phase {
	case messages.Starting, messages.Running, messages.Backoff:
		return true
	}
	return false
}

// does reports whether an action of that kind is among those to be carried out.
func does[A plan.Action](f future) bool {
	for _, a := range f.actions {
		if _, is := a.(A); is {
			return true
		}
	}
	return false
}
