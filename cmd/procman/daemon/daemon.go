package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"procman/actors"
	"procman/actors/budget"
	"procman/actors/health"
	"procman/actors/output"
	"procman/actors/port"
	"procman/actors/spawn"
	"procman/cmd/procman/hooks"
	"procman/cmd/procman/systemd"
	"procman/messages"
	"procman/supervisor"
	"procman/supervisor/api"
	"procman/supervisor/config"
	"procman/supervisor/engine"
	"procman/supervisor/fleet"
)

// daemon is a supervisor with all that it needs, and the API in front of it.
type daemon struct {
	log        log
	spawner    *spawn.Spawner
	provider   *provider
	ports      *port.Ports
	events     eventLog
	supervisor *supervisor.Supervisor
	fleet      *fleet.Host // nil: this host is in none
	notifier   *systemd.Notifier
	server     *api.Server
	served     chan error
	ends       chan api.Mode   // asked for by the API
	origin     origin          // how its own program is found
	upgrades   chan *successor // the program that takes over
	successor  *successor      // that program, once the daemon makes room for it
	kept       []os.Signal     // for that program
	reloads    chan struct{}   // a reload waits for its turn
	reloading  sync.Mutex      // held by the reload under way
	terms      int             // so often was it told to end by a signal
	serving    sync.WaitGroup
	socketNow  chan struct{} // the socket is to be looked at now
	good       *lastGoodWriter
	hooks      *hooks.Hooks
	pendingIO  *PendingIO
	heap       *heap
	ending     bool
	farewell   string // what became of the instances at its end
	end        sync.WaitGroup
	closers    []closer // of the parts, in the order in which they were opened
}

type closer struct {
	part  string
	close func() error
}

// handover is what an earlier daemon may have left to this one.
type handover struct {
	*Options
	lock    *os.File            // on the state directory, by an upgrade
	manager *systemd.Queue      // to the service manager; nil: there is none
	store   *systemd.FDStore    // where process handles are kept; nil: nowhere
	stored  map[string]*os.File // those that are kept there; a nil one has not been handed to this process
	renew   bool                // what is kept there is not known
	origin  origin
	guard   *guard // of the upgrade by which this daemon has come
	instead error  // why the last good configuration is in force; nil: it is not
	failed  string // why an upgrade came to nothing; empty: none did
}

