package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"procman/actors/budget"
	"procman/actors/health"
	"procman/actors/output"
	"procman/actors/port"
	"procman/actors/spawn"
	"procman/messages"
	"procman/supervisor"
)

// Options are the choices of an [Engine]. StateDir (or Spawner) and the Provider of Supervisor are required.
type Options struct {
	// StateDir is where records, locks and output are; it is made if it is not there. One manager at a time has it.
	StateDir string
	// Supervisor has the Provider. Of its parts, those that are nil are the engine's.
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

// Parts are what a supervisor is made of. Nothing of an instance is touched by opening and closing them.
type Parts struct {
	Spawner *spawn.Spawner
	Outputs *output.Outputs
	Ports   *port.Ports

	options Options
	room    *budget.Budget
	closers []func() error
}

// Prepare opens the parts. The error says which of them could not be had.
func Prepare(o Options) (_ *Parts, err error) {
	log := cmp.Or(o.Supervisor.Logger, slog.Default())
	o.Supervisor.Logger, o.Output.Logger, o.Ports.Logger = log, cmp.Or(o.Output.Logger, log),
		cmp.Or(o.Ports.Logger, log)
	if o.Ports.First == 0 && o.Ports.Last == 0 {
		o.Ports.First, o.Ports.Last, o.Ports.Hold = 30000, 31000, true
	}
	p := &Parts{options: o, Spawner: o.Spawner}
	defer func() {
		if err != nil {
			err = fmt.Errorf("engine: %w", errors.Join(err, p.Close()))
		}
	}()
	p.room = budget.New(budget.Options{Relieve: func() bool { return p.Ports != nil && p.Ports.ReleaseParked() }})
	if p.Spawner == nil {
		p.Spawner, err = spawn.Open(messages.StateDir(o.StateDir), spawn.Options{
			Logger: log, Orphans: spawn.AdoptsOrphans(), Room: p.room.Room, Cgroups: true})
		if err != nil {
			return nil, err
		}
		p.closers = append(p.closers, p.Spawner.Close)
	}
	if p.Outputs, err = output.New(p.Spawner.Dir(), o.Output); err != nil {
		return nil, err
	}
	p.closers = append(p.closers, p.Outputs.Close)
	if p.Ports, err = port.New(o.Ports); err != nil {
		return nil, err
	}
	p.closers = append(p.closers, p.Ports.Close)
	return p, nil
}

// Supervise starts a supervisor of the parts; what c has itself, it keeps.
func (p *Parts) Supervise(c supervisor.Config) (*supervisor.Supervisor, error) {
	c.Logger = cmp.Or(c.Logger, p.options.Supervisor.Logger)
	if c.Spawner == nil {
		c.Spawner = p.Spawner
	}
	if c.Outputs == nil {
		c.Outputs = p.Outputs
	}
	if c.Ports == nil {
		c.Ports = p.Ports
	}
	if all := p.Spawner.Cgroups(); c.Cgroups == nil && all != nil {
		c.Cgroups = all
	}
	if c.Budget == nil {
		c.Budget = p.room
	}
	if c.Health == nil {
		o := *cmp.Or(p.options.Health, &health.Options{Owner: true, Concurrency: budget.Of(budget.Limit()).Probes})
		if o.Command == nil {
			o.Command = p.Spawner.RunCheck
		}
		c.Health = health.New(o)
	}
	return supervisor.New(c)
}

// Close closes the parts. Whoever uses them has ended before.
func (p *Parts) Close() error {
	var errs []error
	for _, end := range slices.Backward(p.closers) {
		errs = append(errs, end())
	}
	p.closers = nil
	return errors.Join(errs...)
}

// Engine is a running supervisor and the parts that it is made of.
type Engine struct {
	*supervisor.Supervisor
	*Parts
}

// Open adopts what a predecessor left in the state directory, and from then on keeps exactly the instances of the
// provider running. The error says which part could not be had; no process has been touched then.
func Open(o Options) (*Engine, error) {
	parts, err := Prepare(o)
	if err != nil {
		return nil, err
	}
	s, err := parts.Supervise(o.Supervisor)
	if err != nil {
		return nil, errors.Join(err, parts.Close())
	}
	return &Engine{s, parts}, nil
}

// Close ends the engine. Unless it was shut down before, what runs runs on.
func (e *Engine) Close() error {
	var err error
	select {
	case <-e.Done():
	default:
		err = e.Detach(context.Background())
	}
	return errors.Join(err, e.Parts.Close())
}
