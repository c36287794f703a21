package fleet_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
	"procman/supervisor"
	"procman/supervisor/fleet"
	"procman/supervisor/fleet/leash"
	"procman/supervisor/fleet/member"
	"procman/supervisor/fleet/store/memory"
	"procman/test/fake"
)

// bubble is a test in fake time.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

// clock is CLOCK_BOOTTIME of all hosts.
type clock struct{ epoch time.Time }

func (c clock) Now() int64 { return int64(time.Since(c.epoch)) + int64(time.Hour) }

func (c clock) Wait(ctx context.Context, until int64) {
	t := time.NewTimer(time.Duration(until - c.Now()))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// world is a store, and the hosts that share it.
type world struct {
	t      *testing.T
	server *memory.Server
	clock  clock
	hosts  map[string]*host

	mu     sync.Mutex
	ledger map[messages.InstanceID][]life
}

func newWorld(t *testing.T) *world {
	return &world{t: t, server: memory.New(nil), clock: clock{time.Now()}, hosts: map[string]*host{},
		ledger: map[messages.InstanceID][]life{}}
}

// host is a machine of the fleet: its processes, its disk and its leash outlive its daemon.
type host struct {
	*fleet.Host
	w       *world
	name    string
	store   *memory.Client
	spawner *fake.Spawner
	memory  *fake.Memory
	guard   *guard
	log     *fake.Log
	local   *fake.Provider
	dir     messages.StateDir
	change  func(*fleet.Config)
	daemon  *supervisor.Supervisor
	mu      sync.Mutex
	told    []messages.Event
}

// start begins a host with its daemon.
func (w *world) start(name string, change ...func(*fleet.Config)) *host {
	w.t.Helper()
	h := &host{w: w, name: name, spawner: fake.NewSpawner(w.t), memory: fake.NewMemory(), log: &fake.Log{},
		local: fake.NewProvider(),
		dir:   messages.StateDir(w.t.TempDir()), change: func(*fleet.Config) {}}
	if len(change) > 0 {
		h.change = change[0]
	}
	h.guard = &guard{h: h, marks: map[messages.InstanceID]leash.Mark{}}
	h.spawner.OnSpawn(func(p *fake.Process) { w.begins(h, p) })
	w.hosts[name] = h
	h.run()
	w.t.Cleanup(h.end)
	return h
}

// begins keeps the ledger: of what is fenced, or may not move, never two live.
func (w *world) begins(h *host, p *fake.Process) {
	if p.App.Labels["twice"] != "" {
		return
	}
	w.mu.Lock() // and not that of a spawner: two hosts may start at once
	defer w.mu.Unlock()
	id := p.App.InstanceID
	for _, x := range w.ledger[id] {
		if x.host != h && x.process.Alive() {
			w.t.Errorf("%s is started at %s while it lives at %s", id, h.name, x.host.name)
		}
	}
	w.ledger[id] = append(w.ledger[id], life{h, p})
}

// life is that of one process.
type life struct {
	host    *host
	process *fake.Process
}

func parse(id messages.InstanceID, spec []byte) (messages.AppInstance, error) {
	var s struct {
		ID    string            `json:"id"`
		DB    string            `json:"db_name"`
		Grace string            `json:"grace"`
		Label map[string]string `json:"labels"`
	}
	if err := json.Unmarshal(spec, &s); err != nil {
		return messages.AppInstance{}, err
	}
	if s.DB == "" {
		return messages.AppInstance{}, fmt.Errorf("db_name is empty")
	}
	a := messages.AppInstance{InstanceID: id, WasmPath: "a.wasm", DbName: s.DB, Labels: s.Label}.WithDefaults()
	return a, nil
}

// run begins a daemon.
func (h *host) run() {
	h.w.t.Helper()
	h.store = h.w.server.Client()
	schedule, err := member.NewSchedule(9*time.Second, 1500*time.Millisecond)
	require.NoError(h.w.t, err)
	c := fleet.Config{
		Fleet: "f", Name: h.name, Schedule: schedule, Store: h.store, Guard: h.guard, Clock: h.w.clock, StateDir: h.dir,
		Spawner: h.spawner,
		Parse:   parse, Provider: h.local, Logger: slog.New(h.log), Tell: h.tell,
	}
	h.change(&c)
	h.Host, err = fleet.Open(c)
	require.NoError(h.w.t, err)
	h.daemon, err = supervisor.New(supervisor.Config{
		Provider: h.Provider(), Spawner: h.Host.Spawner(), Ports: fake.NewPorts(), Health: fake.NewHealthChecker(nil),
		Memory: h.memory,
		Logger: slog.New(h.log), StartParallel: 1000, Observe: []supervisor.Observer{h.Observer()},
	})
	require.NoError(h.w.t, err)
}

func (h *host) tell(e messages.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.told = append(h.told, e)
}

// events returns what was told of that.
func (h *host) events(what messages.EventType) (list []messages.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.told {
		if e.What == what {
			list = append(list, e)
		}
	}
	return list
}

// kill ends the daemon as kill -9 does.
func (h *host) kill() {
	h.guard.freeze(true)
	require.NoError(h.w.t, h.store.Close())
	require.NoError(h.w.t, h.daemon.Detach(context.Background()))
	require.NoError(h.w.t, h.Close())
	h.guard.freeze(false)
	h.daemon = nil
}

// crash ends all of the host: its daemon, its leash and its processes.
func (h *host) crash() {
	h.kill()
	h.guard.die()
	for _, p := range h.spawner.Live() {
		p.Exit(137)
	}
}

// end is that of the test.
func (h *host) end() {
	if h.daemon != nil {
		h.kill()
	}
	h.guard.die()
	for _, p := range h.spawner.Live() {
		p.Exit(0)
	}
	time.Sleep(time.Second)
	synctest.Wait()
}

// runs says where the instance has a live process.
func (w *world) runs(id messages.InstanceID) (names []string) {
	synctest.Wait()
	for name, h := range w.hosts {
		for _, p := range h.spawner.Live() {
			if p.App.InstanceID == id {
				names = append(names, name)
			}
		}
	}
	return names
}

func (w *world) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// apply puts specs on the list, by way of that host.
func (h *host) apply(specs map[messages.InstanceID]string) {
	h.w.t.Helper()
	raw := map[messages.InstanceID]json.RawMessage{}
	for id, s := range specs {
		raw[id] = json.RawMessage(s)
	}
	_, err := h.Apply(context.Background(), raw, false)
	require.NoError(h.w.t, err)
}

const (
	fenced = `{"db_name":"a.db","movable":true}`
	bound  = `{"db_name":"a.db"}`
	loose  = `{"db_name":"a.db","movable":true,"fence":"none","labels":{"twice":"may be"}}`
)

// guard is a disk and a leash in the test's hand. The leash kills as the real one does.
type guard struct {
	h *host

	mu      sync.Mutex
	record  member.Record
	marks   map[messages.InstanceID]leash.Mark
	frozen  bool // the daemon is dead: nothing of it arrives
	full    error
	alive   bool
	stop    chan struct{}
	gone    func(string)
	started int
	entered int
	endings int
}

func (g *guard) freeze(frozen bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.frozen = frozen
	if frozen {
		g.gone = nil
	}
}

func (g *guard) Boot() string { return "boot" }

func (g *guard) Load() (member.Record, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.record, nil
}

func (g *guard) Write(r member.Record) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.full != nil {
		return g.full
	}
	if !g.frozen {
		g.record = r
	}
	return nil
}

