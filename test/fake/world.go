package fake

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"procman/messages"
	"procman/supervisor"
)

// World is a supervisor with everything around it in the test's hand. It lives in a testing/synctest bubble and ends
// with it.
type World struct {
	*supervisor.Supervisor
	Spawner  *Spawner
	Ports    *Ports
	Health   *HealthChecker
	Provider *Provider
	Memory   *Memory
	Log      *Log
	System   *actor.ActorSystem

	t        *testing.T
	template messages.AppInstance
	config   func(*supervisor.Config)
}

// Option changes a World before it begins.
type Option func(*World)

// Backoff makes every instance wait exactly so long after its first failure, twice that after the second, and so on.
func Backoff(initial time.Duration) Option {
	return Each(func(a *messages.AppInstance) {
		a.Restart = messages.RestartPolicy{Initial: initial, Max: 64 * initial, Multiplier: 2}
	})
}

// Each changes the entry of every instance that Want makes.
func Each(change func(*messages.AppInstance)) Option { return func(w *World) { change(&w.template) } }

// Answering makes every process answer healthy from its start, unless it is told otherwise.
func Answering() Option { return func(w *World) { w.Health = NewHealthChecker(nil) } }

// With changes what the supervisor is made of.
func With(change func(*supervisor.Config)) Option { return func(w *World) { w.config = change } }

// NewWorld starts a supervisor of an empty list in a world where every port is free and every process starts. What the
// options say is different.
func NewWorld(t *testing.T, options ...Option) *World {
	t.Helper()
	w := &World{
		t: t, Spawner: NewSpawner(t), Ports: NewPorts(), Health: NewHealthChecker(ErrRefused), Provider: NewProvider(),
		Memory: NewMemory(), Log: &Log{}, config: func(*supervisor.Config) {},
		template: messages.AppInstance{WasmPath: "app.wasm", DbName: "app.db"},
	}
	for _, o := range options {
		o(w)
	}
	w.StartManager()
	t.Cleanup(func() {
		for _, p := range w.Spawner.Live() {
			p.Exit(0)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		if err := w.Shutdown(ctx); err != nil && w.Err() == nil {
			t.Errorf("the supervisor did not end well: %v", err)
		}
		w.rest()
	})
	return w
}

// StartManager starts a supervisor in this world, after KillManager or an end of the one before.
func (w *World) StartManager() {
	w.t.Helper()
	w.Memory.freeze(false)
	w.System = actor.NewActorSystem(
		actor.WithDeadLetterThrottleInterval(time.Millisecond),
		actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return slog.New(slog.DiscardHandler) }))
	c := supervisor.Config{
		Provider: w.Provider, Spawner: w.Spawner, Ports: w.Ports, Health: w.Health, Memory: w.Memory,
		System: w.System, Logger: slog.New(w.Log), StartParallel: 1000,
	}
	w.config(&c)
	s, err := supervisor.New(c)
	if err != nil {
		w.t.Fatal(err)
	}
	w.Supervisor = s
	synctest.Wait()
}

// KillManager ends the supervisor as kill -9 does: processes run on, and nothing more is written.
func (w *World) KillManager() {
	w.t.Helper()
	w.Memory.freeze(true)
	if err := w.Detach(context.Background()); err != nil {
		w.t.Errorf("killing the manager: %v", err)
	}
	w.rest()
	w.Ports = NewPorts()
}

// rest lets the actor system's own timers run out.
func (w *World) rest() {
	time.Sleep(time.Second)
	synctest.Wait()
}

// App returns the entry that Want makes of an id.
func (w *World) App(id messages.InstanceID) messages.AppInstance {
	a := w.template.Clone()
	a.InstanceID = id
	return a
}

// Want replaces the desired list by one entry for each id, and waits until that has been acted upon.
func (w *World) Want(ids ...messages.InstanceID) {
	w.t.Helper()
	var list []messages.AppInstance
	for _, id := range ids {
		list = append(list, w.App(id))
	}
	w.Set(list...)
}

// Set replaces the desired list, and waits until that has been acted upon.
func (w *World) Set(list ...messages.AppInstance) {
	w.Provider.Set(list...)
	synctest.Wait()
}

// Process returns the newest process of the instance.
func (w *World) Process(id messages.InstanceID) *Process {
	w.t.Helper()
	synctest.Wait()
	all := w.Spawner.Processes(id)
	if len(all) == 0 {
		w.t.Fatalf("no process of %s was started", id)
	}
	return all[len(all)-1]
}

// Spawns returns how many processes of the instance were started.
func (w *World) Spawns(id messages.InstanceID) int {
	synctest.Wait()
	return len(w.Spawner.Processes(id))
}

// Answer sets what a process says to probes from now on, and lets it be probed if it is starting.
func (w *World) Answer(p *Process, err error) {
	w.Health.Answer(p, err)
	w.Pass(time.Second)
}

// Pass lets time pass, and waits until everything due has been done.
func (w *World) Pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// Of returns the status of the instance.
func (w *World) Of(id messages.InstanceID) messages.Status {
	w.t.Helper()
	synctest.Wait()
	s, known := w.Lookup(id)
	if !known {
		w.t.Fatalf("%s is not known", id)
	}
	return s
}

// Log keeps what is logged.
type Log struct {
	mu      sync.Mutex
	records []Record
}

// Record is one log record.
type Record struct {
	Time  time.Time
	Level slog.Level
	Msg   string
	Attrs map[string]any
}

// Records returns the records with that message about that instance, oldest first; an empty id is any.
func (l *Log) Records(msg string, id messages.InstanceID) []Record {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []Record
	for _, r := range l.records {
		if r.Msg == msg && (id == "" || r.Attrs["instance"] == string(id)) {
			found = append(found, r)
		}
	}
	return found
}

// Bugs returns what was logged as a bug.
func (l *Log) Bugs() []Record {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.records),
		func(r Record) bool { return len(r.Msg) < 4 || r.Msg[:4] != "bug:" })
}

// keep keeps a record with the attributes of its logger.
func (l *Log) keep(r slog.Record, with map[string]any) {
	attrs := maps.Clone(with)
	r.Attrs(func(a slog.Attr) bool { attrs[a.Key] = a.Value.Any(); return true })
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records = append(l.records, Record{r.Time, r.Level, r.Message, attrs})
}

// Enabled is true for every level.
func (l *Log) Enabled(context.Context, slog.Level) bool { return true }

// Handle keeps the record.
func (l *Log) Handle(_ context.Context, r slog.Record) error {
	l.keep(r, map[string]any{})
	return nil
}

// WithAttrs returns a handler that adds attributes.
func (l *Log) WithAttrs(attrs []slog.Attr) slog.Handler { return logWith{l, nil}.WithAttrs(attrs) }

// WithGroup returns l: procman logs no groups.
func (l *Log) WithGroup(string) slog.Handler { return l }

type logWith struct {
	*Log
	attrs map[string]any
}

func (l logWith) Handle(_ context.Context, r slog.Record) error {
	l.keep(r, l.attrs)
	return nil
}

func (l logWith) WithAttrs(attrs []slog.Attr) slog.Handler {
	all := maps.Clone(l.attrs)
	if all == nil {
		all = map[string]any{}
	}
	for _, a := range attrs {
		all[a.Key] = a.Value.Any()
	}
	return logWith{l.Log, all}
}

func (l logWith) WithGroup(string) slog.Handler { return l }
