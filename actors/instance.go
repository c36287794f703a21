package actors

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"procman/actors/run"
	"procman/messages"
)

// AnyRun stands for the newest run of an instance, whichever that is.
const AnyRun = 0

// World is what an instance actor needs of the world outside. Outputs, Gate, Waits, Budget and Cgroups may be nil.
type World struct {
	Spawner Spawner
	Ports   Ports
	Rounds  *Rounds // makes the probes
	Outputs Outputs
	Gate    *Gate
	Waits   *Waits
	Budget  Budget
	Cgroups Cgroups
	Logger  *slog.Logger
}

// Order is what one instance actor is made for: one run.
type Order struct {
	App   *messages.AppInstance // complete, see AppInstance.WithDefaults; never changed
	Run   int
	Adopt bool // take over the process that exists
	Ready bool // it was healthy before
	// Precedence says who goes first of those that wait for their turn.
	Precedence messages.Precedence
	// Recent takes in what probes find; nil: nobody reads it.
	Recent *Recent
}

// Maker makes the instance actors of one root. What they have in common they have from it. It belongs to the root
// alone.
type Maker struct {
	world World
	props *actor.Props
	next  *Order // of the actor that is being made; nil: none is, and none is ever made again, see the root's strategy
}

// NewMaker returns a maker for that world.
func NewMaker(w World) *Maker {
	m := &Maker{world: w}
	m.props = actor.PropsFromProducer(func() actor.Actor {
		o := *m.next
		return &instance{world: &m.world, order: o, held: m.world.resources(o), state: run.Begin(o.App, o.Ready)}
	}, actor.WithMailbox(actor.UnboundedLockfree()), // it gets few messages, and the other mailbox keeps room for ten
		actor.WithDispatcher(&dispatcher{most: runtime.GOMAXPROCS(0)}))
	return m
}

// Spawn makes the actor that carries out the order, a child of the root c. It reports to its parent, by Request, with
// messages.Launched, Refused, LaunchFailed, Probed, Ready, Unhealthy, Lingers and Exited; it takes messages.StopRun,
// SetPolicy, SendSignal, which it answers with Signalled, and GoFirst.
func (m *Maker) Spawn(c actor.SpawnerContext, name string, o Order) (*actor.PID, error) {
	m.next = &o
	defer func() { m.next = nil }()
	return c.SpawnNamed(m.props, name)
}

// instance is the actor. Its fields are touched in Receive only, and by the start until it is over; some never change.
type instance struct {
	world *World
	order Order
	state run.State
	root  *actor.RootContext // by which its goroutines send; from Started on, as self
	self  *actor.PID

	life   lifetime
	launch context.Context // ends with the actor, or when the launch is given up; nil: the launch is over
	cancel context.CancelFunc
	parted atomic.Bool // the start is over, or the actor is: whoever comes second sees to what is held
	foul   bool        // somebody else answers on the port

	// as the list has it since; nil: as in the order. Of one that was adopted that may say nothing.
	listed   *messages.AppInstance
	process  Process            // set once
	launched *messages.Launched // what is being reported of it
	held     holdings
	unask    func() // breaks off the newest probe, if it is not over; nil: there was none
	probe    Alarm
	watch    *patient // nil: it is not probed on the rounds
	grace    Alarm
}

// launchDone is what came of the start.
type launchDone struct {
	process Process
	adopted bool // it was found, not started
	err     error
}

// Receive never blocks: what takes time is done in a goroutine whose result comes back as a message.
func (i *instance) Receive(c actor.Context) {
	defer i.logPanic(c)
	switch m := c.Message().(type) {
	case *actor.Started:
		life, end := i.life.context()
		i.launch, i.cancel = context.WithCancel(life)
		i.root, i.self = c.ActorSystem().Root, c.Self()
		parent := c.Parent()
		i.held.await(i.launch, func() {
			go func() {
				defer end()
				i.start(life, parent)
			}()
		})
	case *actor.Stopping:
		i.life.end()
		i.watch.leave()
		if i.unask != nil {
			i.unask()
		}
		i.probe.Stop()
		i.grace.Stop()
		if i.parted.Swap(true) {
			i.held.release(ready, nil)
			if held := i.held; held.any() {
				go held.release(told, &End{Left: true})
			}
		}
	case launchDone:
		i.gotLaunch(c, m)
	case messages.StopRun:
		i.step(c, run.StopAsked(m))
	case messages.SendSignal:
		i.send(c, m)
	case messages.GoFirst:
		i.held.urge()
	case messages.SetPolicy:
		if m.App != nil {
			i.listed = m.App
		}
		i.step(c, run.PolicyChanged{Health: m.Health, Start: m.Start, Stop: m.Stop})
	case run.Probed:
		i.unask = nil
		i.step(c, m)
	case run.Event:
		i.step(c, m)
	}
}

