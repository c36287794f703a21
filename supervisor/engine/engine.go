package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"procman/actors/budget"
	"procman/actors/health"
	"procman/actors/output"
	"procman/actors/port"
	"procman/actors/spawn"
	"procman/messages"
	"procman/supervisor"
)

// Options are the choices of an [Engine]. StateDir (or Spawner) and Provider are required.
type Options struct {
	// StateDir is where records, locks and output are; it is made if it is not there. One manager at a time has it.
	StateDir string
	// Supervisor has the Provider. What else of it is nil, the engine fills in: Spawner, Ports, Health, Outputs, Budget.
	Supervisor supervisor.Config
	// Ports is the range that is leased from; default 30000 to 31000, held.
	Ports port.Options
	// Output says how the instances' output is kept; default: 16 MiB of each stream, not forwarded.
	Output output.Options
	// Health says how instances are probed; default: the listener must be the instance's own.
	Health *health.Options
	// Spawner is one that the caller has opened, and closes; nil: one for StateDir.
	Spawner *spawn.Spawner
}

// Engine is a running supervisor and the parts it is made of.
type Engine struct {
	*supervisor.Supervisor
	Ports   *port.Ports
	Outputs *output.Outputs

	closers []func() error
	once    sync.Once
	err     error
}

// Open adopts what a predecessor left in the state directory, and from then on keeps exactly the instances of the provider
// running. The error says which part could not be had; no process has been touched then.
func Open(o Options) (_ *Engine, err error) {
	e := &Engine{}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.close())
		}
	}()
	c := o.Supervisor
	c.Logger = cmp.Or(c.Logger, slog.Default())
	room := budget.New(budget.Options{Relieve: func() bool { return e.Ports != nil && e.Ports.Relieve() }})
	if c.Budget == nil {
		c.Budget = room
	}
	spawner := o.Spawner
	if spawner == nil {
		spawner, err = spawn.Open(messages.StateDir(o.StateDir), spawn.Options{Logger: c.Logger, Orphans: spawn.AdoptsOrphans(), Room: room.Room})
		if err != nil {
			return nil, fmt.Errorf("engine: %w", err)
		}
		e.opened(spawner.Close)
	}
	if c.Spawner == nil {
		c.Spawner = spawner
	}
	o.Output.Logger = cmp.Or(o.Output.Logger, c.Logger)
	if e.Outputs, err = output.New(spawner.Dir(), o.Output); err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	e.opened(e.Outputs.Close)
	if o.Ports.First == 0 && o.Ports.Last == 0 {
		o.Ports.First, o.Ports.Last, o.Ports.Hold = 30000, 31000, true
	}
	o.Ports.Logger = cmp.Or(o.Ports.Logger, c.Logger)
	if e.Ports, err = port.New(o.Ports); err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	e.opened(e.Ports.Close)
	if c.Ports == nil {
		c.Ports = e.Ports
	}
	if c.Outputs == nil {
		c.Outputs = e.Outputs
	}
	if c.Health == nil {
		c.Health = health.New(*cmp.Or(o.Health, &health.Options{Owner: true, Concurrency: budget.Of(budget.Limit()).Probes}))
	}
	if e.Supervisor, err = supervisor.New(c); err != nil {
		return nil, err
	}
	e.opened(func() error {
		select {
		case <-e.Done():
			return nil
		default:
			return e.Detach(context.Background())
		}
	})
	return e, nil
}

func (e *Engine) opened(close func() error) { e.closers = append(e.closers, close) }

// Close ends the engine. Unless it was shut down before, what runs runs on. It may be called more than once.
func (e *Engine) Close() error {
	e.once.Do(func() { e.err = e.close() })
	return e.err
}

func (e *Engine) close() error {
	var errs []error
	for n := len(e.closers) - 1; n >= 0; n-- {
		errs = append(errs, e.closers[n]())
	}
	return errors.Join(errs...)
}
