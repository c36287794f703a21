package supervisor

import (
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"procman/actors"
	"procman/messages"
	"procman/supervisor/plan"
)

// What the root is told, beside the reports of its instance actors.
type (
	// booted: what a predecessor left.
	booted struct {
		memories  []messages.Memory
		survivors []messages.Survivor
		err       error
	}
	// listed: the desired list.
	listed struct {
		apps    []*plan.App
		leaving []*plan.App // those of apps that are in it only because it is in doubt that they are to go
		doubt   string      // why; empty: that will show by itself
		by      string
		replies []chan<- error
	}
	// command: an operator's wish.
	command struct {
		op    op
		id    messages.InstanceID
		by    string
		begin func() bool  // asked before anything is done: false if who asked has given up
		reply chan<- error // what came of it
		saved chan<- error // whether it is on disk; follows a reply of nil
	}
	// unsaved: what is remembered of an instance cannot be written, or is written again.
	unsaved struct {
		id  messages.InstanceID
		err error
	}
	// lost: there is no such actor.
	lost struct{ child *actor.PID }
	// due: a delay is over.
	due struct {
		id messages.InstanceID
		at time.Time
	}
	// ping: somebody wants to know whether the root answers.
	ping struct{ reply chan<- error }
	// shutdown: the end is wished for.
	shutdown struct{ stopAll bool }
)

type op string

const (
	opStart   op = "start"
	opStop    op = "stop"
	opRestart op = "restart"
)

// root is the root actor. Its fields are touched in Receive only, but for those that say otherwise.
type root struct {
	handle *Supervisor
	config Config
	world  actors.World
	log    *slog.Logger
	keeper *keeper

	entries  map[messages.InstanceID]*entry
	children map[string]*entry // by the actor's PID
	booted   bool
	first    *listed // a list that came before boot was over
	listed   bool
	adopting map[messages.InstanceID]struct{} // survivors that no actor has taken over yet; nil: Listed is closed
	closing  bool                             // every instance is being stopped
	leaving  bool                             // the root is being stopped, and its actors with it
	unready  map[messages.InstanceID]struct{} // desired, and never healthy yet; nil: Ready is closed
	live     int                              // instances with a process or an actor
	by       string                           // who causes what is being done

	panics  []time.Time
	failure error         // read after stopped is closed
	stopped chan struct{} // closed when the actor has ended
}

// entry is what the root has of one instance.
type entry struct {
	plan.Instance
	desired *plan.App // from the list; nil: not in it
	hold    hold      // in force
	unsaved string    // why what is remembered is not
	leaving string    // why it is in doubt that it is to go; empty: it is not
	probes  []messages.Probe
	child   *actor.PID
	alarm   actors.Alarm
	written messages.Memory
}

// hold is an operator's wish to have an instance down.
type hold struct {
	on bool
	by string
	at time.Time
}

func (e *entry) memory() messages.Memory {
	m := e.Memory(e.hold.on)
	m.HeldBy, m.HeldAt = e.hold.by, e.hold.at
	return m
}

// wanted is what should run: what is desired, unless somebody wants it down.
func (e *entry) wanted(closing bool) *plan.App {
	if closing || e.hold.on || e.desired == nil || e.desired.Disabled {
		return nil
	}
	return e.desired
}

func newRoot(s *Supervisor) *root {
	c := s.config
	keeper := newKeeper(c.Memory, c.Logger,
		func(id messages.InstanceID, err error) { s.system.Root.Send(s.pid, unsaved{id, err}) }, s.tell)
	return &root{
		handle: s, config: c, log: c.Logger, by: messages.ByManager, keeper: keeper,
		world: actors.World{Spawner: c.Spawner, Ports: c.Ports, Health: c.Health, Outputs: c.Outputs,
			Gate: actors.NewGate(c.StartParallel), Waits: actors.NewWaits(), Budget: c.Budget, Logger: c.Logger},
		entries: map[messages.InstanceID]*entry{}, children: map[string]*entry{},
		adopting: map[messages.InstanceID]struct{}{}, unready: map[messages.InstanceID]struct{}{}, stopped: make(chan struct{}),
	}
}

func (r *root) props() *actor.Props {
	stop := actor.NewOneForOneStrategy(0, 0, func(any) actor.Directive { return actor.StopDirective })
	return actor.PropsFromProducer(func() actor.Actor { return r },
		actor.WithSupervisor(stop), actor.WithGuardian(stop), actor.WithReceiverMiddleware(r.catch))
}

// The root gives up after so many panics in so long a time.
const (
	maxPanics   = 3
	panicWindow = time.Minute
)

