package explain

import (
	"time"

	"procman/messages"
	"procman/supervisor/plan"
)

var (
	now   = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	words = Terms{Start: "do start", Stop: "do stop", Restart: "do restart", Reload: "do reload",
		List: "the configuration", Next: "the file", Watched: "the file is watched"}
)

// at is an event so long before or after now.
type at struct {
	when time.Duration
	e    plan.Event
}

// seen is an instance of the list, or of none, after all that has happened to it.
func seen(app *plan.App, story ...at) View {
	v := View{Instance: plan.New("web"), Listed: app}
	f := v.future(now)
	if len(story) > 0 {
		f.at = now.Add(story[0].when)
	}
	f = f.agree()
	for _, s := range story {
		f.at = now.Add(s.when)
		if l, is := s.e.(plan.Launched); is {
			l.PID, l.Port, l.SpecHash, l.StartedAt = 1, 30001, f.Spec, f.at
			s.e = l
		}
		f = f.then(s.e)
		if p, is := s.e.(plan.Probed); is {
			p.Probe.At = f.at
			f.Seen = &Seen{Probes: append(f.seen().Probes, p.Probe)}
		}
	}
	return f.View
}

// view is one to which all of it has happened just now.
func view(app *plan.App, events ...plan.Event) View {
	var story []at
	for _, e := range events {
		story = append(story, at{0, e})
	}
	return seen(app, story...)
}

var (
	exit  = plan.Exited{Exit: messages.Exit{Code: 1, Known: true}}
	live  = []plan.Event{plan.Launched{}, plan.Ready{}}
	crash = []plan.Event{plan.Launched{}, exit}
)

// held is an instance that an operator has stopped.
func held(v View) View {
	v.Hold = Hold{On: true, By: "uid 1000", At: now.Add(-90 * time.Second)}
	return v.future(now).agree().stopped().View
}
