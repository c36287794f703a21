package supervisor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"procman/actors"
	"procman/messages"
	"procman/supervisor/explain"
	"procman/supervisor/plan"
)

// Supervisor is the handle of a running root actor. Its methods may be called from any goroutine.
type Supervisor struct {
	config Config
	system *actor.ActorSystem
	pid    *actor.PID
	*teller

	entries  entries
	desired  atomic.Int64
	gate     *actors.Gate
	reload   chan reloading
	prune    chan pruning
	rejected atomic.Pointer[string] // see Rejected
	life     context.Context        // ends when the root has stopped
	end      context.CancelFunc
	listed   chan struct{}
	ready    chan struct{}
	done     chan struct{}
	err      error // set before done is closed
}

var _ ProcessController = (*Supervisor)(nil)

// ErrStopped is the answer of a Supervisor that has ended.
var ErrStopped = errors.New("the supervisor has ended")

// New starts a supervisor: it adopts what a predecessor left, asks the provider, and from then on keeps exactly the
// desired instances running. It ends by Shutdown or Detach only, or when it fails (see Err).
func New(c Config) (*Supervisor, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Supervisor{
		config: c, system: c.System, gate: actors.NewGate(c.StartParallel), reload: make(chan reloading),
		prune:  make(chan pruning),
		listed: make(chan struct{}), ready: make(chan struct{}), done: make(chan struct{}),
		entries: entries{of: map[messages.InstanceID]*entry{}},
	}
	if s.system == nil {
		s.system = NewSystem(c.Logger)
	}
	s.life, s.end = context.WithCancel(context.Background())
	s.teller = newTeller(c.Logger, s.system, c.Observe)
	r := newRoot(s)
	s.pid, err = s.system.Root.SpawnNamed(r.props(), c.Name)
	if err != nil {
		s.end()
		return nil, fmt.Errorf("supervisor: the root actor %q could not be spawned: %w", c.Name, err)
	}
	go s.run(r)
	return s, nil
}

// NewSystem returns an actor system that is small, and says of trouble only.
func NewSystem(log *slog.Logger) *actor.ActorSystem {
	// The throttle of dead letters keeps a goroutine asleep for its interval, also after the end.
	system := actor.NewActorSystem(actor.WithDeadLetterThrottleInterval(time.Millisecond),
		actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger {
			return slog.New(quiet{log.Handler()})
		}))
	slim(system.ProcessRegistry)
	return system
}

// slim gives the registry of an actor system that nobody uses yet one table of shards in place of its 1024, which take
// 2.8 MB before there is any actor.
func slim(registry *actor.ProcessRegistryValue) {
	many := registry.LocalPIDs
	registry.LocalPIDs = &actor.SliceMap{LocalPIDs: many.LocalPIDs[:1:1]}
	for _, table := range many.LocalPIDs[1:] {
		// Items starts 66 goroutines
		table.IterCb(func(id string, process any) { registry.LocalPIDs.GetBucket(id).Set(id, process) })
	}
	registry.LocalPIDs.LocalPIDs = slices.Clone(registry.LocalPIDs.LocalPIDs) // the others are let go
}

// run owns the goroutines beside the root actor, and ends them after it.
func (s *Supervisor) run(r *root) {
	var beside sync.WaitGroup
	beside.Go(func() { s.boot() })
	beside.Go(func() { s.watch() })
	if s.config.Archive != nil {
		beside.Go(func() { s.retain() })
	}
	<-r.stopped
	s.end()
	if err := r.keeper.close(farewell); err != nil {
		s.config.Logger.Error("the supervisor ends without what it had to write", "error", err)
	}
	s.leave(&beside)
	if s.config.System == nil {
		s.system.Shutdown()
	}
	s.err = r.failure
	close(s.done)
}

// farewell is how long the end waits for a disk, or for a provider that does not heed its context.
const farewell = 2 * time.Second

// leave waits for the goroutines beside the root, but not for ever: one that reads from a disk which does not answer
// ends when it does.
func (s *Supervisor) leave(beside *sync.WaitGroup) {
	ended := make(chan struct{})
	go func() { beside.Wait(); close(ended) }()
	late := time.NewTimer(farewell)
	defer late.Stop()
	select {
	case <-ended:
	case <-late.C:
		s.config.Logger.Error("the supervisor ends, and something of it still waits for the configuration or the " +
			"state directory to be read")
	}
}

// Listed is closed once the first good list is in force and every survivor has been taken over. Before that Status and
// Lookup do not know all.
func (s *Supervisor) Listed() <-chan struct{} { return s.listed }

// Ready is closed once every desired instance has been healthy.
func (s *Supervisor) Ready() <-chan struct{} { return s.ready }

