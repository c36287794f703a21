package supervisor

import (
	"fmt"
	"log/slog"
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
	// signalling: an operator's wish to have a signal sent.
	signalling struct {
		id     messages.InstanceID
		signal messages.SignalName
		by     string
		reply  chan<- error
	}
	// renewing: the wish that what runs is started anew, for it is older than it could be.
	renewing struct {
		id    messages.InstanceID
		why   string
		reply chan<- error
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
	maker  *actors.Maker
	log    *slog.Logger
	keeper *keeper

	entries  *entries
	booted   bool
	first    *listed // a list that came before boot was over
	listed   bool
	lists    int                              // that have been taken in
	list     []*plan.App                      // the newest of them; nil: what it means depends on more than its entries
	adopting map[messages.InstanceID]struct{} // survivors that no actor has taken over yet; nil: Listed is closed
	closing  bool                             // every instance is being stopped
	leaving  bool                             // the root is being stopped, and its actors with it
	tickets  map[uint64]signalling            // that wait for an instance actor; nil: none ever did
	ticket   uint64                           // of the newest of them
	unready  map[messages.InstanceID]struct{} // desired, and never healthy yet; nil: Ready is closed
	live     int                              // instances with a process or an actor
	by       string                           // who causes what is being done
	untold   []any                            // what happened by the message under way

	panics  []time.Time
	failure error         // read after stopped is closed
	stopped chan struct{} // closed when the actor has ended
}

func newRoot(s *Supervisor) *root {
	c := s.config
	keeper := newKeeper(c.Memory,
		func(id messages.InstanceID, err error) { s.system.Root.Send(s.pid, unsaved{id, err}) },
		func(e messages.Event) { s.tell(e) })
	world := actors.World{Spawner: c.Spawner, Ports: c.Ports, Rounds: actors.NewRounds(c.Health), Outputs: c.Outputs,
		Gate: s.gate, Waits: actors.NewWaits(), Budget: c.Budget, Cgroups: c.Cgroups, Logger: c.Logger}
	return &root{
		handle: s, config: c, log: c.Logger, by: messages.ByManager, keeper: keeper, world: world,
		maker:   actors.NewMaker(world),
		entries: &s.entries, adopting: map[messages.InstanceID]struct{}{}, unready: map[messages.InstanceID]struct{}{},
		stopped: make(chan struct{}),
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
			r.log.Error("bug: panic in the root", "message", fmt.Sprintf("%T", envelope.Message),
				"panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
			now := time.Now()
			r.panics = append(r.panics, now)
			if len(r.panics) > maxPanics {
				r.panics = r.panics[1:]
				if now.Sub(r.panics[0]) < panicWindow && r.failure == nil {
					r.failure = fmt.Errorf("the root panicked %d times within %v, the last time with: %v", maxPanics,
						panicWindow, cause)
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
	defer r.flush()
	if _, end := c.Message().(*actor.Stopped); r.leaving && !end {
		// an actor that began now would outlive the stop of the others, and the end would wait for it; who asks is told
		// by the end
		return
	}
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
	case signalling:
		r.gotSignalling(c, m)
	case renewing:
		r.gotRenewing(c, m)
	case messages.Signalled:
		r.gotSignalled(m)
	case unsaved:
		r.gotUnsaved(m)
	case due:
		if e := r.entries.of[m.id]; e != nil {
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
	if e := r.entries.of[id]; e != nil && c.Sender() != nil && e.childIs(c.Sender()) {
		r.step(c, e, ev)
	}
}

// gotLost takes the end of an actor that the root has not dropped itself.
func (r *root) gotLost(c actor.Context, child *actor.PID) {
	e := r.entries.of[instanceOf(child)]
	if e == nil || !e.childIs(child) {
		return
	}
	r.log.Error("bug: an instance actor was lost; its process is adopted by another", "instance", string(e.ID),
		"run", e.Run)
	e.child = nil
	r.unheard(e.ID)
	r.step(c, e, plan.Lost{})
}

func (r *root) gotBoot(c actor.Context, b booted) {
	if b.err != nil {
		r.log.Error("some of what an earlier manager left could not be read; what lives was found all the same",
			"error", b.err)
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
	e := r.entries.get(m.ID)
	e.change().Hold = holdOf(m)
	r.keeper.knows(e.memory())
	r.step(c, e, plan.Survivor{Memory: m, Found: found})
	if e.child != nil && found.Unclear == "" {
		// an actor takes over what was found; nothing is listed before all of this is known
		r.adopting[e.ID] = struct{}{}
	}
}

// settle closes Listed and Ready when their time has come, and ends the root when the last process has ended in a
// shutdown.
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
	for _, m := range r.tickets {
		m.reply <- ErrStopped
	}
	for _, e := range r.entries.of {
		e.alarm.Stop()
	}
	if r.first != nil {
		for _, reply := range r.first.replies {
			reply <- ErrStopped
		}
	}
	close(r.stopped)
}
