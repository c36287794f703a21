package actors

import (
	"context"
	"sync"
	"time"
)

// Gate limits how many instances start at once, first come, first served: a thousand processes that all compile their
// module at the same moment would starve each other past every deadline. A nil Gate lets all pass.
type Gate chan struct{}

// slotTime is how long a start may occupy its slot. One that hangs must not keep the others from starting.
const slotTime = 10 * time.Second

// NewGate returns a gate with so many slots.
func NewGate(slots int) Gate { return make(Gate, slots) }

// pass waits for a slot. The function returned gives it back; it may be called more than once, and is called for its
// owner after slotTime.
func (g Gate) pass(ctx context.Context) (leave func(), err error) {
	if g == nil {
		return func() {}, ctx.Err()
	}
	select {
	case g <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	give := sync.OnceFunc(func() { <-g })
	late := time.AfterFunc(slotTime, give)
	return func() {
		late.Stop()
		give()
	}, nil
}
