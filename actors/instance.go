package actors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"procman/actors/run"
	"procman/messages"
)

// World is what an instance actor needs of the world outside. Outputs, Gate, Waits and Budget may be nil.
type World struct {
	Spawner Spawner
	Ports   Ports
	Health  HealthChecker
	Outputs Outputs
	Gate    Gate
	Waits   *Waits
	Budget  Budget
	Logger  *slog.Logger
}

// Order is what one instance actor is made for: one run.
type Order struct {
	App   messages.AppInstance // complete, see AppInstance.WithDefaults
	Run   int
	Adopt bool // take over the process that exists
	Ready bool // it was healthy before
}

// Props makes the actor that carries out the order. It reports to its parent, by Request, with messages.Launched,
// Refused, LaunchFailed, Probed, Ready, Unhealthy, Lingers and Exited; it takes messages.StopRun and SetPolicy.
func Props(w World, o Order) *actor.Props {
	return actor.PropsFromProducer(func() actor.Actor {
		i := &instance{
			world: w, order: o, leave: func() {},
			log:   w.Logger.With("instance", string(o.App.InstanceID), "run", o.Run),
			state: run.Begin(o.App, o.Ready),
		}
		i.life, i.end = context.WithCancel(context.Background())
		i.launch, i.cancel = context.WithCancel(i.life)
		return i
	}, actor.WithReceiverMiddleware(confess(w.Logger)))
}

