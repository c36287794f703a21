package supervisor

import (
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"procman/actors"
	"procman/messages"
	"procman/supervisor/plan"
)

// step takes one event in, and then whatever it takes to come closer to the wish.
func (r *root) step(c actor.Context, e *entry, ev plan.Event) {
	r.once(c, e, ev)
	r.reconcile(c, e)
	r.discard(e)
	r.settle(c)
}

func (r *root) reconcile(c actor.Context, e *entry) {
	if !r.listed && !r.closing {
		r.show(e)
		return
	}
	if !r.closing && r.wanted(e) == nil {
		delete(r.unready, e.ID) // nobody waits for what is not to run
	}
	for range 4 { // one wish may need two steps; more would be a bug, and must not spin
		ev, needed := plan.Diff(e.Instance, r.wanted(e), e.Listed)
		if !needed {
			break
		}
		r.once(c, e, ev)
	}
	r.show(e)
}

// wanted is what should run of an instance.
func (r *root) wanted(e *entry) *plan.App {
	if r.closing {
		return nil
	}
	return e.Wanted()
}

// once is the one place where the root acts.
func (r *root) once(c actor.Context, e *entry, ev plan.Event) {
	before, now, written := e.Instance, time.Now(), e.memory()
	if s, is := ev.(plan.Survivor); is {
		written = s.Memory
	}
	next := *e.View // a step that panics has changed nothing
	actions := next.Step(now, ev)
	e.View = &next
	r.count(before, next.Instance)
	r.show(e) // before anybody is told
	for _, a := range actions {
		if t, is := a.(plan.Tell); is {
			t.At, t.By, t.Phase = now, r.by, next.Phase
			r.news(messages.Event(t))
			continue
		}
		r.carryOut(c, e, a)
	}
	switch ev.(type) {
	case plan.Launched, plan.LaunchFailed, plan.Exited:
		delete(r.adopting, e.ID)
	}
	if e.Phase == messages.Running && e.Health == messages.Healthy && r.unready != nil {
		delete(r.unready, e.ID)
	}
	switch m, passing := e.memory(), e.Phase == messages.Starting || e.Phase == messages.Stopping; {
	case m == written:
	case written.Run == 0 && e.Phase == messages.Starting && m.Starts == 0:
		// nothing has begun yet that a next manager has to know
	case passing && (written.Starts > 0 || m.Stop == messages.StopPolicy{}.WithDefaults()):
		// else it would end by another policy what it found
		r.keeper.rememberSoon(m)
	default:
		r.keeper.remember(m, nil)
	}
	if _, probe := ev.(plan.Probed); probe && before.Phase == next.Phase {
		return // too many to be told; the status has the newest
	}
	r.news(messages.Transition{ID: e.ID, From: before.Phase, To: next.Phase, Event: plan.Name(ev),
		Status: e.Status(r.config.Terms)})
}

func (r *root) count(before, next plan.Instance) {
	if before.Live() {
		r.live--
	}
	if next.Live() {
		r.live++
	}
}

func (r *root) carryOut(c actor.Context, e *entry, a plan.Action) {
	switch a := a.(type) {
	case plan.Launch:
		r.spawn(c, e, fmt.Sprintf("%s@%d", e.ID, a.Run),
			actors.Order{App: a.App.AppInstance, Run: a.Run, Precedence: a.Precedence, Recent: &e.recent})
	case plan.Adopt:
		var app *messages.AppInstance
		if a.App != nil {
			app = a.App.AppInstance
		} else {
			unknown := messages.AppInstance{InstanceID: e.ID, Stop: a.Stop}.WithDefaults()
			app = &unknown
		}
		r.spawn(c, e, fmt.Sprintf("%s@%d+%d", e.ID, a.Run, a.Adoption),
			actors.Order{App: app, Run: a.Run, Adopt: true, Ready: a.Ready, Recent: &e.recent})
	case plan.Stop:
		r.tell(c, e, messages.StopRun(a))
	case plan.Urge:
		r.tell(c, e, messages.GoFirst{})
	case plan.Apply:
		r.tell(c, e, messages.SetPolicy{App: a.App.AppInstance, Health: a.App.Health, Start: a.App.Start,
			Stop: a.App.Stop})
	case plan.Drop:
		if e.child != nil {
			c.Stop(e.child)
			e.child = nil
		}
	case plan.Arm:
		e.alarm.Set(c, a.At, due{id: e.ID, at: a.At})
	case plan.Forget:
		r.forgetPort(e.ID)
	case plan.Bug:
		r.log.Error("bug: this cannot happen to an instance; nothing was changed", "instance", string(e.ID), "event",
			a.Event, "phase", a.Phase)
	}
}

// forgetPort frees what the instance has, for those that wait for a port.
func (r *root) forgetPort(id messages.InstanceID) {
	r.config.Ports.Forget(id)
	r.world.Waits.Wake(messages.FaultNoPort, messages.FaultResources)
}

func (r *root) spawn(c actor.Context, e *entry, name string, o actors.Order) {
	child, err := r.maker.Spawn(c, name, o)
	if err != nil {
		// The name is a new one for every run and adoption, so this is a bug; Lost has the run tried again, with a
		// delay.
		r.log.Error("bug: an instance actor could not be spawned", "instance", string(e.ID), "name", name, "error", err)
		child = c.ActorSystem().NewLocalPID(c.Self().Id + "/" + name)
		c.Send(c.Self(), lost{child})
	}
	e.child = child
}

func (r *root) tell(c actor.Context, e *entry, message any) {
	if e.child != nil {
		c.Send(e.child, message)
	}
}
