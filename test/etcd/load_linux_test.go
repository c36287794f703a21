package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"procman/messages"
	"procman/supervisor"
	"procman/supervisor/fleet"
	"procman/supervisor/fleet/etcd"
	"procman/supervisor/fleet/leash"
	"procman/supervisor/fleet/member"
	"procman/test/fake"
)

// serveEnv has this program be an etcd, so that what that uses is its own: its data is in the directory that it names.
const serveEnv = "PROCMAN_ETCD_SERVE"

func TestMain(m *testing.M) {
	if dir := os.Getenv(serveEnv); dir != "" {
		c, err := Start(Config{Dir: dir, Members: 1, Progress: 10 * time.Minute}) // etcd's own default
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(c.Endpoints[0])
		_, _ = io.Copy(io.Discard, os.Stdin) // until who started it ends
		c.Close()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// serve starts an etcd that is a process of its own.
func serve(t *testing.T) (endpoint string, pid int) {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env, c.Stderr = append(os.Environ(), serveEnv+"="+t.TempDir()), t.Output()
	in, err := c.StdinPipe()
	require.NoError(t, err)
	out, err := c.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.Start())
	t.Cleanup(func() {
		_ = in.Close()
		_ = c.Wait()
	})
	_, err = fmt.Fscanln(out, &endpoint)
	require.NoError(t, err)
	return endpoint, c.Process.Pid
}

// load is a fleet whose hosts and instances are real to etcd, and whose processes are not.
type load struct {
	t        *testing.T
	endpoint string
	hosts    []*loaded
	started  atomic.Int64
	suspects atomic.Int64
}

// loaded is a host of it.
type loaded struct {
	*fleet.Host
	store   *etcd.Store
	spawner *fake.Spawner
	daemon  *supervisor.Supervisor
}

// join begins one more host, with a connection of its own to etcd.
func (l *load) join(name string) *loaded {
	l.t.Helper()
	log := slog.New(slog.DiscardHandler)
	schedule, err := member.NewSchedule(9*time.Second, 1500*time.Millisecond)
	require.NoError(l.t, err)
	h := &loaded{spawner: fake.NewSpawner(l.t)}
	h.spawner.OnSpawn(func(*fake.Process) { l.started.Add(1) })
	h.store, err = etcd.Open(etcd.Options{Endpoints: []string{l.endpoint}, Logger: log})
	require.NoError(l.t, err)
	h.Host, err = fleet.Open(fleet.Config{
		Fleet: "load", Name: name, Schedule: schedule, Store: h.store,
		Guard: &marks{all: map[messages.InstanceID]leash.Mark{}}, Clock: leash.HostClock(),
		StateDir: messages.StateDir(l.t.TempDir()), Spawner: h.spawner, Logger: log, Version: "1.0.0",
		API: "https://" + name + ":8443",
		Parse: func(id messages.InstanceID, spec []byte) (messages.AppInstance, error) {
			var s struct {
				Wasm string `json:"wasm_path"`
				DB   string `json:"db_name"`
			}
			err := json.Unmarshal(spec, &s)
			return messages.AppInstance{InstanceID: id, WasmPath: s.Wasm, DbName: s.DB}.WithDefaults(), err
		},
		Tell: func(e messages.Event) {
			if e.What == messages.FleetChanged && e.Bad {
				l.suspects.Add(1)
			}
		},
	})
	require.NoError(l.t, err)
	h.daemon, err = supervisor.New(supervisor.Config{
		Provider: h.Provider(), Spawner: h.Host.Spawner(), Ports: fake.NewPorts(), Health: fake.NewHealthChecker(nil),
		Memory: fake.NewMemory(),
		Logger: log, StartParallel: 1000, Observe: []supervisor.Observer{h.Observer()},
	})
	require.NoError(l.t, err)
	return h
}

// lose ends a host as the loss of its machine does: nothing is revoked, and nothing given back.
func (l *load) lose(h *loaded) {
	_ = h.store.Close()
	_ = h.daemon.Detach(l.t.Context())
	_ = h.Close()
	for _, p := range h.spawner.Live() {
		p.Exit(137)
	}
}

func (l *load) until(what string, holds func() bool) time.Duration {
	l.t.Helper()
	began := time.Now()
	if !assert.Eventually(l.t, holds, 5*time.Minute, 10*time.Millisecond, what) {
		l.t.Fatalf("%d are assigned, %d were started, %d were taken over", l.assigned(), l.started.Load(),
			l.takeovers())
	}
	return time.Since(began).Round(10 * time.Millisecond)
}

// assigned is how many instances run on some host.
func (l *load) assigned() (n int) {
	for _, h := range l.hosts {
		n += h.Standing().Assigned
	}
	return n
}

func (l *load) takeovers() (n uint64) {
	for _, h := range l.hosts {
		n += h.Standing().Takeovers
	}
	return n
}

// entry is an instance as users write one.
func entry(n int) (messages.InstanceID, json.RawMessage) {
	id := messages.InstanceID(fmt.Sprintf("application-%07d", n))
	return id,
		json.RawMessage(
			fmt.Sprintf(
				`{"wasm_path":"apps/users.wasm","db_name":"%s.db","movable":true,"env":{"LOG_LEVEL":"info","REGION":"eu-north-1"},`+
					`"labels":{"team":"accounts"},"health":{"interval":"10s"}}`, id))
}

// PROCMAN_ETCD_LOAD=HOSTS,INSTANCES says how many; without it few show that no request of a host's goes to etcd because
// of another host's instance.
func TestWhatAFleetAsksOfEtcdIsARenewalOfEachHostAndWhatChanges(t *testing.T) {
	hosts, instances, rest := 5, 50, 4*time.Second
	const step = 500 // or the processors that all hosts share here are not enough for the renewals
	if size := os.Getenv("PROCMAN_ETCD_LOAD"); size != "" {
		_, err := fmt.Sscanf(size, "%d,%d", &hosts, &instances)
		require.NoError(t, err, "PROCMAN_ETCD_LOAD is HOSTS,INSTANCES")
		rest = 30 * time.Second
	}
	l := &load{t: t}
	var pid int
	l.endpoint, pid = serve(t)
	m := &meter{t: t, endpoint: l.endpoint, pid: pid}
	t.Cleanup(func() {
		var all sync.WaitGroup
		for _, h := range l.hosts {
			all.Go(func() { l.lose(h) })
		}
		all.Wait()
	})

	m.begin()
	for n := range hosts {
		l.hosts = append(l.hosts, l.join(fmt.Sprintf("host-%04d", n)))
	}
	l.until("all hosts are members", func() bool {
		return !slices.ContainsFunc(l.hosts, func(h *loaded) bool { return h.Standing().Phase != string(member.In) })
	})
	m.end("%d hosts join", hosts)
	m.begin()
	for at := 0; at < instances; at += step {
		specs := map[messages.InstanceID]json.RawMessage{}
		for n := at; n < min(at+step, instances); n++ {
			id, text := entry(n)
			specs[id] = text
		}
		_, err := l.hosts[0].Apply(t.Context(), specs, false)
		require.NoError(t, err)
		l.until("all run",
			func() bool { return l.assigned() == at+len(specs) && l.started.Load() >= int64(at+len(specs)) })
	}
	used := m.end("%d instances are listed, claimed and started", instances)
	require.Zero(t, l.takeovers(), "nobody was lost")
	most := instances + instances/10 + (instances+step-1)/step*((step+127)/128)
	if used.took > fleet.DefaultPace().Pause {
		most += instances // the next one had the turn
	}
	require.LessOrEqual(t, used.calls["Txn"], float64(most), "each is claimed once, and few in vain")

	m.begin()
	time.Sleep(rest)
	used = m.end("they run, a second")
	if renewals := rest.Seconds() / 2 * float64(hosts); l.suspects.Load() == 0 { // else the machine was too busy
		require.InDelta(t, renewals, used.calls["LeaseKeepAlive"], renewals/3+float64(hosts), "one each two seconds")
		require.Zero(t, used.calls["Range"]+used.calls["Txn"]+used.calls["LeaseGrant"],
			"and nothing else: %v", used.calls)
	}

	m.begin()
	id, text := entry(instances)
	_, err := l.hosts[0].Apply(t.Context(), map[messages.InstanceID]json.RawMessage{id: text}, false)
	require.NoError(t, err)
	l.until("it runs", func() bool { return l.assigned() == instances+1 })
	used = m.end("one is added")
	require.LessOrEqual(t, used.calls["Txn"], 3., "it is listed and claimed")
	require.LessOrEqual(t, used.calls["Range"], 1., "who lists it looks for it, and nobody reads the list again")

	if !testing.Short() {
		lost := l.hosts[hosts-1]
		moved := uint64(lost.Standing().Assigned)
		l.hosts = l.hosts[:hosts-1]
		m.begin()
		l.lose(lost)
		l.until("all that the lost host had is taken over",
			func() bool { return l.takeovers() >= moved && l.assigned() == instances+1 })
		used = m.end("a host is lost, and its %d are taken over", moved)
		require.LessOrEqual(t, used.calls["Txn"], 2*float64(moved)+3)

		m.begin()
		again := l.join(fmt.Sprintf("host-%04d", hosts-1))
		l.hosts = append(l.hosts, again)
		l.until("it is back",
			func() bool { return again.Standing().Phase == string(member.In) && again.Standing().Revision > 0 })
		m.end("it is back, and reads all")
	}
	at := map[messages.InstanceID]int{}
	for _, h := range l.hosts {
		for _, p := range h.spawner.Live() {
			at[p.App.InstanceID]++
		}
	}
	require.Len(t, at, instances+1)
	require.Equal(t, 1, slices.Max(slices.Collect(maps.Values(at))), "each runs once")
	m.hosts(hosts, instances)
	t.Logf("suspect or worse: %d times", l.suspects.Load())
}

// marks is what a leash would go by.
type marks struct {
	mu     sync.Mutex
	record member.Record
	all    map[messages.InstanceID]leash.Mark
}

var _ fleet.Guard = (*marks)(nil)

func (g *marks) Boot() string { return "boot" }

func (g *marks) Load() (member.Record, error) { return member.Record{}, nil }

func (g *marks) Write(r member.Record) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.record = r
	return nil
}

func (g *marks) Ensure(func(string)) error { return nil }

func (g *marks) Fence(id messages.InstanceID, m leash.Mark) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.all[id] = m
	return nil
}

func (g *marks) Unfence(id messages.InstanceID) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.all, id)
	return nil
}

func (g *marks) Marked() (map[messages.InstanceID]leash.Mark, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return maps.Clone(g.all), nil
}

func (g *marks) Enter() (func(), error) { return func() {}, nil }
