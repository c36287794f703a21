package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"procman/actors"
	"procman/actors/record"
	"procman/messages"
	"procman/supervisor"
	"procman/supervisor/fleet/leash"
	"procman/supervisor/fleet/member"
	"procman/supervisor/fleet/place"
	"procman/supervisor/fleet/store"
)

// Guard keeps fenced runs from outliving the lease, whether the daemon lives or not; see package leash. Its methods may
// take as long as a disk does.
type Guard interface {
	// Boot is what tells this boot of the host from any other.
	Boot() string
	// Load returns what a predecessor left; nothing without one.
	Load() (member.Record, error)
	// Write puts the record into force. It is durable when it returns nil. One goroutine calls it.
	Write(member.Record) error
	// Ensure returns nil when a leash lives: one that is there, or a new one. gone is called once, when that has ended.
	Ensure(gone func(why string)) error
	// Fence marks the instance as fenced. It comes before its process.
	Fence(id messages.InstanceID, m leash.Mark) error
	// Unfence takes the mark away, after nothing of the instance lives.
	Unfence(id messages.InstanceID) error
	// Marked returns what is fenced. A mark that cannot be read is there, and says nothing.
	Marked() (map[messages.InstanceID]leash.Mark, error)
	// Enter holds off the leash's end of fenced runs until leave: who starts one asks whether he may, and starts it, in
	// between.
	Enter() (leave func(), err error)
}

// Config is what a Host is made of. All but Labels, Capacity, API, Version, Provider, Tell, Logger and Pace is
// required.
type Config struct {
	Fleet    string // its name
	Name     string // this host's
	Capacity int    // how many instances at most; 0: no limit
	Labels   map[string]string
	API      string // where its API answers others; empty: nowhere
	Version  string
	Schedule member.Schedule

	Store    store.Store // which the caller closes, after the Host
	Guard    Guard
	Clock    leash.Clock // CLOCK_BOOTTIME
	StateDir messages.StateDir
	Spawner  actors.Spawner
	// Parse reads an instance of the fleet's list by this host's own settings.
	Parse func(id messages.InstanceID, spec []byte) (messages.AppInstance, error)
	// Provider has the host's own instances, which live beside the fleet's; nil: there are none.
	Provider supervisor.AppInstanceProvider

	Tell   func(messages.Event) // hears what happens to the host; nil: only the log does
	Logger *slog.Logger         // nil: slog.Default()
	Pace   place.Pace           // the zero value: see DefaultPace
}

// DefaultPace is how long a host that has the turn to claim an instance may take, and one that has joined waits.
func DefaultPace() place.Pace { return place.Pace{Pause: 2 * time.Second, Settle: time.Second} }

// Host is a host of a fleet: the handle of its actor. Its methods may be called by any number of goroutines.
type Host struct {
	config Config
	log    *slog.Logger
	keys   keys
	gate   *gate
	disk   *record.Disk // of the marks and of what is assigned; not that of the deadline
	system *actor.ActorSystem
	pid    *actor.PID
	life   context.Context
	end    context.CancelFunc
	work   sync.WaitGroup
	writes chan member.Record // to the one writer
	turns  chan struct{}      // of transactions

	queued sync.Mutex
	queue  []keeping
	keeps  bool // keepAll runs

	gone chan struct{} // closed when the host has left, or has let go of everything

	provider *provider
	view     view

	boot     sync.Mutex
	found    []messages.Survivor
	findings chan struct{} // closed once found is known
}

