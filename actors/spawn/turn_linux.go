package spawn

import (
	"context"
	"sync"
)

// turn is had by one at a time. The zero turn is free. It is smaller than a channel, which every instance would have
// two of.
type turn struct {
	mu    sync.Mutex
	taken bool
	given chan struct{} // closed when it is given back; nil: nobody waits for that
}

// try takes it if it is free.
func (t *turn) try() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.taken {
		return false
	}
	t.taken = true
	return true
}

// take waits until it is free, and takes it. Free, it is taken also if ctx has ended.
func (t *turn) take(ctx context.Context) error {
	for {
		t.mu.Lock()
		if !t.taken {
			t.taken = true
			t.mu.Unlock()
			return nil
		}
		if t.given == nil {
			t.given = make(chan struct{})
		}
		given := t.given
		t.mu.Unlock()
		select {
		case <-given:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (t *turn) give() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.taken = false
	if t.given != nil {
		close(t.given)
		t.given = nil
	}
}
