package actors

import (
	"context"
	"sync"
)

// lifetime gives contexts that end with it, one at a time: while nobody waits for anything there is none. The zero
// lifetime has begun.
type lifetime struct {
	mu     sync.Mutex
	over   bool
	ctx    context.Context // that is in use; nil: none is
	cancel context.CancelFunc
}

// context returns one to be used until end is called.
func (l *lifetime) context() (ctx context.Context, end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		cancel()
		return ctx, cancel
	}
	l.ctx, l.cancel = ctx, cancel
	return ctx, func() {
		cancel()
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.ctx == ctx { // the next may have come
			l.ctx, l.cancel = nil, nil
		}
	}
}

// end ends it.
func (l *lifetime) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
	if l.cancel != nil {
		l.cancel()
	}
}

func (l *lifetime) ended() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.over
}