// open opens the parts, one after the other. When one cannot be had, those before it are closed, and no process has
// been touched.
func open(path string, file *config.File, log log, left handover) (_ *daemon, err error) {
	d := &daemon{
		log: log, origin: left.origin, served: make(chan error, 8), socketNow: make(chan struct{}, 1),
		ends: make(chan api.Mode, 1), upgrades: make(chan *successor, 1), reloads: make(chan struct{}, 1),
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close())
		}
	}()

	done := left.PendingIO.Begin("the state directory " + string(file.StateDir))
	defer func() { done() }()
	if left.lock == nil {
		if err := repointed(file, left.Env); err != nil {
			return nil, err
		}
	}
	room := budget.New(budget.Options{Relieve: func() bool { return d.ports != nil && d.ports.ReleaseParked() }})
	spawner, err := spawn.Open(file.StateDir, spawn.Options{
		Cgroups: true,
		Logger:  log.Logger, Orphans: spawn.AdoptsOrphans(), Lock: left.lock, Store: left.store.ForSpawner(),
		Stored: left.stored, Room: room.Room,
	})
	if err != nil {
		return nil, err
	}
	d.spawner, d.pendingIO = spawner, left.PendingIO
	d.opened("the state directory", spawner.Close)
	dir := spawner.Dir() // the directory that is held, whatever its name comes to mean
	d.events = openEventLog(dir.Events(), log)
	d.opened("the event log", d.events.Close)
	done()
	done = left.PendingIO.Begin("the socket " + file.Socket)
	listeners, err := openListeners(file, log, left.lock != nil || left.standsIn)
	if err != nil {
		return nil, err
	}
	d.opened("the addresses", listeners.Close)
	done()
	done = left.PendingIO.Begin(fmt.Sprintf("the state directory %s, or the configuration %s,",
		file.StateDir, file.Path))
	// Before anything that tells what instances say: it knows their secrets.
	if d.provider, err = newProvider(path, dir, file, log.Logger); err != nil {
		return nil, err
	}
	d.provider.pendingIO = left.PendingIO
	d.opened("the configuration", d.provider.Close)
	d.opened("the watch of the files of instances", d.provider.renewal.Close)
	d.good = keepLastGood(dir, d.provider.Provider, func(text []byte) {
		if now := d.provider.File(); now.StateDir != file.StateDir || now.Socket != file.Socket {
			text = nil // where it says that its daemon is, this one is not
		}
		if err := Point(file, text, left.Env); err != nil {
			log.Debug("what is in force cannot be left in a runtime directory", "error", err.Error())
		}
	}, log.Logger)
	d.opened("the last good configuration", d.good.Close)
	parts, err := engine.Prepare(engine.Options{
		Spawner: spawner, Supervisor: supervisor.Config{Logger: log.Logger},
		Ports: port.Options{First: file.Ports.First, Last: file.Ports.Last, Hold: file.Ports.Hold},
		Output: output.Options{MaxSize: file.Output.MaxSize, Total: file.Output.Total, Forward: file.Output.Forward,
			Mask: d.provider.secrets.Mask, Moved: d.outputMoved, Logger: log.output, Lend: true,
			Settled: log.writer.Settled},
	})
	if err != nil {
		return nil, err
	}
	d.ports = parts.Ports
	d.opened("ports and output", parts.Close)
	d.provider.leaseFrom(parts.Ports, file.Ports)
	d.provider.keepFrom(parts.Outputs, file.Output.Total)
	warnOfOverlap(log.Logger, file.Ports)
	for _, f := range Distrust(file, os.Geteuid()) {
		log.Warn("others than the daemon's user could interfere", "check", f.Check, "what", f.What,
			"means", f.Means, "do", f.Do)
	}
	limit := budget.Limit()
	shares := budget.Of(limit)
	if limit > 0 {
		d.warnOfFiles(limit, file)
	}
	if err := budget.Threads(spareThreads); err != nil {
		log.Warn("the manager is short of threads", "error", err.Error())
	}
	build := VersionOf(debug.ReadBuildInfo())
	told := hooks.New(hooks.Options{Hooks: func() []config.Hook { return d.provider.File().Hooks }, Host: hostName(),
		StateDir: string(file.StateDir),
		Env:      func(name string) (string, bool) { value := left.Env(name); return value, value != "" },
		Logger:   log.Logger})
	d.opened("the hooks", told.Close)
	d.hooks = told
	collector := newCollector(build, parts.Outputs, told.Counters, d.fleetForMetrics(file), log.Logger)
	scrape := collector.Handler()
	d.tell(messages.Event{What: messages.ManagerStarted, By: messages.ByManager,
		Why: fmt.Sprintf("version %s, pid %d", build, os.Getpid()),
		Details: []slog.Attr{slog.String("version", build.String()), slog.Int("pid", os.Getpid()),
			slog.String("config", file.Path),
			slog.String("state_dir", string(file.StateDir)), slog.String("socket", file.Socket)}})
	d.sayInstead(left.instead, file)
	if err := Point(file, nil, left.Env); err != nil {
		log.Debug("where the daemon is cannot be left in a runtime directory", "error", err.Error())
	}
	d.opened("the log", func() error {
		d.tell(messages.Event{What: messages.ManagerStopped, By: messages.ByManager, Why: d.farewell})
		return nil
	})
	holds := func() bool { return d.provider.leasing().Hold }
	held := newHeldPorts(log.Logger, holds, parts.Outputs.Read)
	d.opened("the look at held ports", held.Close)
	d.heap = newHeap(left.Env)
	d.opened("what gives memory back", d.heap.Close)
	remembers := remembering{spawner, "the state directory " + string(file.StateDir), left.PendingIO}
	if err := d.openFleet(left.Options, file, remembers, build.String()); err != nil {
		return nil, err
	}
	provides, spawns, observers := supervisor.AppInstanceProvider(d.provider), actors.Spawner(remembers),
		[]supervisor.Observer(nil)
	if d.fleet != nil {
		provides, spawns, observers = d.fleet.Provider(), d.fleet.Spawner(), []supervisor.Observer{d.fleet.Observer()}
	}
	d.supervisor, err = parts.Supervise(supervisor.Config{
		Provider: provides, Spawner: spawns, Memory: remembers, Archive: remembers,
		Health: collector.Checker(health.New(health.Options{
			Owner: true, Concurrency: shares.Probes, Opened: room.Lend, Command: parts.Spawner.RunCheck,
			Mask: d.provider.secrets.Mask,
		})),
		StartParallel: file.Start.Parallel, Budget: room, Terms: Terms(),
		Keep: func() time.Duration { return d.provider.File().Output.Keep },
		Observe: append(observers, supervisor.Observer{Event: d.events.Append}, collector.Observer(),
			supervisor.Observer{Reconciled: d.good.reconciled},
			supervisor.Observer{Reconciled: d.provider.reconciled}, supervisor.Observer{Event: held.event},
			supervisor.Observer{Event: told.Event},
			supervisor.Observer{Event: d.heap.event, Reconciled: d.heap.reconciled}),
	})
	if err != nil {
		return nil, err
	}
	d.opened("the supervisor", func() error {
		select {
		case <-d.supervisor.Done():
			return nil // how it ended is told by then
		default:
			return d.supervisor.Detach(context.Background())
		}
	})
	d.provider.renewal.with <- d.supervisor
	collector.Watch(d.supervisor)
	switch {
	case listeners.metrics != nil:
		d.opened("the metrics", d.serveMetrics(listeners.metrics, scrape))
	case file.Metrics.Listen != "":
		d.beside("the metrics", func(ctx context.Context) {
			if l := d.listenLater(ctx, "metrics.listen", file.Metrics.Listen); l != nil {
				end := d.serveMetrics(l, scrape)
				<-ctx.Done()
				_ = end() // nobody is owed an answer
			}
		})
	}
	if file.Metrics.Socket != "" {
		d.beside("the socket of the metrics",
			func(ctx context.Context) { d.scrapedAt(ctx, file.Metrics.Socket, listeners, scrape) })
	}
	d.notifier = systemd.NewNotifier(left.manager, d.supervisor, log.Logger)
	d.opened("the notices to the service manager", d.notifier.Close)
	d.server, err = api.New(api.Options{
		Supervisor: d.supervisor, Fleet: d.fleetForAPI(), Logs: parts.Outputs.Read, Events: d.events.Read,
		Metrics: scrape, Plan: d.plan, Holds: holds,
		Pending: d.provider.pending, Shutdown: d.endAs, Upgrade: d.upgrade, ConfigError: d.provider.fault,
		Waits: d.waits, Logger: log.Logger,
		Connections: shares.Connections, Opened: room.Lend, ReadGroup: listeners.readers, Use: collector.Use,
		Manager: api.Manager{PID: os.Getpid(), Version: build.String(), StartedAt: time.Now(), StateDir: file.StateDir,
			Config: file.Path, Program: left.origin.running, UpgradeFailed: left.failed},
	})
	if err != nil {
		return nil, err
	}
	booting, answer := context.WithTimeout(context.Background(), BootTime)
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		if d.boot(booting) {
			left.guard.dismiss()
		}
		answer() // its timer wakes an idle manager
		d.heap.opened()
		if listeners.remote != nil {
			d.serveRemote(listeners.remote, file)
		}
		if listeners.socket != nil {
			d.serve(listeners.socket)
		}
	}()
	d.beside("the examination of the host", d.examine)
	d.beside("the look for old pointers", func(ctx context.Context) {
		if err := prune(ctx, left.Env); err != nil {
			log.Debug("old pointers to daemons cannot be removed", "error", err.Error())
		}
	})
	d.opened("the API", func() error {
		answer()
		err := d.server.Close()
		<-answered
		d.serving.Wait()
		return err
	})
	if file.API.Listen != "" && listeners.remote == nil {
		d.beside("the wait for the address of the API", func(ctx context.Context) {
			if l := d.listenLater(ctx, "api.listen", file.API.Listen); l != nil {
				d.serveRemote(l, file)
			}
		})
	}
	d.beside("the watch of the socket", func(ctx context.Context) {
		d.keepSocket(ctx, keptSocket{file.Socket, listeners.readers, true, d.serveToo}, listeners.socket)
	})
	return d, nil
}

