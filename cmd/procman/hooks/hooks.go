package hooks

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"procman/messages"
	"procman/supervisor/config"
)

const (
	atOnce      = 4   // so many run at the same time
	mostWaiting = 256 // so many wait beside them
)

// Options are what Hooks are made of. Hooks is required.
type Options struct {
	Hooks    func() []config.Hook // those that are in force now; it waits for nothing
	Host     string               // the name of this host, for whoever hears of several
	StateDir string
	Env      func(string) (string, bool) // of the daemon: some of it is a command's
	Logger   *slog.Logger                // nil: nothing is logged

	run func(context.Context, call) error // nil: a command or a webhook
}

// Hooks calls the hooks of a configuration. Its methods may be called by any number of goroutines.
type Hooks struct {
	o    Options
	log  *slog.Logger
	life context.Context
	end  context.CancelFunc
	work sync.WaitGroup

	mu       sync.Mutex
	troubled map[messages.InstanceID]struct{} // those that would recover
	calm     map[key]*calm
	waiting  []call
	running  int
	overrun  bool // calls are being dropped, and that has been said

	called, failed, dropped int64
}

// key is what is debounced.
type key struct {
	hook string
	kind config.HookKind
	id   messages.InstanceID
}

// calm is the time after a call of one key in which there is no other.
type calm struct {
	timer *time.Timer
	next  *call // the newest that came meanwhile; nil: none has
}

// call is one call of a hook.
type call struct {
	hook config.Hook
	Payload
}

// New returns hooks that hear nothing yet; Close ends them.
func New(o Options) *Hooks {
	h := &Hooks{o: o, log: o.Logger, troubled: map[messages.InstanceID]struct{}{}, calm: map[key]*calm{}}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	if h.o.run == nil {
		h.o.run = h.carryOut
	}
	h.life, h.end = context.WithCancel(context.Background())
	return h
}

// Event hears of an event. It waits for nobody.
func (h *Hooks) Event(e messages.Event) {
	switch e.What {
	case messages.InstanceStopped, messages.InstanceUnhealthy, messages.InstanceRestarting, messages.InstanceReady,
		messages.ConfigRejected:
	default:
		return
	}
	hooks := h.o.Hooks()
	if len(hooks) == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.life.Err() != nil {
		return
	}
	kind := h.kindOf(e, hooks)
	for _, hook := range hooks {
		if kind != "" && hook.Hears(kind, e.Attempt) {
			h.call(call{hook, h.payload(kind, e)})
		}
	}
}

// kindOf returns what an event is to hooks; empty: nothing.
func (h *Hooks) kindOf(e messages.Event, hooks []config.Hook) (kind config.HookKind) {
	switch {
	case e.What == messages.ConfigRejected:
		return config.HookConfigRejected
	case e.What == messages.InstanceUnhealthy:
		kind = config.HookUnhealthy
	case e.What == messages.InstanceStopped && e.Phase == messages.Failed:
		kind = config.HookFailed
	case e.What == messages.InstanceStopped:
		delete(h.troubled, e.ID)
		return ""
	case e.What == messages.InstanceRestarting:
		for _, hook := range hooks {
			if hook.Hears(config.HookBackoff, e.Attempt) {
				kind = config.HookBackoff
			}
		}
	case e.What == messages.InstanceReady:
		if _, was := h.troubled[e.ID]; was {
			delete(h.troubled, e.ID)
			return config.HookRecovered
		}
	}
	if kind != "" {
		h.troubled[e.ID] = struct{}{}
	}
	return kind
}

// call calls the hook now, or once it may be called again.
func (h *Hooks) call(c call) {
	if c.hook.Every <= 0 {
		h.enqueue(c)
		return
	}
	k := key{c.hook.Identity(), c.Hook, c.Instance}
	q := h.calm[k]
	if q == nil {
		q = &calm{}
		q.timer = time.AfterFunc(c.hook.Every, func() { h.over(k, q) })
		h.calm[k] = q
		h.enqueue(c)
		return
	}
	if q.next != nil {
		c.Coalesced = q.next.Coalesced + 1
	}
	q.next = &c
}

// over ends the time in which a key was not called.
func (h *Hooks) over(k key, q *calm) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.life.Err() != nil {
		return
	}
	if q.next == nil {
		delete(h.calm, k)
		return
	}
	c := *q.next
	q.next = nil
	q.timer.Reset(c.hook.Every)
	h.enqueue(c)
}

func (h *Hooks) enqueue(c call) {
	if len(h.waiting) >= mostWaiting {
		h.dropped++
		if !h.overrun {
			h.overrun = true
			h.log.Warn("calls of hooks are dropped: too many wait", "waiting", len(h.waiting), "hook", string(c.Hook),
				"instance", string(c.Instance))
		}
		return
	}
	h.overrun = false
	h.waiting = append(h.waiting, c)
	if h.running < atOnce {
		h.running++
		h.work.Go(h.runAll)
	}
}

// runAll runs what waits, until nothing does.
func (h *Hooks) runAll() {
	for {
		h.mu.Lock()
		if len(h.waiting) == 0 || h.life.Err() != nil {
			h.running--
			h.mu.Unlock()
			return
		}
		c := h.waiting[0]
		h.waiting[0] = call{}
		h.waiting = h.waiting[1:]
		h.called++
		h.mu.Unlock()
		ctx, cancel := context.WithTimeoutCause(h.life, c.hook.Timeout, &TimeoutError{c.hook.Timeout})
		err := h.o.run(ctx, c)
		cancel()
		switch {
		case err == nil:
			h.log.Debug("a hook was called", "hook", string(c.Hook), "instance", string(c.Instance))
		case h.life.Err() != nil && errors.Is(err, context.Canceled): // the daemon ends
		default:
			h.mu.Lock()
			h.failed++
			h.mu.Unlock()
			h.log.Warn("hook failed", "hook", string(c.Hook), "instance", string(c.Instance), "what", c.hook.Name(),
				"error", err.Error())
		}
	}
}

// TimeoutError says that a call took longer than it may.
type TimeoutError struct{ After time.Duration }

func (e *TimeoutError) Error() string { return "it was ended: it took longer than " + e.After.String() }

// Counters returns how many calls were begun so far, how many of them have failed, and how many were dropped.
func (h *Hooks) Counters() (called, failed, dropped int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.called, h.failed, h.dropped
}

// Close ends what is under way, and drops what waits.
func (h *Hooks) Close() error {
	h.mu.Lock()
	h.end()
	for _, q := range h.calm {
		q.timer.Stop()
	}
	h.mu.Unlock()
	h.work.Wait()
	return nil
}
