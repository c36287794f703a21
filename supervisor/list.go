package supervisor

import (
	"cmp"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"procman/messages"
	"procman/supervisor/plan"
)

func (r *root) gotList(c actor.Context, l listed) {
	if !r.booted {
		if r.first != nil {
			l.replies = append(l.replies, r.first.replies...)
		}
		r.first = &l
		return
	}
	began := time.Now()
	defer r.actAs(l.by)()
	initial := !r.listed
	r.listed = true
	touched, added, changed, removed := r.takeIn(l)
	if initial || added+changed+removed > 0 {
		r.news(messages.Event{At: began, What: messages.ConfigApplied, By: l.by,
			Why: fmt.Sprintf("%s: %d added, %d changed, %d removed", counted(len(l.apps)), added, changed, removed),
			Details: []slog.Attr{slog.Int("instances", len(l.apps)), slog.Int("added", added),
				slog.Int("changed", changed), slog.Int("removed", removed)}})
	}
	r.prioritize(touched)
	for _, e := range touched {
		r.reconcile(c, e)
		r.discard(e)
	}
	r.world.Waits.Wake(messages.FaultNoPort) // there may be other ports now
	r.settle(c)
	r.news(messages.Reconciled{Took: time.Since(began), Listed: len(l.apps), Added: added, Changed: changed,
		Removed: removed})
	r.flush()
	for _, reply := range l.replies {
		reply <- nil
	}
}

// takeIn notes what a list says, and returns the entries of which it says something else than the one before.
func (r *root) takeIn(l listed) (touched []*entry, added, changed, removed int) {
	r.lists++
	before, plain := r.list, len(l.leaving) == 0
	r.list = nil // a panic has the next one compared as a whole
	if !plain {
		before = nil
	}
	first, end := alike(before, l.apps)
	leaving := make(map[messages.InstanceID]string, len(l.leaving))
	for _, app := range l.leaving {
		leaving[app.InstanceID] = l.doubt
	}
	for _, app := range l.apps[first : len(l.apps)-end] {
		e := r.entries.get(app.InstanceID)
		if app.EnvFault != "" {
			app, plain = e.Read(app), false
		}
		e.lists = r.lists
		was := e.Leaving
		if now := leaving[e.ID]; now != was {
			e.change().Leaving = now
			if e.Listed != nil {
				r.show(e)
			}
		}
		switch {
		case e.Listed == nil:
			added++
		case e.Listed.Equal(app):
			continue
		default:
			changed++
		}
		e.change().Listed = app
		touched = append(touched, e)
		if r.unready != nil && e.HealthySince.IsZero() && r.wanted(e) != nil {
			r.unready[e.ID] = struct{}{}
		}
	}
	drop := func(e *entry) {
		if e.lists == r.lists {
			return
		}
		if e.Listed != nil {
			removed++
		}
		v := e.change()
		v.Listed, v.Leaving = nil, ""
		touched = append(touched, e)
	}
	for _, app := range before[first : len(before)-end] {
		drop(r.entries.of[app.InstanceID])
	}
	if before == nil {
		for _, e := range r.entries.of {
			drop(e)
		}
	}
	if plain {
		r.list = l.apps
	}
	r.handle.desired.Store(int64(len(l.apps)))
	return touched, added, changed, removed
}

// alike returns how many entries are the same ones in both lists, at the beginning and at the end.
func alike(a, b []*plan.App) (first, end int) {
	most := min(len(a), len(b))
	for first < most && a[first] == b[first] {
		first++
	}
	for end < most-first && a[len(a)-1-end] == b[len(b)-1-end] {
		end++
	}
	return first, end
}

// prioritize puts those first that are to start first, if anything is said of that.
func (r *root) prioritize(touched []*entry) {
	priority := func(e *entry) int {
		if e.Listed == nil {
			return 0
		}
		return e.Listed.Start.Priority
	}
	if !slices.ContainsFunc(touched, func(e *entry) bool { return priority(e) != 0 }) {
		return
	}
	slices.SortFunc(touched, func(a, b *entry) int {
		return cmp.Or(cmp.Compare(priority(b), priority(a)), cmp.Compare(a.ID, b.ID))
	})
	r.world.Gate.Gather()
}

// absent reports whether an instance is not in the list and has nothing left.
func (r *root) absent(e *entry) bool {
	return r.listed && !r.closing && e.Listed == nil && e.Phase == messages.Stopped && e.child == nil
}

// discard drops an entry that nobody wants and that has nothing left. A hold outlives the absence of what it holds: an
// entry may leave the list for a moment only, as in an edit of two steps.
func (r *root) discard(e *entry) {
	if !r.absent(e) || r.entries.of[e.ID] != e {
		return
	}
	e.alarm.Stop()
	r.forgetPort(e.ID)
	if e.Hold.On {
		return
	}
	r.entries.drop(e.ID)
	r.keeper.expunge(e.ID)
}

func counted(instances int) string {
	if instances == 1 {
		return "1 instance"
	}
	return fmt.Sprintf("%d instances", instances)
}