func (g *guard) Ensure(gone func(string)) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.gone = gone
	if g.alive {
		return nil
	}
	g.alive, g.stop = true, make(chan struct{})
	g.started++
	go g.guard(g.stop)
	return nil
}

func (g *guard) die() {
	g.mu.Lock()
	gone := g.gone
	if g.alive {
		g.alive = false
		close(g.stop)
	}
	g.mu.Unlock()
	if gone != nil {
		gone("it was killed")
	}
}

// guard is the life of a leash.
func (g *guard) guard(stop chan struct{}) {
	t := time.NewTicker(50 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-stop:
			return
		case <-t.C:
		}
		g.mu.Lock()
		over := g.h.w.clock.Now() >= int64(g.record.KillAt)
		marks := maps.Clone(g.marks)
		g.mu.Unlock()
		if !over {
			continue
		}
		for _, p := range g.h.spawner.Live() {
			if _, is := marks[p.App.InstanceID]; is {
				g.mu.Lock()
				g.endings++
				g.mu.Unlock()
				_ = p.Signal(syscall.SIGKILL, messages.LeftoversEnd)
			}
		}
	}
}

func (g *guard) Fence(id messages.InstanceID, m leash.Mark) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.marks[id] = m
	return nil
}

func (g *guard) Unfence(id messages.InstanceID) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.marks, id)
	return nil
}

func (g *guard) Marked() (map[messages.InstanceID]leash.Mark, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return maps.Clone(g.marks), nil
}

func (g *guard) Enter() (func(), error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.entered++
	return func() { g.mu.Lock(); g.entered--; g.mu.Unlock() }, nil
}

// fill makes every write of the deadline fail, until it is called with nil.
func (g *guard) fill(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.full = err
}
