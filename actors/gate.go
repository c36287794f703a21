package actors

import (
	"context"
	"sync"
	"time"

	"procman/messages"
)

// Gate limits how many instances start at once, first come, first served: a thousand processes that all compile their
// module at the same moment would starve each other past every deadline. A nil Gate lets all pass.
type Gate chan struct{}

// slotTime is how long a start may occupy its slot. One that hangs must not keep the others from starting.
const slotTime = 10 * time.Second

// NewGate returns a gate with so many slots.
func NewGate(slots int) Gate { return make(Gate, slots) }

// slot is a run's place in the gate. It is given up by itself after slotTime.
type slot struct {
	gate Gate
	once *sync.Once // for each pass
	late *time.Timer
}

func (s *slot) Acquire(ctx context.Context, _ *messages.Launch) error {
	if s.gate == nil {
		return ctx.Err()
	}
	select {
	case s.gate <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	once := new(sync.Once)
	s.once = once
	s.late = time.AfterFunc(slotTime, func() { once.Do(s.leave) })
	return nil
}

func (s *slot) leave() { <-s.gate }

func (s *slot) Attach(*messages.Launched) error { return nil }

func (s *slot) Release(*End) {
	if s.gate != nil {
		s.late.Stop()
		s.once.Do(s.leave)
	}
}