// catch keeps a bug in the handling of one message from ending the root: the step that panicked has changed nothing.
// When it happens again and again the root stops pretending; processes run on, and the next manager adopts them.
func (r *root) catch(next actor.ReceiverFunc) actor.ReceiverFunc {
	return func(c actor.ReceiverContext, envelope *actor.MessageEnvelope) {
		defer func() {
			cause := recover()
			if cause == nil {
				return
			}
			r.log.Error("bug: panic in the root", "message", fmt.Sprintf("%T", envelope.Message), "panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
			now := time.Now()
			r.panics = append(r.panics, now)
			if len(r.panics) > maxPanics {
				r.panics = r.panics[1:]
				if now.Sub(r.panics[0]) < panicWindow && r.failure == nil {
					r.failure = fmt.Errorf("the root panicked %d times within %v, the last time with: %v", maxPanics, panicWindow, cause)
					c.ActorSystem().Root.Stop(c.Self())
				}
			}
		}()
		next(c, envelope)
	}
}

// actAs says on whose behalf the root acts until the function it returns is called.
func (r *root) actAs(by string) func() {
	before := r.by
	r.by = by
	return func() { r.by = before }
}

// Receive never blocks.
func (r *root) Receive(c actor.Context) {
	switch m := c.Message().(type) {
	case *actor.Stopping:
		r.leaving = true
	case *actor.Stopped:
		r.gotStopped()
	case *actor.Terminated:
		r.gotLost(c, m.Who)
	case lost:
		r.gotLost(c, m.child)
	case booted:
		r.gotBoot(c, m)
	case listed:
		r.gotList(c, m)
	case command:
		r.gotCommand(c, m)
	case unsaved:
		r.gotUnsaved(m)
	case due:
		if e := r.entries[m.id]; e != nil {
			r.step(c, e, plan.Due{At: m.at})
		}
	case ping:
		m.reply <- nil
	case shutdown:
		r.gotShutdown(c, m)
	case messages.Launched:
		r.gotReport(c, m.ID, plan.Launched(m))
	case messages.Refused:
		r.gotReport(c, m.ID, plan.Refused(m))
	case messages.LaunchFailed:
		r.gotReport(c, m.ID, plan.LaunchFailed(m))
	case messages.Probed:
		r.gotReport(c, m.ID, plan.Probed(m))
	case messages.Ready:
		r.gotReport(c, m.ID, plan.Ready(m))
	case messages.Unhealthy:
		r.gotReport(c, m.ID, plan.Unhealthy(m))
	case messages.Lingers:
		r.gotReport(c, m.ID, plan.Lingers(m))
	case messages.Exited:
		r.gotReport(c, m.ID, plan.Exited(m))
	}
}

// gotReport takes a report from the instance's current actor, and from no other.
func (r *root) gotReport(c actor.Context, id messages.InstanceID, ev plan.Event) {
	if e := r.entries[id]; e != nil && e.child != nil && c.Sender() != nil && e.child.Id == c.Sender().Id {
		r.step(c, e, ev)
	}
}

// gotLost takes the end of an actor that the root has not dropped itself.
func (r *root) gotLost(c actor.Context, child *actor.PID) {
	e := r.children[child.Id]
	if e == nil || r.leaving {
		return
	}
	r.log.Error("bug: an instance actor was lost; its process is adopted by another", "instance", string(e.ID), "run", e.Run)
	r.dropChild(e)
	r.step(c, e, plan.Lost{})
}

func (r *root) gotBoot(c actor.Context, b booted) {
	if b.err != nil {
		r.log.Error("some of what an earlier manager left could not be read; what lives was found all the same", "error", b.err)
	}
	found := make(map[messages.InstanceID]*messages.Survivor, len(b.survivors))
	for n := range b.survivors {
		found[b.survivors[n].ID] = &b.survivors[n]
	}
	for _, m := range b.memories {
		r.restore(c, m, found[m.ID])
		delete(found, m.ID)
	}
	for id, s := range found {
		r.restore(c, messages.Memory{ID: id}, s)
	}
	r.booted = true
	if r.first != nil {
		r.gotList(c, *r.first)
		r.first = nil
	}
	r.settle(c)
}

func (r *root) restore(c actor.Context, m messages.Memory, found *messages.Survivor) {
	e := r.entry(m.ID)
	e.hold = hold{m.Held, m.HeldBy, m.HeldAt}
	r.keeper.knows(e.memory())
	r.step(c, e, plan.Survivor{Memory: m, Found: found})
	if e.child != nil && found.Unclear == "" { // an actor takes over what was found; nothing is listed before all of this is known
		r.adopting[e.ID] = struct{}{}
	}
}

func (r *root) entry(id messages.InstanceID) *entry {
	e := r.entries[id]
	if e == nil {
		e = &entry{Instance: plan.New(id)}
		r.entries[id] = e
	}
	return e
}

func (r *root) gotList(c actor.Context, l listed) {
	if !r.booted {
		if r.first != nil {
			l.replies = append(l.replies, r.first.replies...)
		}
		r.first = &l
		return
	}
	began := time.Now()
	added, changed, removed := 0, 0, 0
	defer r.actAs(l.by)()
	gone := maps.Clone(r.entries)
	initial := !r.listed
	r.listed = true
	touched := make([]*entry, 0, len(l.apps))
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
	if !r.closing && e.wanted(false) == nil {
		delete(r.unready, e.ID) // nobody waits for what is not to run
	}
	for range 4 { // one wish may need two steps; more would be a bug, and must not spin
		ev, needed := plan.Diff(e.Instance, e.wanted(r.closing), e.desired)
		if !needed {
			break
		}
		r.once(c, e, ev)
	}
	r.show(e)
}

// once is the one place where the root acts.
func (r *root) once(c actor.Context, e *entry, ev plan.Event) {
	before := e.Instance
	next, actions := plan.Step(before, time.Now(), ev)
	e.Instance = next
	r.count(before, next)
	if p, is := ev.(plan.Probed); is {
		e.probed(p.Probe)
	}
	r.show(e) // before anybody is told
	for _, a := range actions {
		r.carryOut(c, e, a)
	}
	switch ev.(type) {
	case plan.Launched, plan.LaunchFailed, plan.Exited:
		delete(r.adopting, e.ID)
	}
	if e.Phase == messages.Running && e.Health == messages.Healthy && r.unready != nil {
		delete(r.unready, e.ID)
	}
	if m := e.memory(); m != e.written {
		e.written = m
		r.keeper.remember(m, nil)
	}
	if _, probe := ev.(plan.Probed); probe && before.Phase == next.Phase {
		return // too many to be published; the status has the newest
	}
	c.ActorSystem().EventStream.Publish(messages.Transition{ID: e.ID, From: before.Phase, To: next.Phase, Event: plan.Name(ev), Status: r.status(e)})
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
		r.spawn(c, e, fmt.Sprintf("%s@%d", e.ID, a.Run), actors.Order{App: a.App.AppInstance, Run: a.Run})
	case plan.Adopt:
		app := messages.AppInstance{InstanceID: e.ID, Stop: messages.StopPolicy{Leftovers: a.Leftovers}}.WithDefaults()
		if a.App != nil {
			app = a.App.AppInstance
		}
		r.spawn(c, e, fmt.Sprintf("%s@%d+%d", e.ID, a.Run, a.Adoption), actors.Order{App: app, Run: a.Run, Adopt: true, Ready: a.Ready})
	case plan.Stop:
		r.tell(c, e, messages.StopRun(a))
	case plan.Apply:
		r.tell(c, e, messages.SetPolicy{Health: a.App.Health, Start: a.App.Start, Stop: a.App.Stop})
	case plan.Drop:
		if e.child != nil {
			c.Stop(e.child)
			r.dropChild(e)
		}
	case plan.Arm:
		e.alarm.Set(c, a.At, due{id: e.ID, at: a.At})
	case plan.Forget:
		r.forgetPort(e.ID)
	case plan.Note:
		r.note(e, a)
	case plan.Bug:
		r.log.Error("bug: this cannot happen to an instance; nothing was changed", "instance", string(e.ID), "event", a.Event, "phase", a.Phase)
	}
}

