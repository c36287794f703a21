package supervisor

import (
	"fmt"
	"maps"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"procman/messages"
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
		r.log.Info(string(messages.ConfigApplied), "instances", len(l.apps), "added", added, "changed", changed, "removed", removed)
		r.handle.tell(messages.Event{At: began, What: messages.ConfigApplied, By: l.by,
			Why: fmt.Sprintf("%s: %d added, %d changed, %d removed", counted(len(l.apps)), added, changed, removed)})
	}
	for _, e := range touched {
		r.reconcile(c, e)
		r.discard(e)
	}
	r.world.Waits.Wake(messages.FaultNoPort) // there may be other ports now
	for _, reply := range l.replies {
		reply <- nil
	}
	r.settle(c)
	c.ActorSystem().EventStream.Publish(messages.Reconciled{Took: time.Since(began), Listed: len(l.apps), Added: added, Changed: changed, Removed: removed})
}

// takeIn notes what a list says, and returns the entries of which it says something else than the one before.
func (r *root) takeIn(l listed) (touched []*entry, added, changed, removed int) {
	gone := maps.Clone(r.entries)
	touched = make([]*entry, 0, len(l.apps))
	leaving := make(map[messages.InstanceID]string, len(l.leaving))
	for _, app := range l.leaving {
		leaving[app.InstanceID] = l.doubt
	}
	for _, app := range l.apps {
		e := r.entry(app.InstanceID)
		if app.EnvFault != "" && e.Spec != "" {
			// What it would run cannot be known, so it does not differ from what runs.
			app = app.As(e.Spec)
		}
		delete(gone, e.ID)
		was := e.leaving
		e.leaving = leaving[e.ID]
		if e.leaving != was && e.desired != nil {
			r.show(e)
		}
		switch {
		case e.desired == nil:
			added++
		case e.desired.Equal(app):
			continue
		default:
			changed++
		}
		e.desired = app
		touched = append(touched, e)
		if r.unready != nil && e.HealthySince.IsZero() && e.wanted(r.closing) != nil {
			r.unready[e.ID] = struct{}{}
		}
	}
	for _, e := range gone {
		if e.desired != nil {
			removed++
		}
		e.desired, e.leaving = nil, ""
		touched = append(touched, e)
	}
	return touched, added, changed, removed
}

// absent reports whether an instance is not in the list and has nothing left.
func (r *root) absent(e *entry) bool {
	return r.listed && !r.closing && e.desired == nil && e.Phase == messages.Stopped && e.child == nil
}

// discard drops an entry that nobody wants and that has nothing left. A hold outlives the absence of what it holds: an
// entry may leave the list for a moment only, as in an edit of two steps.
func (r *root) discard(e *entry) {
	if !r.absent(e) || r.entries[e.ID] != e {
		return
	}
	e.alarm.Stop()
	r.forgetPort(e.ID)
	if e.hold.on {
		return
	}
	delete(r.entries, e.ID)
	r.handle.shown.Delete(e.ID)
	r.keeper.expunge(e.ID)
}

func counted(instances int) string {
	if instances == 1 {
		return "1 instance"
	}
	return fmt.Sprintf("%d instances", instances)
}
