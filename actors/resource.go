package actors

import (
	"context"
	"slices"

	"procman/messages"
)

// Resource is one thing that a run holds beside its process. It belongs to that run alone, and its methods are called
// one at a time: Acquire and Release when they may take a while, Attach when nothing may wait.
type Resource interface {
	// Acquire gets it for a process that is about to be started, and puts into the launch what the process is to have
	// of it. It waits no longer than until ctx ends. With an error nothing is held; it is a *messages.StartError unless
	// ctx ended first. After Release it may be called again: a start that was refused is tried again.
	Acquire(ctx context.Context, l *messages.Launch) error
	// Attach says which process has it from now on. A process that was found, and not started by this manager, comes
	// without Acquire: then it takes over what that has. What there is to report of it goes into l. An error says what
	// could not be taken over; the process runs on without.
	Attach(l *messages.Launched) error
	// Release gives it back, and puts into e what there is to report of it. e is nil while the run goes on.
	Release(e *End)
}

// Beginner is a Resource of a start that has to know which process that has come to.
type Beginner interface {
	// Begin is called between Acquire and Release, as soon as the process exists.
	Begin(p Process)
}

// End is the end of a run, as far as it concerns what the run held.
type End struct {
	messages.Exited // as it will be reported; the zero Exited: there never was a process
	// Left: it is no end. The actor ends and the process runs on, for whoever adopts it with what it has.
	Left  bool
	Young bool // it was never healthy
	Foul  bool // somebody else answered on its port
}

// moment is how far a run has come.
type moment uint8

const (
	begun moment = iota // its process exists
	ready               // it has answered healthy
	over                // nobody of it lives
	told                // and its end was reported: what waits for a disk is released only now
)

// holding is a resource, and the moment until which it is held.
type holding struct {
	Resource
	until moment
	held  bool
}

// holdings are what a run holds, in the order in which it is acquired.
type holdings []holding

// resources lists what a run holds. A new kind is a line here, and a file of its own.
func (w *World) resources(o Order) holdings {
	kept := holdings{
		{Resource: &output{world: w, app: o.App}, until: told},
		{Resource: &port{world: w, app: o.App}, until: over},
	}
	if o.Adopt {
		// what a start needs and nothing else, a process that is found has done without; it tells whether it has a
		// cgroup
		return kept
	}
	if o.App.Resources != nil || w.Cgroups != nil && w.Cgroups.Each() {
		kept = slices.Insert(kept, 1, w.cgroup(o)) // no port is taken for one whose resources cannot be bounded
	}
	return append(holdings{
		{Resource: &slot{gate: w.Gate, id: o.App.InstanceID, precedence: o.Precedence, priority: o.App.Start.Priority},
			until: ready},
		{Resource: &room{budget: w.Budget}, until: begun},
	}, kept...)
}

func (w *World) cgroup(o Order) holding {
	return holding{Resource: &cgroup{world: w, app: o.App, run: o.Run}, until: over}
}

// grouped are h with the cgroup of a process that was found, which has one.
func (h holdings) grouped(w *World, o Order) holdings {
	if slices.ContainsFunc(h, func(x holding) bool { _, is := x.Resource.(*cgroup); return is }) {
		return h
	}
	return append(h, w.cgroup(o))
}

// await has then called when it is the turn of the start, or when ctx ends first. What gives the turn is held from then
// on.
func (h holdings) await(ctx context.Context, then func()) {
	for n := range h {
		if s, is := h[n].Resource.(*slot); is {
			s.await(ctx, func(passed bool) {
				h[n].held = passed
				then()
			})
			return
		}
	}
	then()
}

// acquire gets all that is not held yet, or none.
func (h holdings) acquire(ctx context.Context, l *messages.Launch) error {
	for n := range h {
		if h[n].held {
			continue
		}
		if err := h[n].Acquire(ctx, l); err != nil {
			h.release(told, &End{})
			return err
		}
		h[n].held = true
	}
	return nil
}

// begin says which process has come of the start.
func (h holdings) begin(p Process) {
	for n := range h {
		if b, is := h[n].Resource.(Beginner); is && h[n].held {
			b.Begin(p)
		}
	}
	h.release(begun, nil)
}

// urge has a start that waits for its turn go before others.
func (h holdings) urge() {
	for n := range h {
		if s, is := h[n].Resource.(*slot); is {
			s.urge()
		}
	}
}

// attach gives those that are held to the end to the process.
func (h holdings) attach(l *messages.Launched, failed func(error)) {
	for n := range h {
		if h[n].until < over {
			continue
		}
		err := h[n].Attach(l)
		if h[n].held = err == nil; err != nil {
			failed(err)
		}
	}
}

// release gives back what is held until that moment or an earlier one, in the reverse of the order in which it was
// acquired.
func (h holdings) release(now moment, e *End) {
	for n := len(h) - 1; n >= 0; n-- {
		if h[n].held && h[n].until <= now {
			h[n].held = false
			h[n].Release(e)
		}
	}
}

// kept returns what is held to the end, without the memory of what is not.
func (h holdings) kept() holdings {
	n := 0
	for n < len(h) && h[n].until < over {
		n++
	}
	return append(make(holdings, 0, len(h)-n), h[n:]...)
}

// any reports whether something is held.
func (h holdings) any() bool {
	for n := range h {
		if h[n].held {
			return true
		}
	}
	return false
}