// Done is closed when the supervisor has ended.
func (s *Supervisor) Done() <-chan struct{} { return s.done }

// Err returns why the supervisor ended, after Done: nil after Shutdown and Detach. After any other end processes run
// on, and the next supervisor adopts them.
func (s *Supervisor) Err() error {
	select {
	case <-s.done:
		return s.err
	default:
		return nil
	}
}

// Lookup returns the status of one instance. It never waits: a reverse proxy may ask it for every request.
func (s *Supervisor) Lookup(id messages.InstanceID) (i messages.Status, known bool) {
	k := s.know(id)
	if k == nil {
		return i, false
	}
	s.status(k, &i)
	return i, true
}

// know returns what is shown of an instance; nil: there is no such instance.
func (s *Supervisor) know(id messages.InstanceID) *shown {
	if k := s.entries.see(id); k != nil && !k.Absent {
		return k
	}
	return nil
}

// queueOf says whether the start waits for its turn. That may change many times in a second, so it is not shown
// whenever it does, but asked when somebody wants to know.
func (s *Supervisor) queueOf(k *shown) messages.Queue {
	if k.Phase != messages.Starting || k.PID != 0 || k.Reason != "" {
		return messages.Queue{}
	}
	return s.gate.Waits(k.ID)
}

// status puts the status of what is shown into i.
func (s *Supervisor) status(k *shown, i *messages.Status) {
	k.status(i)
	if q := s.queueOf(k); q.Waits {
		v := *k.View
		v.Seen = &explain.Seen{Queue: q}
		i.Reason = v.Because(s.config.Terms)
	}
}

// Status returns the status of every instance, sorted by id. It never waits.
func (s *Supervisor) Status(context.Context) ([]messages.Status, error) {
	known := slices.DeleteFunc(s.entries.all(), func(k *shown) bool { return k.Absent })
	slices.SortFunc(known, func(a, b *shown) int { return cmp.Compare(a.ID, b.ID) })
	all := make([]messages.Status, len(known))
	for n, k := range known {
		s.status(k, &all[n])
	}
	return all, nil
}

// Desired returns how many instances the list in force has. It never waits.
func (s *Supervisor) Desired() int { return int(s.desired.Load()) }

// Explain returns what is known of one instance beyond its status. It never waits.
func (s *Supervisor) Explain(id messages.InstanceID) (messages.Explanation, bool) {
	k := s.know(id)
	if k == nil {
		return messages.Explanation{}, false
	}
	v := k.view(s.queueOf(k))
	e := messages.Explanation{Probes: v.Seen.Probes, HeldBy: k.Hold.By, HeldAt: k.Hold.At, Leaving: k.Leaving,
		Verdict: explain.Verdict(v, s.config.Terms, time.Now())}
	s.status(k, &e.Status)
	if k.Listed != nil {
		e.Desired = k.Listed.AppInstance
	}
	return e, true
}

// Start ends a hold, and starts the instance now if it waits for its next attempt or was given up. It is no error if
// it runs. It returns when that is decided, not when the instance is healthy. See Stop for its errors.
func (s *Supervisor) Start(ctx context.Context, id messages.InstanceID) error {
	return s.command(ctx, id, opStart)
}

// Stop ends the instance and holds it down until Start, also for later supervisors. It returns when the hold is on
// disk. An error that is a *messages.UnsavedError says that it is done, and not on disk: a disk that is full, or does
// not answer for two seconds, stops no deed. With the error of ctx nothing was done, and will not be.
func (s *Supervisor) Stop(ctx context.Context, id messages.InstanceID) error {
	return s.command(ctx, id, opStop)
}

// Restart ends the process of the instance and starts another. A hold ends. It returns when that is decided.
func (s *Supervisor) Restart(ctx context.Context, id messages.InstanceID) error {
	return s.command(ctx, id, opRestart)
}

// Reload asks the provider for its list now and applies it. The error is the provider's, or says what is wrong with
// the list, or is that of ctx; then nothing was changed.
func (s *Supervisor) Reload(ctx context.Context) error {
	reply := make(chan error, 1)
	select {
	case s.reload <- reloading{ctx: ctx, by: Operator(ctx), reply: reply}:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.done:
		return ErrStopped
	}
	return s.await(ctx, reply)
}

