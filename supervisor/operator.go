package supervisor

import (
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"procman/messages"
	"procman/supervisor/plan"
)

func (r *root) gotCommand(c actor.Context, m command) {
	e := r.entries[m.id]
	switch {
	case r.closing:
		m.reply <- ErrStopped
		return
	case e == nil || e.desired == nil:
		m.reply <- messages.ErrUnknownInstance{ID: m.id}
		return
	case m.op != opStop && e.desired.Disabled:
		m.reply <- messages.ErrDisabled{ID: m.id}
		return
	}
	if wish := (hold{on: m.op == opStop}); wish.on != e.hold.on || wish.on != e.pledged.on {
		// Written first, done afterwards: what an operator was told must hold even if the manager dies this instant. One that
		// is being written already is waited for.
		if wish.on {
			wish.by, wish.at = m.by, time.Now().Round(0).UTC()
		}
		e.pledged = wish
		root, self := c.ActorSystem().Root, c.Self()
		r.keeper.remember(e.memory(wish), func(err error) { root.Send(self, held{m, wish, err}) })
		return
	}
	r.obey(c, e, m)
}

func (r *root) gotHeld(c actor.Context, h held) {
	e := r.entries[h.id]
	if e == nil {
		h.reply <- messages.ErrUnknownInstance{ID: h.id}
		return
	}
	if h.err != nil {
		e.pledged = e.hold
		r.discard(e)
		h.reply <- fmt.Errorf("instance %q: the hold could not be written, so nothing was done: %w", string(h.id), h.err)
		return
	}
	e.hold = h.wish
	if e.desired == nil && !e.hold.on { // it has left the list meanwhile
		r.discard(e)
		h.reply <- messages.ErrUnknownInstance{ID: h.id}
		return
	}
	if h.op == opRestart { // to end a hold is to start; there is nothing to restart
		h.op = opStart
	}
	r.obey(c, e, h.command)
}

func (r *root) obey(c actor.Context, e *entry, m command) {
	defer r.actAs(m.by)()
	r.handle.acted(m.by, e.ID, string(m.op))
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
	m.reply <- nil
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
	for _, e := range r.entries {
		r.reconcile(c, e)
	}
	r.settle(c)
}
