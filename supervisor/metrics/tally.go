package metrics

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync/atomic"

	"procman/messages"
	"procman/supervisor"
)

// tally is what was counted of one instance.
type tally struct {
	restarts map[messages.ExitReason]uint64
	failures uint64
}

// Observer returns what counts: see supervisor.Config.Observe. It takes no longer than a lookup of each instance that
// something was counted of.
func (c *Collector) Observer() supervisor.Observer {
	return supervisor.Observer{Event: c.event, Transition: c.transition, Reconciled: c.reconciled}
}

func (c *Collector) event(e messages.Event) {
	if e.What == messages.ConfigRejected {
		c.accepted.Set(0)
	}
}

func (c *Collector) reconciled(r messages.Reconciled) {
	c.listed.Set(float64(r.Listed))
	c.accepted.Set(1)
	c.reconcile.Observe(r.Took.Seconds())
	c.forget(r)
}

func (c *Collector) transition(t messages.Transition) {
	switch {
	case t.Event != "Launched":
	case t.Status.Adopted:
		c.adopted.Inc()
	case t.Status.Restarts > 0:
		c.count(t.ID, func(y *tally) { y.restarts[reasonOf(t.Status.LastExit)]++ })
	default: // the first start: what was counted before was of an earlier instance of that name
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.tallies, t.ID)
	}
}

// reasonOf is the reason of a restart after that exit.
func reasonOf(x *messages.Exit) messages.ExitReason {
	if x == nil || !slices.Contains(reasons(), x.Reason) {
		return messages.ReasonUnknown
	}
	return x.Reason
}

func (c *Collector) count(id messages.InstanceID, add func(*tally)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.tallies[id]
	if t == nil {
		t = &tally{restarts: map[messages.ExitReason]uint64{}}
		c.tallies[id] = t
	}
	add(t)
}

// tally returns a copy of what was counted of the instance.
func (c *Collector) tally(id messages.InstanceID) tally {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.tallies[id]
	if t == nil {
		return tally{}
	}
	return tally{maps.Clone(t.restarts), t.failures}
}

// forget drops what was counted of instances that are no longer known. What is left of those that end just now goes
// with the next list that something leaves, or once there are more of them than instances.
func (c *Collector) forget(r messages.Reconciled) {
	s := c.supervisor.Load()
	c.mu.Lock()
	defer c.mu.Unlock()
	if s == nil || r.Removed == 0 && len(c.tallies) <= r.Listed {
		return
	}
	for id := range c.tallies {
		if _, known := (*s).Lookup(id); !known {
			delete(c.tallies, id)
		}
	}
}

// Checker returns a health checker that has inner check, and measures it; it is a supervisor.BatchChecker if inner is
// one. A probe that asked nothing counts nowhere, and neither does one that was broken off.
func (c *Collector) Checker(inner supervisor.HealthChecker) supervisor.HealthChecker {
	if batch, is := inner.(supervisor.BatchChecker); is {
		return &batchChecker{checker{inner, c}, batch}
	}
	return &checker{inner, c}
}

type checker struct {
	inner supervisor.HealthChecker
	tell  *Collector
}

// Check has the inner checker check.
func (k *checker) Check(ctx context.Context, t messages.Target) messages.Probe {
	p := k.inner.Check(ctx, t)
	if !errors.Is(ctx.Err(), context.Canceled) {
		k.measure(t.ID, p)
	}
	return p
}

func (k *checker) measure(id messages.InstanceID, p messages.Probe) {
	if p.Void {
		return
	}
	k.tell.probe.Observe(p.Latency.Seconds())
	if !p.OK {
		k.tell.count(id, func(y *tally) { y.failures++ })
	}
}

type batchChecker struct {
	checker
	batch supervisor.BatchChecker
}

// Begin has the inner checker begin.
func (k *batchChecker) Begin(t messages.Target, done func(messages.Probe)) (cancel func()) {
	var over atomic.Bool // broken off
	end := k.batch.Begin(t, func(p messages.Probe) {
		if !over.Load() {
			k.measure(t.ID, p)
		}
		done(p)
	})
	return func() {
		over.Store(true)
		end()
	}
}
