package health

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"syscall"
	"time"

	"procman/messages"
)

// stalled is how long after a deadline who waited for it wakes up in a manager that gets its turns.
const stalled = 250 * time.Millisecond

// Options says how probes are made.
type Options struct {
	MaxBody int64 // at most so many bytes of a response's body are read; 0: 64 KiB
	Owner   bool  // whether the listener must belong to the instance's process, see Checker.Check
	// At most so many probes are made at a time; 0: any number. On Linux a third is for Check, and of what is begun a
	// third each for targets that are steady and for others: those that hang in their start keep nobody waiting who is
	// well.
	Concurrency int
	// Command runs the commands of messages.HealthCommand, so many at a time; nil: there are none. Commands: 0: four
	// for each core.
	Command  Command
	Commands int
	// Opened is told by how much the number of connections to instances has changed; nil: nobody is.
	Opened func(change int)
	// Mask gives what hides the secrets of an instance in what it answers, nil if it has none. Nil: nothing is masked.
	Mask func(messages.InstanceID) *messages.Masker
}

// Checker probes instances. It is safe for concurrent use and keeps nothing open between two probes.
type Checker struct {
	probers map[manner]prober
	mask    func(messages.InstanceID) *messages.Masker // nil: nothing is masked
	slots   chan struct{}                              // of Check; nil: no limit
	running chan struct{}                              // of commands
	owners  *owners                                    // nil: do not ask
	opened  func(change int)
	batch   *batch // nil: there is none
}

// prober makes the probes of one kind. It is used by many goroutines at once.
type prober interface {
	// probe asks once, until the deadline of t at the latest, and puts what comes back into p. It returns the address
	// of the listener if there is one, also beside an error. What the instance said that is not healthy is a verdict;
	// of other errors [explain] says what they mean.
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
	// verdict says it in a short sentence, for the user, with the secrets of the instance masked before it is
	// shortened.
	verdict(t target) string
}

// manner is how an instance is asked: the kind of its policy, or for HTTP with TLS the scheme.
type manner string

const (
	plainHTTP = manner(messages.HealthHTTP)
	overTLS   = manner(messages.SchemeHTTPS)
	commanded = manner(messages.HealthCommand)
)

func mannerOf(p messages.HealthPolicy) manner {
	if p.Check != nil && p.Kind == messages.HealthHTTP && p.Check.Scheme == messages.SchemeHTTPS {
		return overTLS
	}
	return manner(p.Kind)
}

// probers are the kinds of probes. A new kind is a line here, and a file of its own.
func probers(o Options) map[manner]prober {
	http := newHTTP(o.MaxBody)
	return map[manner]prober{
		plainHTTP:                  http,
		overTLS:                    newHTTPS(http),
		manner(messages.HealthTCP): overTCP{},
		commanded:                  byCommand{o.Command},
	}
}

// New returns a checker.
func New(o Options) *Checker {
	c := &Checker{probers: probers(o), mask: o.Mask, opened: o.Opened}
	if c.opened == nil {
		c.opened = func(int) {}
	}
	if o.Owner {
		c.owners = newOwners()
	}
	most := cmp.Or(max(o.Concurrency, 0), noLimit)
	c.running = make(chan struct{}, min(cmp.Or(max(o.Commands, 0), 4*runtime.GOMAXPROCS(0)), most))
	share := most / 3
	if c.batch = newBatch(c, share); c.batch == nil {
		share = 0
	}
	if o.Concurrency > 0 {
		c.slots = make(chan struct{}, o.Concurrency-2*share)
	}
	return c
}

// noLimit is more than there can be.
const noLimit = 1 << 20

// Begin begins a probe as Check makes it, and returns at once. What it waits for, it waits for with all others that
// were begun, on one goroutine, which ends with the last of them: an instance that is slow delays none. Only what does
// not go as it does with one that is well goes on in a goroutine of its own: an answer in many parts, a listener that
// has not been found before. done is told from the one or the other, within the timeout, and must not wait. The
// connection is closed within 100 ms after that.
//
// cancel breaks the probe off: nothing is left of it a moment later, and done is not told any more, unless it is being
// told.
func (c *Checker) Begin(t messages.Target, done func(messages.Probe)) (cancel func()) {
	if f := c.batch.flight(t, done); f != nil {
		c.batch.begin(f)
		return f.cancel
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer cancel()
		if p := c.Check(ctx, t); ctx.Err() == nil {
			done(p)
		}
	}()
	return cancel
}