// sayInstead says loudly that the configuration on disk is not the one in force.
func (d *daemon) sayInstead(why error, file *config.File) {
	if why == nil {
		return
	}
	since := ""
	var instead *InsteadError
	if errors.As(why, &instead) {
		since = ", of " + instead.At.Format(time.RFC3339) + ","
	}
	text, help := "the configuration cannot be used; the last good one"+since+" is in force",
		"correct the file; it is watched, and comes into force then"
	if errors.Is(why, ErrUndecided) {
		text = "the configuration may be half of what is meant; what it has lost of the last good one" + since +
			" is in force too"
		help = "restore the file, or confirm it by `procman reload`"
	}
	d.tell(messages.Event{What: messages.ConfigRejected, By: messages.ByManager, Bad: true,
		Why: "at the start: " + text + ": " + strings.TrimPrefix(why.Error(), BrokenConfiguration) + "; " + help,
		Details: []slog.Attr{slog.String("consequence", text), slog.String("config", file.Path),
			slog.String("error", why.Error()), slog.String("help", help)}})
}

// spareThreads are made while there is room for them, see package budget: more system calls of the manager than that do
// not block at the same time.
const spareThreads = 8

// warnOfFiles says at the start what will not fit.
func (d *daemon) warnOfFiles(limit uint64, file *config.File) {
	fit, wanted := budget.Fits(limit, budget.OwnFiles, budget.Each(file.Ports.Hold)), 0
	for _, a := range file.Instances {
		if !a.Disabled {
			wanted++
		}
	}
	if fit < wanted {
		d.log.Warn("the limit of open files is too low for the list", "limit", limit, "fit", fit, "instances", wanted,
			"consequence", "the others wait until there is room",
			"do", "raise it: LimitNOFILE= of the service, or ulimit -n before the daemon is started")
	}
}

