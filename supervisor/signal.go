package supervisor

import (
	"context"
	"errors"
	"fmt"

	"github.com/asynkron/protoactor-go/actor"

	"procman/messages"
)

// Signal sends the signal to the process group of the instance's run, once it is proved that this is its process. It is
// no wish that the run ends: what ends by it has ended by itself. The error is a messages.ErrUnknownInstance, a
// messages.ErrNotRunning, that of messages.SignalName.Check, or that of ctx: then it is not known whether it was sent.
func (s *Supervisor) Signal(ctx context.Context, id messages.InstanceID, signal messages.SignalName) error {
	if err := signal.Check(); err != nil {
		return err
	}
	reply := make(chan error, 1)
	s.system.Root.Send(s.pid, signalling{id: id, signal: signal, by: Operator(ctx), reply: reply})
	return s.await(ctx, reply)
}

func (r *root) gotSignalling(c actor.Context, m signalling) {
	e := r.entries.of[m.id]
	switch {
	case e == nil || e.Listed == nil && !e.Live():
		m.reply <- messages.ErrUnknownInstance{ID: m.id}
	case e.child == nil || e.PID == 0:
		m.reply <- messages.ErrNotRunning{ID: m.id, Phase: e.Phase}
	default:
		if r.tickets == nil {
			r.tickets = map[uint64]signalling{}
		}
		r.ticket++
		r.tickets[r.ticket] = m
		r.tell(c, e, messages.SendSignal{Signal: m.signal, Ticket: r.ticket})
	}
}

// gotSignalled tells who asked, and everybody if it was done. It comes from the actor that was asked, of whatever run.
func (r *root) gotSignalled(s messages.Signalled) {
	m, waits := r.tickets[s.Ticket]
	if !waits {
		return
	}
	delete(r.tickets, s.Ticket)
	var gone *messages.GoneError
	var none messages.ErrNotRunning
	if errors.As(s.Err, &gone) || errors.As(s.Err, &none) {
		s.Err = messages.ErrNotRunning{ID: s.ID, Phase: r.phase(s.ID)}
	}
	if s.Err == nil {
		done := acted(m.by, s.ID, "signal")
		done.Run, done.PID, done.Port = s.Run, s.PID, s.Port
		done.Why = fmt.Sprintf("%s to process %d and its group", s.Signal.Plain(), s.PID)
		r.news(done)
		r.flush()
	}
	m.reply <- s.Err
}

func (r *root) phase(id messages.InstanceID) messages.Phase {
	if e := r.entries.of[id]; e != nil && e.PID == 0 {
		return e.Phase
	}
	return messages.Stopping // its process has ended, and others of the run, or the report of it, are waited for
}

// unheard answers for an actor that was lost.
func (r *root) unheard(id messages.InstanceID) {
	for ticket, m := range r.tickets {
		if m.id == id {
			delete(r.tickets, ticket)
			m.reply <- fmt.Errorf("instance %q: it is not known whether the signal was sent: a bug came in between; "+
				"the log has more", string(id))
		}
	}
}