// forgetPort frees what the instance has, for those that wait for a port.
func (r *root) forgetPort(id messages.InstanceID) {
	r.config.Ports.Forget(id)
	r.world.Waits.Wake(messages.FaultNoPort, messages.FaultResources)
}

func (r *root) spawn(c actor.Context, e *entry, name string, o actors.Order) {
	child, err := c.SpawnNamed(actors.Props(r.world, o), name)
	if err != nil {
		// The name is a new one for every run and adoption, so this is a bug; Lost has the run tried again, with a delay.
		r.log.Error("bug: an instance actor could not be spawned", "instance", string(e.ID), "name", name, "error", err)
		child = c.ActorSystem().NewLocalPID(c.Self().Id + "/" + name)
		c.Send(c.Self(), lost{child})
	}
	e.child = child
	r.children[child.Id] = e
}

func (r *root) tell(c actor.Context, e *entry, message any) {
	if e.child != nil {
		c.Send(e.child, message)
	}
}

func (r *root) dropChild(e *entry) {
	delete(r.children, e.child.Id)
	e.child = nil
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

// settle closes Listed and Ready when their time has come, and ends the root when the last process has ended in a shutdown.
func (r *root) settle(c actor.Context) {
	if r.listed && r.adopting != nil && len(r.adopting) == 0 {
		r.adopting = nil
		close(r.handle.listed)
	}
	if r.listed && r.unready != nil && len(r.unready) == 0 {
		r.unready = nil
		close(r.handle.ready)
	}
	if r.closing && r.booted && r.live == 0 && r.failure == nil {
		c.Stop(c.Self())
	}
}

func (r *root) gotStopped() {
	for _, e := range r.entries {
		e.alarm.Stop()
	}
	if r.first != nil {
		for _, reply := range r.first.replies {
			reply <- ErrStopped
		}
	}
	close(r.stopped)
}

func counted(instances int) string {
	if instances == 1 {
		return "1 instance"
	}
	return fmt.Sprintf("%d instances", instances)
}