// Open makes this host a member of its fleet, as soon as that can be. It waits for nobody.
func Open(c Config) (*Host, error) {
	if c.Store == nil || c.Guard == nil || c.Clock == nil || c.Spawner == nil || c.Parse == nil || c.Fleet == "" ||
		c.Name == "" || c.StateDir == "" {
		return nil, errors.New("fleet: Fleet, Name, Store, Guard, Clock, StateDir, Spawner and Parse are required")
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Tell == nil {
		c.Tell = func(e messages.Event) { e.Log(c.Logger) }
	}
	if c.Pace == (place.Pace{}) {
		c.Pace = DefaultPace()
	}
	if c.Provider == nil {
		c.Provider = supervisor.Static(nil)
	}
	h := &Host{
		config: c, log: c.Logger, keys: keysOf(c.Fleet), gate: newGate(),
		disk:   record.NewDisk("the state directory's disk", 8),
		writes: make(chan member.Record, 64), turns: make(chan struct{}, transactions), gone: make(chan struct{}),
		findings: make(chan struct{}),
	}
	h.life, h.end = context.WithCancel(context.Background())
	h.provider = newProvider(h)
	h.system = supervisor.NewSystem(c.Logger)
	a := newHostActor(h)
	pid, err := h.system.Root.SpawnNamed(actor.PropsFromProducer(func() actor.Actor { return a }), "fleet")
	if err != nil {
		h.end()
		h.system.Shutdown()
		return nil, fmt.Errorf("fleet: the host's actor could not be spawned: %w", err)
	}
	h.pid = pid
	h.work.Go(h.write)
	h.work.Go(h.load)
	return h, nil
}

// Provider returns the list of what is to run here: the host's own instances and those of the fleet that are its.
func (h *Host) Provider() supervisor.AppInstanceProvider { return h.provider }

// Spawner returns the spawner by which the supervisor starts them.
func (h *Host) Spawner() actors.Spawner { return &Spawner{h.config.Spawner, h} }

// Observer hears of what becomes of them.
func (h *Host) Observer() supervisor.Observer {
	return supervisor.Observer{Transition: func(t messages.Transition) {
		run := t.Status.Run
		switch {
		case t.Status.PID != 0, t.To == messages.Stopping, t.To == messages.Running:
			return
		case t.To == messages.Starting:
			// what is wanted again while it ends is started without a pause, and waits here: it is to be claimed first
			run--
		}
		if h.gate.ended(t.ID, run) {
			h.send(settled{})
		}
	}}
}

// Leave gives back what the host has, so that others need not wait: whatever of the fleet runs here is ended, what may
// move is released, and the lease is revoked. It returns when that is done, or has failed, which is told; the error is
// that of ctx.
func (h *Host) Leave(ctx context.Context) error { return h.farewell(ctx, member.Leave{}) }

// Detach ends the host's part in the fleet and leaves everything as it is: a successor goes on with the lease, and
// without one the leash ends what is fenced at the deadline.
func (h *Host) Detach(ctx context.Context) error { return h.farewell(ctx, member.Detach{}) }

func (h *Host) farewell(ctx context.Context, e member.Event) error {
	h.send(e)
	select {
	case <-h.gone:
		return nil
	case <-h.life.Done():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// closePatience is how long a disk, or a store, may take at the end.
const closePatience = 2 * time.Second

// Close ends what the Host has begun. What runs, runs on. Unless it has left before, that is a Detach.
func (h *Host) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closePatience)
	defer cancel()
	_ = h.Detach(ctx) // whether or not it has heard
	h.end()
	ended := make(chan struct{})
	go func() {
		_ = h.system.Root.StopFuture(h.pid).Wait()
		h.work.Wait()
		h.system.Shutdown()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return errors.New("the host's part in the fleet still waits for a disk, and is left behind")
	}
}

// now is CLOCK_BOOTTIME.
func (h *Host) now() time.Duration { return time.Duration(h.config.Clock.Now()) }

func (h *Host) send(message any) { h.system.Root.Send(h.pid, message) }

func (h *Host) incarnation() string {
	h.gate.mu.Lock()
	defer h.gate.mu.Unlock()
	return h.gate.member.Incarnation
}

// survivors takes what lives here of earlier runs.
func (h *Host) survivors(found []messages.Survivor) {
	h.boot.Lock()
	defer h.boot.Unlock()
	select {
	case <-h.findings:
		return // only the first look is that of a boot
	default:
	}
	h.gate.mu.Lock()
	for _, v := range found {
		if v.Alive {
			h.gate.living[v.ID] = v.Run
		}
	}
	h.gate.mu.Unlock()
	h.found = found
	close(h.findings)
}

// write is the one writer of records, in the order in which they were decided.
func (h *Host) write() {
	for {
		select {
		case <-h.life.Done():
			return
		case r := <-h.writes:
			if err := h.config.Guard.Write(r); err != nil {
				h.send(member.PersistFailed{Record: r, Why: err.Error()})
			} else {
				h.send(member.Persisted{Record: r})
			}
		}
	}
}

// load learns what a predecessor left.
func (h *Host) load() {
	l := loaded{}
	l.assigned = h.assigned()
	marked, err := h.config.Guard.Marked()
	if err != nil {
		h.log.Error("what is fenced cannot be read; the processes themselves tell", "error", err)
	}
	h.gate.mu.Lock()
	for id, m := range marked {
		h.gate.marked[id] = m
	}
	h.gate.mu.Unlock()
	if l.record, err = h.config.Guard.Load(); err != nil {
		h.log.Error("the deadline of an earlier daemon cannot be read; what is fenced is ended before this host joins",
			"error", err)
		l.record = member.Record{}
	}
	h.send(l) // the list is known by now, and the supervisor looks for survivors only with one
	h.send(h.ensure())
	select {
	case <-h.findings:
	case <-h.life.Done():
		return
	}
	survives := false
	for _, v := range h.found {
		m, fenced := marked[v.ID]
		if !fenced || !v.Alive {
			continue
		}
		survives = true
		if m.Incarnation != l.record.Incarnation {
			l.record = member.Record{}
		}
	}
	h.send(member.Loaded{Record: l.record, Survivors: survives})
}

// ensure has a leash, and says whether it has.
func (h *Host) ensure() member.Event {
	if err := h.config.Guard.Ensure(func(why string) { h.send(member.LeashGone{Why: why}) }); err != nil {
		return member.LeashGone{Why: err.Error()}
	}
	return member.LeashUp{}
}
