package cli

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"procman/messages"
	"procman/supervisor/api"
)

// reconnectEvery is how often a daemon that does not answer is tried again.
const reconnectEvery = 250 * time.Millisecond

// follow copies the output of all at once, until each of them has left the list, or copying one of them fails.
func (l *logs) follow(ctx context.Context, c *api.Client, ids []messages.InstanceID) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ends := make(chan error, len(ids))
	var copying sync.WaitGroup
	for _, id := range ids {
		copying.Go(func() {
			err := l.stay(ctx, c, id)
			if err != nil {
				stop()
			}
			ends <- err
		})
	}
	copying.Wait()
	close(ends)
	for err := range ends {
		if err != nil {
			return err
		}
	}
	return nil
}

// stay copies the output of an instance from one daemon after the other, each from where the one before it was left.
func (l *logs) stay(ctx context.Context, c *api.Client, id messages.InstanceID) error {
	q := l.query
	q.ID, q.Place = id, true // so that there is a cursor before there is a line
	for heard, away := false, false; ; {
		came := false
		err := l.copy(ctx, c, &q, func() {
			if heard, came = true, true; away {
				away = false
				l.answered()
			}
		})
		var unknown messages.ErrUnknownInstance
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &unknown):
			l.say("%s: it is not in the list any more", id)
			return nil
		case !transient(err, heard):
			return err
		}
		if !came && !away {
			away = true
			l.unanswered()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(reconnectEvery):
		}
	}
}

// transient reports whether a daemon may give later what it does not give now. One that never gave anything, and says no, means
// it.
func transient(err error, heard bool) bool {
	var no *api.Error
	return errors.Is(err, api.ErrUnreachable) || heard && errors.As(err, &no) && no.Status == http.StatusServiceUnavailable
}

// unanswered says that the daemon is waited for, unless somebody waits already.
func (l *logs) unanswered() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting++; l.waiting == 1 {
		l.say("the daemon does not answer; waiting for it")
	}
}

func (l *logs) answered() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting--
}
