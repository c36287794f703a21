package daemon

import (
	"context"
	"iter"
	"log/slog"
	"sync"
	"time"

	"procman/messages"
	"procman/supervisor/api"
)

// heldPorts warns of instances that cannot bind the port which is held for them: their runs end with an error that
// looks like somebody else's fault. It reads what a run said last, aside, and warns once of each instance.
type heldPorts struct {
	log   *slog.Logger
	holds func() bool
	read  func(context.Context, messages.OutputQuery) iter.Seq2[messages.OutputLine, error]

	busy chan struct{} // one reads at a time; exits meanwhile are passed over: an instance that loops comes again
	work sync.WaitGroup
	life context.Context
	end  context.CancelFunc

	mu   sync.Mutex
	said map[messages.InstanceID]bool
}

func newHeldPorts(log *slog.Logger, holds func() bool,
	read func(context.Context, messages.OutputQuery) iter.Seq2[messages.OutputLine, error]) *heldPorts {
	h := &heldPorts{log: log, holds: holds, read: read, busy: make(chan struct{}, 1),
		said: map[messages.InstanceID]bool{}}
	h.life, h.end = context.WithCancel(context.Background())
	return h
}

// event hears of runs that have ended.
func (h *heldPorts) event(e messages.Event) {
	if e.What != messages.InstanceExited || e.Exit == nil || e.Exit.Reason != messages.ReasonExit ||
		e.Exit.Known && e.Exit.Code == 0 || !h.holds() {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.said[e.ID] || h.life.Err() != nil {
		return
	}
	select {
	case h.busy <- struct{}{}:
	default:
		return
	}
	h.work.Go(func() {
		defer func() { <-h.busy }()
		h.look(e)
	})
}

func (h *heldPorts) look(e messages.Event) {
	const lines, patience = 10, 5 * time.Second
	ctx, cancel := context.WithTimeout(h.life, patience)
	defer cancel()
	var last []messages.OutputLine
	for line, err := range h.read(ctx, messages.OutputQuery{ID: e.ID, Lines: lines, Lone: true}) {
		if err != nil {
			return // `why` says what cannot be read
		}
		last = append(last, line)
	}
	if !api.CannotBind(*e.Exit, last) {
		return
	}
	h.mu.Lock()
	h.said[e.ID] = true
	h.mu.Unlock()
	h.log.Warn("an instance finds its address in use", "instance", string(e.ID), "run", e.Run, "port", e.Port,
		"help", api.HeldPort)
}

// Close ends what is under way.
func (h *heldPorts) Close() error {
	h.mu.Lock()
	h.end()
	h.mu.Unlock()
	h.work.Wait()
	return nil
}
