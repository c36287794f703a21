package cli

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"procman/messages"
	"procman/supervisor/api"
)

// goal is where an instance should get to.
type goal struct {
	state string // one of the goals
	after int    // in a run with a greater number
}

// The states that can be waited for.
const (
	goalRunning = "running" // has answered healthy since it was started
	goalHealthy = "healthy" // running, and its last probe said so
	goalStopped = "stopped"
)

// errMissed says that an instance has come to an end that is not the goal.
var errMissed = errors.New("the goal is missed for good")

func (g goal) String() string {
	switch {
	case g.state != goalHealthy:
		return g.state
	case g.after > 0:
		return "running and healthy in a new run"
	default:
		return "running and healthy"
	}
}

// reached returns whether the instance is there, or errMissed if it will not get there by itself.
func (g goal) reached(s messages.Status) (bool, error) {
	switch {
	case g.state == goalStopped:
		// What was given up is down as well, and stays so.
		return s.Phase == messages.Stopped || s.Phase == messages.Failed, nil
	case g.state == goalRunning && s.Phase == messages.Running, s.Well() && s.Run > g.after:
		return true, nil
	case s.Phase == messages.Failed, s.Phase == messages.Stopped:
		return false, errMissed
	}
	return false, nil
}

// The poller looks again so soon, and then less and less often.
const (
	lookSoon   = 20 * time.Millisecond
	lookSeldom = 250 * time.Millisecond
)

// poller asks for the status of the instances that are waited for again and again, once for all who wait: what it costs
// does not depend on how many others there are.
type poller struct {
	client *api.Client

	mu    sync.Mutex
	all   map[messages.InstanceID]messages.Status
	asked map[messages.InstanceID]int // who waits for it
	fresh chan struct{}               // somebody has begun to wait
	issue int                         // counts the answers
	err   error                       // there are no more answers
	next  chan struct{}               // closed at the next answer
}

func newPoller(c *api.Client) *poller {
	return &poller{client: c, asked: map[messages.InstanceID]int{}, fresh: make(chan struct{}, 1),
		next: make(chan struct{})}
}

// run asks until ctx ends or nobody answers.
func (b *poller) run(ctx context.Context) {
	pause := lookSoon
	for {
		if ids := b.wanted(); len(ids) > 0 {
			d, err := b.client.Instances(ctx, ids...)
			b.publish(d.Instances, err)
			if err != nil {
				return
			}
		}
		select {
		case <-time.After(pause):
			pause = min(pause*5/4, lookSeldom)
		case <-b.fresh:
			pause = lookSoon
		case <-ctx.Done():
			b.publish(nil, ctx.Err())
			return
		}
	}
}

func (b *poller) wanted() []messages.InstanceID {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Collect(maps.Keys(b.asked))
}

// want has the instance asked for until the function it returns is called.
func (b *poller) want(id messages.InstanceID) (enough func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked[id]++
	select {
	case b.fresh <- struct{}{}:
	default:
	}
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.asked[id]--; b.asked[id] == 0 {
			delete(b.asked, id)
		}
	}
}

func (b *poller) publish(all []messages.Status, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err = err; err == nil {
		b.all = make(map[messages.InstanceID]messages.Status, len(all))
		for _, s := range all {
			b.all[s.ID] = s
		}
		b.issue++
	}
	close(b.next)
	b.next = make(chan struct{})
}

// await returns when the instance has reached the goal, with the last that was known of it.
func (b *poller) await(ctx context.Context, last messages.Status, g goal) (messages.Status, error) {
	defer b.want(last.ID)()
	b.mu.Lock()
	// The answer under way may have been given before the command was accepted.
	from := b.issue + 2
	b.mu.Unlock()
	for {
		b.mu.Lock()
		status, known := b.all[last.ID]
		issue, err, next := b.issue, b.err, b.next
		b.mu.Unlock()
		if issue >= from {
			if !known {
				return last, messages.ErrUnknownInstance{ID: last.ID}
			}
			last = status
			if there, err := g.reached(status); there || err != nil {
				return last, err
			}
		}
		if err != nil {
			return last, err
		}
		select {
		case <-next:
		case <-ctx.Done():
			return last, ctx.Err()
		}
	}
}