// BootTime is how long callers may be kept waiting for the instances to be known.
const BootTime = 10 * time.Second

// boot returns when the first list is in force, and whether it is. Before that a caller would hear that there are no
// instances, which is not known yet. A list that cannot be had is told by the supervisor.
func (d *daemon) boot(ctx context.Context) (listed bool) {
	select {
	case <-d.supervisor.Listed():
		return true
	case <-d.supervisor.Done():
	case <-ctx.Done():
	}
	return false
}

// waits says for what the daemon waits while what runs is not known, or the list not read; empty: it is not late.
func (d *daemon) waits() string { return d.pendingIO.Stalled(ioSaid) }

// remembering is a spawner that notes when it reads what is on record of all instances.
type remembering struct {
	*spawn.Spawner
	what      string
	pendingIO *PendingIO
}

func (s remembering) Recall(ctx context.Context) ([]messages.Memory, error) {
	defer s.pendingIO.Begin(s.what)()
	return s.Spawner.Recall(ctx)
}

func (s remembering) Survivors(ctx context.Context) ([]messages.Survivor, error) {
	defer s.pendingIO.Begin(s.what)()
	return s.Spawner.Survivors(ctx)
}

// tell tells what happened to the daemon itself, as a supervisor tells the rest.
func (d *daemon) tell(e messages.Event) {
	e.At = time.Now()
	e.Log(d.log.Logger)
	d.events.Append(e)
	if d.hooks != nil {
		d.hooks.Event(e)
	}
}

// hostName is what this host is called; empty: it has no name.
func hostName() string {
	name, _ := os.Hostname() // without one it is not said
	return name
}

// outputMoved tells the event log, and with it `why`, that an output file is not what its process writes to.
func (d *daemon) outputMoved(id messages.InstanceID, run, pid int, why string) {
	d.events.Append(messages.Event{At: time.Now(), What: messages.OutputMoved, ID: id, By: messages.ByManager,
		Run: run, PID: pid, Why: why, Bad: true})
}

func (d *daemon) opened(part string, close func() error) {
	d.closers = append(d.closers, closer{part, close})
}

// beside opens a part that is a goroutine; to close it is to end its context.
func (d *daemon) beside(part string, run func(context.Context)) {
	ctx, end := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() { run(ctx) })
	d.opened(part, func() error { end(); work.Wait(); return nil })
}

// How long a part may take to be closed, and each part after one that took longer.
const (
	partPatience  = 4 * time.Second
	partImpatient = time.Second
)

// close closes the parts, the last one first. One that waits for a disk which does not answer is left behind, and that
// is said: the end of a daemon does not wait for it.
func (d *daemon) close() error {
	d.log.writer.EndPatience()
	var errs []error
	patience := partPatience
	for _, c := range slices.Backward(d.closers) {
		closed := make(chan error, 1)
		go func() { closed <- c.close() }()
		late := time.NewTimer(patience)
		var err error
		select {
		case err = <-closed:
		case <-late.C:
			patience = partImpatient
			err = errors.New("it still waits for the operating system, and is left behind")
		}
		late.Stop()
		if err != nil {
			err = fmt.Errorf("closing %s: %w", c.part, err)
			d.log.Error("a part of the manager could not be closed", "error", err.Error())
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
