package supervisor

import (
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"procman/messages"
	"procman/supervisor/explain"
	"procman/supervisor/plan"
)

func (r *root) gotCommand(c actor.Context, m command) {
	if !m.begin() {
		return // who asked was told that it was not done
	}
	defer func() {
		if cause := recover(); cause != nil { // who asked waits for an answer
			select {
			case m.reply <- fmt.Errorf("instance %q: a bug kept this from being done; the log has more: %v",
				string(m.id), cause):
			default:
			}
			panic(cause)
		}
	}()
	e := r.entries.of[m.id]
	switch {
	case r.closing:
		m.reply <- ErrStopped
		return
	case e == nil || e.Listed == nil:
		m.reply <- messages.ErrUnknownInstance{ID: m.id}
		return
	case m.op != opStop && e.Listed.Disabled:
		m.reply <- messages.ErrDisabled{ID: m.id}
		return
	}
	// Done first, written afterwards: the one whom a full disk is due to must be stopped all the same. Who asked is
	// answered when it is written, or told that it is not.
	if wish := (explain.Hold{On: m.op == opStop}); wish.On != e.Hold.On {
		if wish.On {
			wish.By, wish.At = m.by, time.Now().Round(0).UTC()
		}
		if m.op == opRestart { // to end a hold is to start; there is nothing to restart
			m.op = opStart
		}
		e.change().Hold = wish
	}
	r.obey(c, e, m)
	r.keeper.remember(e.memory(), func(err error) { m.saved <- err })
	r.flush()
	m.reply <- nil
}

// gotUnsaved notes whether what is remembered of an instance is on disk.
func (r *root) gotUnsaved(u unsaved) {
	e := r.entries.of[u.id]
	if e == nil {
		return
	}
	v := e.change()
	v.Unsaved = ""
	if u.err != nil {
		v.Unsaved = "not on disk (" + messages.Cause(u.err) +
			"): a crash of the daemon would forget its counters, its delay and a hold on it"
	}
	r.show(e)
}

func (r *root) obey(c actor.Context, e *entry, m command) {
	defer r.actAs(m.by)()
	r.news(acted(m.by, e.ID, string(m.op)))
	switch m.op {
	case opStart:
		r.reconcile(c, e)
		r.step(c, e, plan.Retry{})
	case opRestart:
		r.step(c, e, plan.Restart{})
	case opStop:
		r.reconcile(c, e)
		r.settle(c)
	}
}

func (r *root) gotShutdown(c actor.Context, s shutdown) {
	if !s.stopAll {
		c.Stop(c.Self())
		return
	}
	if r.closing {
		return
	}
	r.closing = true
	for _, e := range r.entries.of {
		r.reconcile(c, e)
	}
	r.settle(c)
}