// Preview returns what the list would change if it took the place of the one in force, sorted by id. It changes nothing
// and waits for nobody. The error says what is wrong with the list.
func (s *Supervisor) Preview(list []*messages.AppInstance) ([]messages.Change, error) {
	apps, err := accept(list, nil, false)
	if err != nil {
		return nil, err
	}
	next := make(map[messages.InstanceID]*plan.App, len(apps))
	for _, app := range apps {
		next[app.InstanceID] = app
	}
	changes, now := []messages.Change{}, time.Now()
	see := func(v explain.View, next *plan.App) {
		if c, changed := explain.Preview(v, next, s.config.Terms, now); changed {
			changes = append(changes, c)
		}
	}
	for _, k := range s.entries.all() {
		see(*k.View, next[k.ID])
		delete(next, k.ID)
	}
	for id, app := range next {
		see(explain.View{Instance: plan.New(id)}, app)
	}
	slices.SortFunc(changes, func(a, b messages.Change) int { return cmp.Compare(a.ID, b.ID) })
	return changes, nil
}

// Shutdown stops every instance, gracefully, and then the supervisor. If ctx ends first it returns at once, and the
// supervisor ends by itself (see Done) and leaves what still runs, which the error names.
func (s *Supervisor) Shutdown(ctx context.Context) error {
	s.system.Root.Send(s.pid, shutdown{stopAll: true})
	select {
	case <-s.done:
		return s.err
	case <-ctx.Done():
	}
	// Asked, not waited for: it is the caller's time that is over.
	s.system.Root.Send(s.pid, shutdown{})
	var still []string
	all, _ := s.Status(ctx) // it has no error: it is a snapshot
	for _, i := range all {
		if i.PID != 0 {
			still = append(still, fmt.Sprintf("%s (pid %d)", i.ID, i.PID))
		}
	}
	const named = 10
	if n := len(still); n > named {
		still = append(still[:named], fmt.Sprintf("and %d more", n-named))
	}
	if len(still) == 0 {
		return fmt.Errorf("supervisor: it has not ended yet: %w", ctx.Err())
	}
	return fmt.Errorf("supervisor: not every instance ended, and these are left running: %s: %w",
		strings.Join(still, ", "), ctx.Err())
}

// Detach ends the supervisor and leaves every process running, for the next supervisor to adopt.
func (s *Supervisor) Detach(ctx context.Context) error {
	s.system.Root.Send(s.pid, shutdown{})
	select {
	case <-s.done:
		return s.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Observe has o told what happens from now on, until end is called.
func (s *Supervisor) Observe(o Observer) (end func()) { return s.observe(o) }

// System returns the actor system, on whose EventStream every messages.Transition, messages.Event and
// messages.Reconciled is published, to subscribers that are called as an Observer is.
func (s *Supervisor) System() *actor.ActorSystem { return s.system }

// Ping returns nil once the root actor has answered: it takes messages, and has taken those that were sent before.
func (s *Supervisor) Ping(ctx context.Context) error {
	reply := make(chan error, 1)
	s.system.Root.Send(s.pid, ping{reply})
	return s.await(ctx, reply)
}

func (s *Supervisor) command(ctx context.Context, id messages.InstanceID, op op) error {
	reply, saved := make(chan error, 1), make(chan error, 1)
	var claimed atomic.Bool // by the root, which does it; or by us, and then it is not done
	claim := func() bool { return claimed.CompareAndSwap(false, true) }
	s.system.Root.Send(s.pid, command{op: op, id: id, by: Operator(ctx), begin: claim, reply: reply, saved: saved})
	err := s.await(ctx, reply)
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		if claim() {
			return err
		}
		err = s.await(context.WithoutCancel(ctx), reply) // it is being done: the root waits for nobody
	}
	if err != nil {
		return err
	}
	late := time.NewTimer(savePatience)
	defer late.Stop()
	select {
	case err = <-saved:
	case <-late.C:
		err = errStalled(savePatience)
	case <-ctx.Done():
		err = ctx.Err()
	case <-s.done:
		select {
		case err = <-saved:
		default:
			err = ErrStopped
		}
	}
	if err != nil {
		done := map[bool]string{true: "stopped", false: "started"}[op == opStop]
		return &messages.UnsavedError{ID: id, Done: done, Err: err}
	}
	return nil
}

func (s *Supervisor) await(ctx context.Context, reply <-chan error) error {
	select {
	case err := <-reply:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-s.done:
		return ErrStopped
	}
}

type operatorKey struct{}

// WithOperator says on whose behalf the calls made with the context are, as in "uid 1000"; see messages.Event. Without
// it they are the host program's own.
func WithOperator(ctx context.Context, by string) context.Context {
	return context.WithValue(ctx, operatorKey{}, by)
}

// Operator returns on whose behalf the calls made with the context are.
func Operator(ctx context.Context) string {
	if by, is := ctx.Value(operatorKey{}).(string); is {
		return by
	}
	return messages.ByHost
}
