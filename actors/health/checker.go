package health

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"procman/messages"
)

// stalled is how long after a deadline who waited for it wakes up in a manager that gets its turns.
const stalled = 250 * time.Millisecond

// Options says how probes are made.
type Options struct {
	MaxBody     int64 // at most so many bytes of a response's body are read; 0: 64 KiB
	Owner       bool  // whether the listener must belong to the instance's process, see Checker.Check
	Concurrency int   // at most so many probes at a time; 0: any number
	// Mask gives what hides the secrets of an instance in what it answers, nil if it has none. Nil: nothing is masked.
	Mask func(messages.InstanceID) *messages.Masker
}

// Checker probes instances. It is safe for concurrent use and keeps nothing open between two probes.
type Checker struct {
	probers map[messages.HealthKind]prober
	mask    func(messages.InstanceID) *messages.Masker // nil: nothing is masked
	slots   chan struct{}                              // nil: no limit
	owners  *owners                                    // nil: do not ask
}

// prober makes the probes of one kind. It is used by many goroutines at once.
type prober interface {
	// probe asks once, until the deadline of t at the latest, and puts what comes back into p. It returns the address of the
	// listener if there is one, also beside an error. What the instance said that is not healthy is a verdict; of other
	// errors [explain] says what they mean.
	probe(ctx context.Context, t target, p *messages.Probe) (answerer *net.TCPAddr, err error)
}

// target is whom a prober asks, and how.
type target struct {
	messages.Target
	deadline time.Time
	mask     *messages.Masker // of what the instance says; nil hides nothing
}

// verdict is an error that says what is wrong with an instance that was asked.
type verdict interface {
	error
	// verdict says it in a short sentence, for the user, with the secrets of the instance masked before it is shortened.
	verdict(t target) string
}

// probers are the kinds of probes. A new kind is a line here, and a file of its own.
func probers(o Options) map[messages.HealthKind]prober {
	return map[messages.HealthKind]prober{
		messages.HealthHTTP: newHTTP(o.MaxBody),
	}
}

// New returns a checker.
func New(o Options) *Checker {
	c := &Checker{probers: probers(o), mask: o.Mask}
	if o.Concurrency > 0 {
		c.slots = make(chan struct{}, o.Concurrency)
	}
	if o.Owner {
		c.owners = newOwners()
	}
	return c
}

// Check asks the instance once, in the way that t.Policy.Kind names: HTTP asks for http://localhost:PORT/PATH, at 127.0.0.1
// and, if nothing listens there, at ::1. Only a complete response with status 200 within t.Policy.Timeout is healthy; of a
// body longer than the limit, the limit is enough. No proxy is used, no redirect followed, no name resolved, no compression
// asked for.
//
// If t.PID is not 0 and the checker asks for owners, the socket that listens on the port must belong to that process or to
// one of its run (see kernel.Circle), unless t.Policy.Owner is OwnerAny. If it belongs to somebody else, the probe has Conflict set
// and is not OK, whatever was answered. If the owner cannot be learned, the probe is judged without it.
//
// The time it waits for one of Options.Concurrency slots is part of the timeout, but not of Latency. It takes no
// longer than the timeout, apart from the look at the owner, which does not wait. When it returns, it has left no goroutine,
// no descriptor and no connection, not even one in TIME_WAIT.
func (c *Checker) Check(ctx context.Context, t messages.Target) messages.Probe {
	if t.Policy.Kind == "" || t.Policy.Path == "" || t.Policy.Timeout <= 0 {
		t.Policy = messages.AppInstance{Health: t.Policy}.WithDefaults().Health
	}
	began := time.Now()
	at := target{Target: t, deadline: began.Add(t.Policy.Timeout)}
	if d, ok := ctx.Deadline(); ok && d.Before(at.deadline) {
		at.deadline, at.Policy.Timeout = d, d.Sub(began).Round(time.Millisecond)
	}
	prober, known := c.probers[t.Policy.Kind]
	if !known {
		return messages.Probe{At: began, Error: fmt.Sprintf("not probed: health.kind %q is not known here", t.Policy.Kind), Void: true}
	}
	if err := c.enter(ctx, at.deadline); err != nil {
		return messages.Probe{At: began, Error: err.Error(), Void: true}
	}
	defer c.leave()

	if c.mask != nil {
		at.mask = c.mask(t.ID)
	}
	p := messages.Probe{At: time.Now()}
	answerer, err := prober.probe(ctx, at, &p)
	if p.Latency == 0 {
		p.Latency = time.Since(p.At)
	}
	if err != nil {
		p.Error, p.Void = explain(ctx, err, at)
		// Who wakes up long after the deadline was not there to see the answer, which may have come in time.
		if timedOut(err) && time.Since(at.deadline) > stalled {
			p.Error, p.Void = "not probed: the manager itself stood still while it waited for the answer", true
		}
	}
	c.identify(ctx, t, answerer, err, &p)
	p.OK = p.Error == ""
	p.Error = at.mask.Mask(p.Error)
	return p
}

// identify looks whether it was the instance that answered, and where that is if nobody did.
func (c *Checker) identify(ctx context.Context, t messages.Target, answerer *net.TCPAddr, err error, p *messages.Probe) {
	switch {
	case c.owners == nil || t.PID == 0 || t.Policy.Owner == messages.OwnerAny || ctx.Err() != nil:
	case answerer != nil:
		if stranger := c.owners.stranger(t.PID, t.Tag, answerer); stranger != "" {
			p.Conflict, p.Void = true, false
			p.Error = fmt.Sprintf("port %d is answered by another process (%s); if it serves for this instance, as the daemon behind `docker run` does, "+
				"set health.owner: any", t.Port, stranger)
		}
	case errors.Is(err, syscall.ECONNREFUSED):
		if elsewhere := elsewhere(t.PID, t.Port); elsewhere != "" {
			p.Error = elsewhere
		}
	}
}

func (c *Checker) enter(ctx context.Context, deadline time.Time) error {
	if c.slots == nil {
		return nil
	}
	late := time.NewTimer(time.Until(deadline))
	defer late.Stop()
	select {
	case c.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("not probed: %w", ctx.Err())
	case <-late.C:
		return fmt.Errorf("not probed: the limit of %d probes at a time was reached all along", cap(c.slots))
	}
}

func (c *Checker) leave() {
	if c.slots != nil {
		<-c.slots
	}
}