// Check asks the instance once, in the way that t.Policy.Kind names: HTTP asks for http://localhost:PORT/PATH, at
// 127.0.0.1 and, if nothing listens there, at ::1. Only a complete response with status 200 within t.Policy.Timeout is
// healthy; of a body longer than the limit, the limit is enough. No proxy is used, no redirect followed, no name
// resolved, no compression asked for.
//
// If t.PID is not 0 and the checker asks for owners, the socket that listens on the port must belong to that process or
// to one of its run (see kernel.Circle), unless t.Policy.Owner is OwnerAny. If it belongs to somebody else, the probe
// has Conflict set and is not OK, whatever was answered. If the owner cannot be learned, the probe is judged without
// it. With t.Proved it is asked for only of an answer that is not healthy.
//
// The time it waits for one of Options.Concurrency slots is part of the timeout, but not of Latency. It takes no longer
// than the timeout, apart from the look at the owner, which does not wait. When it returns, it has left no goroutine,
// no descriptor and no connection, not even one in TIME_WAIT.
func (c *Checker) Check(ctx context.Context, t messages.Target) messages.Probe {
	at, prober, p := c.aim(ctx, t)
	if prober == nil {
		return p
	}
	slots := c.slots
	if at.Policy.Kind == messages.HealthCommand { // one that takes its time keeps no other kind waiting
		slots = c.running
	}
	if err := enter(ctx, slots, at.deadline); err != nil {
		return messages.Probe{At: p.At, Error: err.Error(), Void: true}
	}
	defer leave(slots)
	p.At = time.Now()
	answerer, err := prober.probe(ctx, at, &p)
	c.judge(ctx, at, &p, err)
	c.identify(ctx, at, answerer, err, &p)
	conclude(at, &p)
	return p
}

// aim returns how t is asked by when. Without a prober p says why it cannot be.
func (c *Checker) aim(ctx context.Context, t messages.Target) (at target, by prober, p messages.Probe) {
	if c := t.Policy.Check; t.Policy.Kind == "" || t.Policy.Path == "" || t.Policy.Timeout <= 0 ||
		c != nil && (c.Method == "" || c.Status == "" || c.Host == "") {
		t.Policy = messages.AppInstance{Health: t.Policy}.WithDefaults().Health
	}
	p.At = time.Now()
	at = target{Target: t, deadline: p.At.Add(t.Policy.Timeout)}
	if d, ok := ctx.Deadline(); ok && d.Before(at.deadline) {
		at.deadline, at.Policy.Timeout = d, d.Sub(p.At).Round(time.Millisecond)
	}
	by, known := c.probers[mannerOf(t.Policy)]
	if !known {
		p.Error, p.Void = fmt.Sprintf("not probed: health.kind %q is not known here", t.Policy.Kind), true
		return at, nil, p
	}
	if c.mask != nil {
		at.mask = c.mask(t.ID)
	}
	return at, by, p
}

// judge puts into p what err, with which it ended, means for the instance.
func (c *Checker) judge(ctx context.Context, t target, p *messages.Probe, err error) {
	if p.Latency == 0 {
		p.Latency = time.Since(p.At)
	}
	if err == nil {
		return
	}
	p.Error, p.Void = explain(ctx, err, t)
	// Who wakes up long after the deadline was not there to see the answer, which may have come in time.
	if timedOut(err) && time.Since(t.deadline) > stalled {
		p.Error, p.Void = "not probed: the manager itself stood still while it waited for the answer", true
	}
}

// conclude gives the verdict.
func conclude(t target, p *messages.Probe) {
	p.OK = p.Error == ""
	p.Error = t.mask.Mask(p.Error)
}

// asksOwner reports whether it is to be looked whose the listener is.
func (c *Checker) asksOwner(t target) bool {
	return c.owners != nil && t.PID != 0 && t.Policy.Owner != messages.OwnerAny
}

// identify looks whether it was the instance that answered, and where that is if nobody did.
func (c *Checker) identify(ctx context.Context, t target, answerer *net.TCPAddr, err error, p *messages.Probe) {
	switch {
	case !c.asksOwner(t) || ctx.Err() != nil:
	case answerer != nil && t.Proved && p.Error == "":
	case answerer != nil:
		if stranger := c.owners.stranger(t.PID, t.Tag, t.Grouped, answerer); stranger != "" {
			p.Conflict, p.Void = true, false
			p.Error = fmt.Sprintf("port %d is answered by another process (%s); if it serves for this instance, as "+
				"the daemon behind `docker run` does, "+
				"set health.owner: any", t.Port, stranger)
		}
	case errors.Is(err, syscall.ECONNREFUSED):
		if elsewhere := elsewhere(t.PID, t.Port); elsewhere != "" {
			p.Error = elsewhere
		}
	}
}

func enter(ctx context.Context, slots chan struct{}, deadline time.Time) error {
	if slots == nil {
		return nil
	}
	late := time.NewTimer(time.Until(deadline))
	defer late.Stop()
	select {
	case slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("not probed: %w", ctx.Err())
	case <-late.C:
		return fmt.Errorf("not probed: the limit of %d probes at a time was reached all along", cap(slots))
	}
}

func leave(slots chan struct{}) {
	if slots != nil {
		<-slots
	}
}
