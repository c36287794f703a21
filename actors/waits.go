package actors

import (
	"context"
	"slices"
	"sync"
	"time"

	"procman/messages"
)

// Waits is where starts wait that the host keeps from succeeding, see messages.StartFault.Host. What runs short for one
// runs short for all: so those that lack a port, or descriptors, processes and memory, stand in a line each, only the
// first of it tries again, and whoever arrives later goes to its end. What concerns one instance alone, as the lock of
// its directory, it waits for alone. A nil Waits paces nothing.
type Waits struct {
	mu    sync.Mutex
	lines map[messages.StartFault]*line
}

// The pauses between two tries. They double while nothing changes.
const (
	firstPause   = 100 * time.Millisecond
	longestPause = 2 * time.Second
	// A port that was let go belongs to an instance that may be about to start again: it comes first.
	settling = 100 * time.Millisecond
)

// NewWaits returns one in which nobody waits.
func NewWaits() *Waits {
	return &Waits{lines: map[messages.StartFault]*line{messages.FaultNoPort: {}, messages.FaultResources: {}}}
}

// line is the starts that wait for one thing.
type line struct {
	turns  []*turn
	trying bool // the first was let go on, and is not back yet
	woken  bool // something was let go meanwhile
	pause  time.Duration
	due    time.Time
	timer  *time.Timer
	last   *messages.StartError
}

// turn is one start in it. It belongs to one goroutine.
type turn struct {
	waits *Waits
	tell  func(*messages.StartError)
	said  string
	pause time.Duration // where it waits alone
	line  *line         // nil: in none; guarded by mu
	call  chan struct{} // it is the first, and may try
}

// Wake says that somebody let go of what the faults lack. Whoever is first in line tries soon.
func (w *Waits) Wake(lacking ...messages.StartFault) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, fault := range lacking {
		l := w.lines[fault]
		l.woken = l.trying
		if !l.trying {
			l.arm(w, settling)
		}
	}
}

// arm has the first of the line try after d, or sooner if that was agreed before.
func (l *line) arm(w *Waits, d time.Duration) {
	at := time.Now().Add(d)
	if len(l.turns) == 0 || l.timer != nil && !at.Before(l.due) {
		return
	}
	l.disarm()
	l.due = at
	var timer *time.Timer
	timer = time.AfterFunc(d, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if l.timer != timer {
			return
		}
		l.timer = nil
		l.trying, l.woken = true, false
		l.turns[0].call <- struct{}{}
	})
	l.timer = timer
}

func (l *line) disarm() {
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
}

func (w *Waits) arrive(tell func(*messages.StartError)) *turn {
	return &turn{waits: w, tell: tell, call: make(chan struct{}, 1)}
}

// await returns when the start may be tried. One that has its port does not wait for one. Before it waits it calls
// begin.
func (t *turn) await(ctx context.Context, hasPort bool, begin func()) error {
	if t.waits == nil || t.line != nil {
		return ctx.Err()
	}
	t.waits.mu.Lock()
	port, room := t.waits.lines[messages.FaultNoPort], t.waits.lines[messages.FaultResources]
	var last *messages.StartError
	switch {
	case len(port.turns) > 0 && !hasPort:
		t.line, last = port, port.last
		port.turns = append(port.turns, t)
	case len(room.turns) > 0:
		// It has not been refused yet, and may need less than those that were. So it is the next to try.
		t.line, last = room, room.last
		at := 0
		if room.trying {
			at = 1
		}
		room.turns = slices.Insert(room.turns, at, t)
	}
	t.waits.mu.Unlock()
	if last == nil {
		return ctx.Err()
	}
	begin()
	return t.wait(ctx, last)
}

// refused returns when the start may be tried again.
func (t *turn) refused(ctx context.Context, err *messages.StartError) error {
	if t.waits == nil {
		return t.alone(ctx, err)
	}
	w := t.waits
	w.mu.Lock()
	l, was := w.lines[err.Fault], t.line
	if was != nil && was != l {
		t.out()
	}
	if l == nil {
		w.mu.Unlock()
		return t.alone(ctx, err)
	}
	l.last = err
	if was == l {
		l.trying = false
		if l == w.lines[messages.FaultResources] && len(l.turns) > 1 {
			// One that needs more than others must not keep them waiting for ever. Ports are all alike.
			l.turns = append(l.turns[1:], t)
		}
		l.pause = min(2*l.pause, longestPause)
		if l.woken {
			l.pause = settling
		}
	} else {
		t.line = l
		l.turns = append(l.turns, t)
		if len(l.turns) == 1 {
			l.pause = firstPause
		}
	}
	if !l.trying {
		l.arm(w, l.pause)
	}
	w.mu.Unlock()
	return t.wait(ctx, err)
}

// alone waits where nobody else is concerned.
func (t *turn) alone(ctx context.Context, err *messages.StartError) error {
	t.say(err)
	t.pause = min(max(2*t.pause, firstPause), longestPause)
	timer := time.NewTimer(t.pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t *turn) wait(ctx context.Context, err *messages.StartError) error {
	t.say(err)
	select {
	case <-t.call:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t *turn) say(err *messages.StartError) {
	if text := err.Error(); text != t.said {
		t.said = text
		t.tell(err)
	}
}

// leave ends the waiting: the start went well, failed for a reason of the instance's own, or was given up.
func (t *turn) leave() {
	if t.waits == nil {
		return
	}
	t.waits.mu.Lock()
	defer t.waits.mu.Unlock()
	if t.line != nil {
		t.out()
	}
}

// out takes the turn from its line. What was true for it need not be for the next, who tries at once.
func (t *turn) out() {
	l := t.line
	t.line = nil
	at := slices.Index(l.turns, t)
	l.turns = slices.Delete(l.turns, at, at+1)
	if at > 0 {
		return
	}
	l.trying = false
	l.pause = firstPause
	l.disarm()
	l.arm(t.waits, 0)
}