// confess logs a panic before it takes its course: the actor is stopped, and the root has its process adopted.
func confess(log *slog.Logger) actor.ReceiverMiddleware {
	return func(next actor.ReceiverFunc) actor.ReceiverFunc {
		return func(c actor.ReceiverContext, envelope *actor.MessageEnvelope) {
			defer func() {
				if cause := recover(); cause != nil {
					log.Error("bug: panic in an instance actor", "actor", c.Self().Id, "message", fmt.Sprintf("%T", envelope.Message),
						"panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
					panic(cause)
				}
			}()
			next(c, envelope)
		}
	}
}

// instance is the actor. Its fields are touched in Receive only.
type instance struct {
	world World
	order Order
	log   *slog.Logger
	state run.State

	life   context.Context // ends with the actor
	end    context.CancelFunc
	launch context.Context // ends with the actor, or when the launch is given up
	cancel context.CancelFunc

	process  Process
	adopted  bool // it was found, not started
	lease    Lease
	follower Follower
	moved    int    // the port that the instance had before; 0: the same
	movedWhy string // and why it changed
	leave    func() // the start gate
	foul     bool   // somebody else answers on the port
	probe    Alarm
	grace    Alarm
}

// What the actor's goroutines tell it.
type (
	launchDone struct {
		process Process
		lease   Lease
		leave   func()
		adopted bool // process was found, not started
		err     error
	}
	refused  struct{ err *messages.StartError }
	released struct{ messages.Exited }
)

// Receive never blocks: what takes time is done in a goroutine whose result comes back as a message.
func (i *instance) Receive(c actor.Context) {
	switch m := c.Message().(type) {
	case *actor.Started:
		go i.start(c.ActorSystem().Root, c.Self())
	case *actor.Stopping:
		i.end()
		i.probe.Stop()
		i.grace.Stop()
		i.leave()
		if i.follower != nil {
			go i.follower.Stop()
		}
	case launchDone:
		i.gotLaunch(c, m)
	case refused:
		i.report(c, messages.Refused{ID: i.id(), Run: i.order.Run, Err: m.err})
	case released:
		i.report(c, m.Exited)
	case messages.StopRun:
		i.step(c, run.StopAsked(m))
	case messages.SetPolicy:
		i.step(c, run.PolicyChanged(m))
	case run.Event:
		i.step(c, m)
	}
}

// start carries out the order. It runs in a goroutine of its own.
func (i *instance) start(root *actor.RootContext, self *actor.PID) {
	done := i.startOrWait(func(err *messages.StartError) { root.Send(self, refused{err}) })
	root.Send(self, done)
}

// startOrWait carries out the order as soon as the host lets it. tell is told why it does not.
func (i *instance) startOrWait(tell func(*messages.StartError)) launchDone {
	id := i.order.App.InstanceID
	turn := i.world.Waits.arrive(tell)
	defer turn.leave()
	for {
		if !i.order.Adopt { // what runs already takes nothing away from those that wait
			if err := turn.await(i.launch, i.world.Ports.Owns(id)); err != nil {
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
		if i.life.Err() == nil && (i.order.Adopt || host != nil && i.lives(host)) {
			return i.adoptToEnd(turn)
		}
		return d
	}
}

func (i *instance) startOrAdopt() (d launchDone) {
	id := i.order.App.InstanceID
	if i.order.Adopt {
		return i.adopt(i.launch)
	}
	if err := i.world.Spawner.Clear(i.launch, i.order.App); err != nil {
		return i.adoptInstead(err)
	}
	leave, err := i.world.Gate.pass(i.launch)
	if err != nil {
		return launchDone{err: err}
	}
	if i.world.Budget != nil {
		landed, err := i.world.Budget.Admit(i.launch)
		if err != nil {
			leave()
			return launchDone{err: err}
		}
		defer landed()
	}
	lease, err := i.world.Ports.Acquire(id)
	if err != nil {
		leave()
		return launchDone{err: err}
	}
	if i.world.Outputs != nil {
		err = i.world.Outputs.Begin(i.launch, id)
	}
	var process Process
	if err == nil {
		process, err = i.world.Spawner.Spawn(i.launch, messages.Launch{App: i.order.App, Run: i.order.Run, Port: lease.Port()})
	}
	if err != nil {
		leave()
		lease.Release()
		i.world.Waits.Wake(messages.FaultNoPort)
		return i.adoptInstead(err)
	}
	return launchDone{process: process, lease: lease, leave: leave}
}

// adoptInstead takes over the process that keeps the instance locked, if it is its own, of which nobody knew, or nobody was
// sure: then there is nothing to start. The error is why the start came to nothing.
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
func (i *instance) adoptToEnd(turn *turn) launchDone {
	for {
		d := i.adopt(ToEnd(i.life))
		host := messages.HostFault(d.err)
		if host == nil || !i.lives(host) || turn.alone(i.life, host) != nil {
			return d // many that are ended at once take even what is kept for that
		}
	}
}

type toEnd struct{}

// ToEnd returns a context for Spawner.Adopt that says: the process is taken over to be ended, with what is kept for control.
func ToEnd(ctx context.Context) context.Context { return context.WithValue(ctx, toEnd{}, true) }

// IsToEnd reports whether ctx is one of ToEnd.
func IsToEnd(ctx context.Context) bool { return ctx.Value(toEnd{}) != nil }

// adopt takes over the process that exists.
func (i *instance) adopt(ctx context.Context) (d launchDone) {
	id := i.order.App.InstanceID
	if d.process, d.err = i.world.Spawner.Adopt(ctx, id); d.err != nil {
		return d
	}
	d.adopted = true
	lease, err := i.world.Ports.Claim(id, d.process.Port())
	if err != nil {
		i.log.Error("the port of an adopted process could not be claimed", "port", d.process.Port(), "error", err)
		return d
	}
	d.lease = lease
	return d
}

func (i *instance) gotLaunch(c actor.Context, d launchDone) {
	if d.leave != nil {
		i.leave = d.leave
	}
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
	i.process, i.lease = d.process, d.lease
	i.adopted = d.adopted
	if m, is := d.lease.(Mover); is {
		i.moved, i.movedWhy = m.Moved()
	}
	i.log = i.log.With("pid", d.process.PID(), "port", d.process.Port())
	if i.world.Outputs != nil {
		i.follower = i.world.Outputs.Follow(i.id(), i.order.Run, d.process.PID())
	}
	go i.wait(c.ActorSystem().Root, c.Self(), d.process)
	i.step(c, run.Launched{})
}

// wait reports the end of the process and of those that outlive it, unless the actor ended first: then they are left for
// whoever adopts the run.
func (i *instance) wait(root *actor.RootContext, self *actor.PID, p Process) {
	exit := p.Wait()
	rest, err := p.Rest(i.life, nil)
	if i.life.Err() != nil {
		return
	}
	root.Send(self, run.ProcessExited{Exit: exit, Rest: rest})
	for err == nil && len(rest) > 0 {
		if rest, err = p.Rest(i.life, rest); err == nil {
			root.Send(self, run.RestChanged{Rest: rest})
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
		i.cancel()
	case run.Probe:
		go i.check(c.ActorSystem().Root, c.Self(), messages.Target{
			ID: id, PID: i.process.PID(), Tag: i.process.Tag(), Owner: i.state.Health.Owner,
			Port: i.process.Port(), Path: i.state.Health.Path, Timeout: i.state.Health.Timeout,
		})
	case run.ArmProbe:
		i.probe.Set(c, a.At, run.ProbeDue(a))
	case run.ArmGrace:
		i.grace.Set(c, a.At, run.GraceOver(a))
	case run.Signal:
		i.signal(a)
	case run.ReportLaunched:
		p := i.process
		i.report(c, messages.Launched{
			ID: id, Run: number, PID: p.PID(), Port: p.Port(), StartedAt: p.StartedAt(), SpecHash: p.SpecHash(),
			Adopted: i.adopted, PortWas: i.moved, PortWhy: i.movedWhy,
		})
	case run.ReportReady:
		i.leave()
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
		i.log.Error("bug: this cannot happen to a run; nothing was changed", "event", a.Event, "phase", a.Phase)
	}
}

func (i *instance) check(root *actor.RootContext, self *actor.PID, t messages.Target) {
	probe := i.world.Health.Check(i.life, t)
	if i.life.Err() == nil {
		root.Send(self, run.Probed{Probe: probe})
	}
}

func (i *instance) signal(s run.Signal) {
	if err := i.process.Signal(s.Signal, s.Leftovers); err != nil {
		i.log.Error("the process could not be signalled; its end is waited for all the same", "signal", s.Signal.String(), "error", err)
	}
}

// release lets go of what the run used and reports its end. Leases and output may take system calls, so that is done
// aside, and the report follows.
func (i *instance) release(c actor.Context, r run.Release) {
	i.leave()
	if r.Err != nil {
		i.report(c, messages.LaunchFailed{ID: i.id(), Run: i.order.Run, Err: r.Err})
		return
	}
	root, self, lease, follower, foul := c.ActorSystem().Root, c.Self(), i.lease, i.follower, i.foul
	i.follower = nil
	go func() {
		ended := messages.Exited{ID: i.id(), Run: i.order.Run, Exit: r.Exit, Rest: r.Rest}
		if lease != nil {
			// Nobody of the run lives: who has its port now is somebody else, unless some were left on purpose.
			taken := foul && !freed(lease) || !foul && r.Young && lease.Contested()
			ended.PortFree, ended.Conflict = foul && !taken, !foul && taken && len(r.Rest.Left) == 0
			if taken {
				lease.Discard()
			} else {
				lease.Release()
			}
		}
		i.world.Waits.Wake(messages.FaultNoPort, messages.FaultResources)
		root.Send(self, released{ended})
		if follower != nil {
			follower.Stop()
		}
	}()
}

// freed reports whether nobody listens on the port soon after the end of a run that a stranger answered for. Whoever
// serves elsewhere on the run's behalf, as the daemon behind `docker run` does, needs a moment to notice its end.
func freed(lease Lease) bool {
	const tries, pause = 20, 100 * time.Millisecond
	for n := 1; lease.Contested(); n++ {
		if n == tries {
			return false
		}
		time.Sleep(pause)
	}
	return true
}

// report tells the root, with the actor's own PID as sender: by it the root knows the one child whose word counts.
func (i *instance) report(c actor.Context, fact any) { c.Request(c.Parent(), fact) }

func (i *instance) id() messages.InstanceID { return i.order.App.InstanceID }
