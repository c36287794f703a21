package actors

import (
	"context"
	"fmt"
	"time"

	"procman/messages"
)

// port is the TCP port of a run.
type port struct {
	world *World
	app   *messages.AppInstance
	lease Lease  // nil: none
	was   int    // what the instance had before; 0: the same
	why   string // it changed
}

func (p *port) Acquire(_ context.Context, l *messages.Launch) error {
	lease, err := p.world.Ports.Acquire(p.app.InstanceID)
	if err != nil {
		return err
	}
	p.take(lease)
	l.Port = lease.Port()
	return nil
}

func (p *port) take(lease Lease) {
	p.lease = lease
	if m, is := lease.(Mover); is {
		if was, why := m.Moved(); was != 0 { // it is told once, and a start may take several tries
			p.was, p.why = was, why
		}
	}
}

func (p *port) Attach(l *messages.Launched) error {
	if p.lease == nil {
		lease, err := p.world.Ports.Claim(p.app.InstanceID, l.Port)
		if err != nil {
			return fmt.Errorf("its port cannot be claimed: %w", err)
		}
		p.take(lease)
	}
	l.PortWas, l.PortWhy = p.was, p.why
	return nil
}

func (p *port) Release(e *End) {
	if e.Left {
		return // it is claimed by whoever adopts the process
	}
	lease := p.lease
	p.lease = nil
	// Nobody of the run lives: who has its port now is somebody else, unless some were left on purpose.
	taken := e.Foul && !freed(lease) || !e.Foul && e.Young && lease.Contested()
	e.PortFree, e.Conflict = e.Foul && !taken, !e.Foul && taken && len(e.Rest.Left) == 0
	if taken {
		lease.Discard()
	} else {
		lease.Release()
	}
	p.world.Waits.Wake(messages.FaultNoPort)
}

// freed reports whether nobody listens on the port soon after the end of a run that a stranger answered for. Whoever
// serves elsewhere on the run's behalf, as the daemon behind `docker run` does, needs a moment to notice its end.
func freed(lease Lease) bool {
	const tries, pause = 20, 100 * time.Millisecond
	for n := 1; lease.Contested(); n++ {
		if n == tries {
			return false
		}
		time.Sleep(pause)
	}
	return true
}
