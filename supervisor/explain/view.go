package explain

import (
	"cmp"
	"strings"
	"time"

	"procman/messages"
	"procman/supervisor/plan"
)

// View is what is known of one instance at one moment: what the core knows, and what it does not need.
type View struct {
	plan.Instance
	Listed  *plan.App // what the list says of it; nil: it is not in the list
	Unread  bool      // no list is known yet
	Closing bool      // the supervisor ends, and stops every instance
	Absent  bool      // only its hold is known
	Hold    Hold
	Leaving string // why it is in doubt that it is to go, though it has left the list; empty: it is not
	Unsaved string // see messages.Status.Unsaved
	Seen    *Seen  // nil: nobody has looked
}

// Seen is what is looked at when somebody asks, and is nowhere kept.
type Seen struct {
	Probes []messages.Probe // the newest, newest last
	Queue  messages.Queue   // in Starting, without a process: whether it waits for its turn
}

func (v *View) seen() Seen {
	if v.Seen == nil {
		return Seen{}
	}
	return *v.Seen
}

// Hold is an operator's wish to have an instance down.
type Hold struct {
	On bool
	By string
	At time.Time // by the wall clock; zero: not known
}

func (h Hold) by() string { return "stopped by " + cmp.Or(h.By, "an operator") }

func (h Hold) since() string {
	if h.At.IsZero() {
		return h.by()
	}
	return h.by() + " at " + h.At.Format(time.RFC3339)
}

// Wanted is what should run: what is listed, unless somebody wants it down.
func (v View) Wanted() *plan.App {
	if v.Closing || v.Hold.On || v.Listed == nil || v.Listed.Disabled {
		return nil
	}
	return v.Listed
}

// Read returns what an entry of a list means for the instance. While it cannot be known what the entry would run, that
// does not differ from what runs.
func (v View) Read(entry *plan.App) *plan.App {
	if entry.EnvFault != "" && v.Spec != "" {
		return entry.As(v.Spec)
	}
	return entry
}

// Status returns what is told to the world.
func (v *View) Status(t Terms) messages.Status {
	var s messages.Status
	v.Facts(&s)
	s.Reason = v.Because(t)
	return s
}

// Facts puts the status into s, without its reason. What that points to is of v, which is not changed any more: nothing
// is made.
func (v *View) Facts(s *messages.Status) {
	v.Instance.Facts(s)
	s.Held, s.Unsaved = v.Hold.On, v.Unsaved
	if app := v.Listed; app != nil {
		s.WasmPath, s.DbName, s.Labels, s.Placement, s.Disabled = app.WasmPath, app.DbName, app.Labels, app.Placement,
			app.Disabled
	}
}

// Because returns why the instance is in its phase, for a person.
func (v *View) Because(t Terms) string {
	t = t.WithDefaults()
	because := v.Instance.Because()
	if app := v.Listed; app != nil && v.Phase == messages.Stopped &&
		(because == "" || messages.Status{Reason: because}.Left() != "") {
		why := ""
		switch {
		case v.Hold.On && app.Disabled:
			why = v.Hold.since() + ", and disabled in " + t.List
		case v.Hold.On:
			why = v.Hold.since() + "; `" + t.Start + "` ends that"
		case app.Disabled:
			why = "disabled in " + t.List
		}
		because = strings.TrimSuffix(strings.TrimPrefix(why+"; "+because, "; "), "; ")
	}
	switch q := v.seen().Queue; {
	case because != "":
	case q.Waits && v.Phase == messages.Starting:
		because = q.String()
	case v.Leaving != "":
		because = "its entry has left " + t.List + "; `" + t.Reload + "` confirms that"
	}
	return because
}

// policy is the rules by which the instance is run.
func (v View) policy() messages.AppInstance {
	for _, app := range []*plan.App{v.Listed, v.Have} {
		if app != nil {
			return *app.AppInstance
		}
	}
	return messages.AppInstance{}.WithDefaults()
}