// logPanic logs a panic before it takes its course: the actor is stopped, and the root has its process adopted.
func (i *instance) logPanic(c actor.Context) {
	if cause := recover(); cause != nil {
		i.log().Error("bug: panic in an instance actor", "actor", c.Self().Id, "message",
			fmt.Sprintf("%T", c.Message()),
			"panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
		panic(cause)
	}
}

// log is the manager's, with what the run is known by.
func (i *instance) log() *slog.Logger {
	l := i.world.Logger.With("instance", string(i.id()), "run", i.order.Run)
	if p := i.process; p != nil {
		l = l.With("pid", p.PID(), "port", p.Port())
	}
	return l
}

// start carries out the order. It runs in a goroutine of its own. Life ends with the actor.
func (i *instance) start(life context.Context, parent *actor.PID) {
	done := i.startOrWait(life, func(err *messages.StartError) {
		i.root.RequestWithCustomSender(parent, messages.Refused{ID: i.id(), Run: i.order.Run, Err: err}, i.self)
	})
	if i.parted.Swap(true) {
		i.held.release(told, &End{Left: true})
		return
	}
	i.root.Send(i.self, done)
}

// startOrWait carries out the order as soon as the host lets it. tell is told why it does not.
func (i *instance) startOrWait(life context.Context, tell func(*messages.StartError)) launchDone {
	turn := i.world.Waits.arrive(tell)
	defer turn.leave()
	for {
		if !i.order.Adopt { // what runs already takes nothing away from those that wait
			err := turn.await(i.launch, i.world.Ports.Owns(i.id()), func() { i.held.release(told, &End{}) })
			if err != nil {
				i.held.release(told, &End{})
				return launchDone{err: err}
			}
		}
		d := i.startOrAdopt()
		host := messages.HostFault(d.err)
		if host == nil && (d.err == nil || i.launch.Err() == nil) {
			return d
		}
		if i.launch.Err() == nil {
			if d.err = turn.refused(i.launch, host); d.err == nil {
				continue
			}
		}
		if life.Err() == nil && (i.order.Adopt || host != nil && i.lives(host)) {
			return i.adoptToEnd(life, turn)
		}
		return d
	}
}

func (i *instance) startOrAdopt() (d launchDone) {
	if i.order.Adopt {
		return i.adopt(i.launch)
	}
	if err := i.world.Spawner.Clear(i.launch, *i.order.App); err != nil {
		i.held.release(told, &End{})
		return i.adoptInstead(err)
	}
	l := messages.Launch{App: *i.order.App, Run: i.order.Run}
	if err := i.held.acquire(i.launch, &l); err != nil {
		return launchDone{err: err}
	}
	if d.process, d.err = i.world.Spawner.Spawn(i.launch, l); d.err != nil {
		i.held.release(told, &End{})
		return i.adoptInstead(d.err)
	}
	i.held.begin(d.process)
	return d
}

// adoptInstead takes over the process that keeps the instance locked, if it is its own, of which nobody knew, or nobody
// was sure: then there is nothing to start. The error is why the start came to nothing.
func (i *instance) adoptInstead(err error) launchDone {
	var start *messages.StartError
	if !errors.As(err, &start) || start.Fault != messages.FaultLocked {
		return launchDone{err: err}
	}
	d := i.adopt(i.launch)
	if d.err == nil {
		return d
	}
	if errors.As(d.err, &start) && start.Fault == messages.FaultNotTaken {
		return d
	}
	return launchDone{err: err}
}

// lives reports whether the process of the run exists, and was not taken over for what the host lacks.
func (i *instance) lives(refusal *messages.StartError) bool {
	return refusal.Fault == messages.FaultNotTaken || i.order.Adopt && refusal.Fault == messages.FaultResources
}

// adoptToEnd takes over the process that was not held, because it is to be stopped.
func (i *instance) adoptToEnd(life context.Context, turn *turn) launchDone {
	for {
		d := i.adopt(ToEnd(life))
		host := messages.HostFault(d.err)
		if host == nil || !i.lives(host) || turn.alone(life, host) != nil {
			return d // many that are ended at once take even what is kept for that
		}
	}
}

type toEnd struct{}

// ToEnd returns a context for Spawner.Adopt that says: the process is taken over to be ended, with what is kept for
// control.
func ToEnd(ctx context.Context) context.Context { return context.WithValue(ctx, toEnd{}, true) }

// IsToEnd reports whether ctx is one of ToEnd.
func IsToEnd(ctx context.Context) bool { return ctx.Value(toEnd{}) != nil }

// adopt takes over the process that exists: of the run that the order names, or instead of the one that it asks for.
func (i *instance) adopt(ctx context.Context) launchDone {
	number := AnyRun
	if i.order.Adopt {
		number = i.order.Run
	}
	process, err := i.world.Spawner.Adopt(ctx, i.id(), number)
	return launchDone{process: process, adopted: true, err: err}
}

func (i *instance) gotLaunch(c actor.Context, d launchDone) {
	var gone *messages.GoneError
	switch {
	case errors.As(d.err, &gone):
		i.state.Phase = run.Exited
		i.report(c, messages.Exited{ID: i.id(), Run: i.order.Run, Exit: gone.Exit})
		return
	case d.err != nil:
		i.step(c, run.LaunchFailed{Err: d.err})
		return
	}
	p := d.process
	i.process = p
	i.cancel() // nothing of the launch is under way any more
	i.launch, i.cancel = nil, nil
	i.launched = &messages.Launched{
		ID: i.id(), Run: i.order.Run, PID: p.PID(), Port: p.Port(), StartedAt: p.StartedAt(), SpecHash: p.SpecHash(),
		Adopted: d.adopted,
	}
	if g, is := p.(Grouped); is && g.Cgroup() != "" {
		i.launched.Cgroup = g.Cgroup()
		i.held = i.held.grouped(i.world, i.order)
	}
	i.held.attach(i.launched, func(err error) {
		i.log().Error("something that an adopted process has could not be taken over; it runs on without", "error", err)
	})
	if n, is := p.(Notifier); is {
		n.Then(i.wait)
	} else {
		go i.wait()
	}
	i.step(c, run.Launched{})
	i.launched = nil
}

// wait reports the end of the process and of those that outlive it, unless the actor ended first: then they are left
// for whoever adopts the run.
func (i *instance) wait() {
	p := i.process
	exit := p.Wait()
	life, end := i.life.context()
	defer end()
	rest, err := p.Rest(life, nil)
	if life.Err() != nil {
		return
	}
	i.root.Send(i.self, run.ProcessExited{Exit: exit, Rest: rest})
	for err == nil && len(rest) > 0 {
		if rest, err = p.Rest(life, rest); err == nil {
			i.root.Send(i.self, run.RestChanged{Rest: rest})
		}
	}
}

func (i *instance) step(c actor.Context, e run.Event) {
	state, actions := run.Step(i.state, time.Now(), e)
	i.state = state
	for _, a := range actions {
		i.carryOut(c, a)
	}
}

func (i *instance) carryOut(c actor.Context, a run.Action) {
	id, number := i.id(), i.order.Run
	switch a := a.(type) {
	case run.Cancel:
		if i.cancel != nil {
			i.cancel()
		}
	case run.Probe:
		i.ask()
	case run.Watch:
		i.probe.Stop() // it has fired; what it was made of is not kept
		i.watch.leave()
		i.watch = i.world.Rounds.join(a.Schedule, i.aim(), number, i.order.Recent, i.probed)
	case run.Unwatch:
		i.watch.leave()
		i.watch = nil
	case run.ArmProbe:
		i.probe.Set(c, a.At, run.ProbeDue(a))
	case run.ArmGrace:
		i.grace.Set(c, a.At, run.GraceOver(a))
	case run.Signal:
		i.signal(a)
	case run.ReportLaunched:
		i.report(c, *i.launched)
	case run.ReportReady:
		i.held.release(ready, nil)
		i.held = i.held.kept()
		i.report(c, messages.Ready{ID: id, Run: number})
	case run.ReportProbed:
		i.report(c, messages.Probed{ID: id, Run: number, Probe: a.Probe})
	case run.ReportUnhealthy:
		i.foul = i.foul || a.Conflict
		i.report(c, messages.Unhealthy{ID: id, Run: number, Cause: a.Cause, Since: a.Since, Conflict: a.Conflict})
	case run.ReportLingers:
		i.report(c, messages.Lingers{ID: id, Run: number, Exit: a.Exit, Rest: a.Rest, Killed: a.Killed, Stuck: a.Stuck})
	case run.Release:
		i.release(c, a)
	case run.Bug:
		i.log().Error("bug: this cannot happen to a run; nothing was changed", "event", a.Event, "phase", a.Phase)
	}
}

// ask begins a probe.
func (i *instance) ask() {
	i.unask = i.world.Rounds.checker.Begin(i.aim()(), func(probe messages.Probe) {
		if !i.life.ended() {
			i.order.Recent.add(i.order.Run, probe)
			i.probed(probe)
		}
	})
}

// probed is told what a probe found, in a goroutine of the checker's.
func (i *instance) probed(p messages.Probe) {
	if !i.life.ended() {
		i.root.Send(i.self, run.Probed{Probe: p})
	}
}

// aim returns what makes the target of a probe, which is larger than what it is made of. The policy may be another for
// the next one.
func (i *instance) aim() func() messages.Target {
	// asked here: a panic of the process is one of the actor
	pid, port, tag := i.process.PID(), i.process.Port(), i.process.Tag()
	g, is := i.process.(Grouped)
	grouped := is && g.Cgroup() != ""
	policy, app := i.state.Health, cmp.Or(i.listed, i.order.App)
	return func() messages.Target {
		return messages.Target{ID: app.InstanceID, PID: pid, Tag: tag, Port: port, Policy: *policy, App: app,
			Grouped: grouped}
	}
}

func (i *instance) signal(s run.Signal) {
	if err := i.process.Signal(s.Signal, s.Leftovers); err != nil {
		i.log().Error("the process could not be signalled; its end is waited for all the same", "signal",
			s.Signal.String(), "error", err)
	}
}

// send is signal for somebody who asked, and is told.
func (i *instance) send(c actor.Context, m messages.SendSignal) {
	s := messages.Signalled{ID: i.id(), Run: i.order.Run, Signal: m.Signal, Ticket: m.Ticket,
		Err: messages.ErrNotRunning{ID: i.id()}}
	if p, may := i.process.(Sender); may {
		s.PID, s.Port = i.process.PID(), i.process.Port()
		s.Err = p.Send(m.Signal.Number())
	}
	i.report(c, s)
}

// release gives back what the run held, and reports its end. That may take system calls, so it is done aside.
func (i *instance) release(c actor.Context, r run.Release) {
	if r.Err != nil {
		i.report(c, messages.LaunchFailed{ID: i.id(), Run: i.order.Run, Err: r.Err})
		return
	}
	held := i.held
	i.held = nil
	held.release(ready, nil)
	parent := c.Parent()
	end := &End{Exited: messages.Exited{ID: i.id(), Run: i.order.Run, Exit: r.Exit, Rest: r.Rest}, Young: r.Young,
		Foul: i.foul}
	go func() {
		held.release(over, end)
		i.world.Waits.Wake(messages.FaultResources)
		i.root.RequestWithCustomSender(parent, end.Exited, i.self)
		runtime.Gosched() // the root goes on with it before this goroutine with what may take a disk
		held.release(told, end)
	}()
}

// report tells the root, with the actor's own PID as sender: by it the root knows the one child whose word counts.
func (i *instance) report(c actor.Context, fact any) { c.Request(c.Parent(), fact) }

func (i *instance) id() messages.InstanceID { return i.order.App.InstanceID }
