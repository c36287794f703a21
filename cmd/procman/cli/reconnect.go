package cli

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"procman/supervisor/api"
)

// reconnectEvery is how often a daemon that does not answer is tried again.
const reconnectEvery = 250 * time.Millisecond

// reconnect is the loop of whatever goes on while the daemon is away, for that may be restarted or upgraded. Several
// may run in it at once.
type reconnect struct {
	*app
	every time.Duration
	// called after each try that failed, and ends the loop by an error; nil: it is said once
	lost func(why error) error

	mu      sync.Mutex
	waiting int // those that wait for the daemon
}

// run calls try until that returns nil, or an error by which the daemon is not away. try calls heard when the daemon
// answers; known says that it has answered already.
func (r *reconnect) run(ctx context.Context, known bool, try func(heard func()) error) error {
	heard, away := false, false
	for {
		came := false
		err := try(func() {
			known, heard, came = true, true, true
			if away {
				away = false
				r.wait(-1)
			}
		})
		if err == nil || ctx.Err() != nil || !transient(err, known, heard) {
			return err
		}
		if !came && !away {
			away = true
			r.wait(1)
		}
		if r.lost != nil {
			if err := r.lost(err); err != nil {
				return err
			}
		}
		select {
		case <-time.After(r.every):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// wait says that the daemon is waited for, unless somebody waits already.
func (r *reconnect) wait(more int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting += more; r.waiting == 1 && more > 0 && r.lost == nil {
		r.say("the daemon does not answer; waiting for it")
	}
}

// transient reports whether a daemon may give later what it does not give now. One that was never there is not waited
// for, and one that never gave anything, and says no, means it.
func transient(err error, known, heard bool) bool {
	var no *api.Error
	return known && errors.Is(err, api.ErrUnreachable) || heard && errors.As(err, &no) &&
		no.Status == http.StatusServiceUnavailable
}
