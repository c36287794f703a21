package daemon

import (
	"fmt"
	"sync"
	"time"
)

// PendingIO are the files that are being opened or looked at right now, each of which may lie on a disk or mount that
// does not answer: no deadline ends such a call, so whoever waits for it is told what it waits for. A nil one notes
// nothing.
type PendingIO struct {
	mu    sync.Mutex
	now   []*ioCall
	begun chan struct{} // told that something is touched; nil: nobody watches
}

type ioCall struct {
	what  string // "the configuration /etc/procman.yaml"
	since time.Time
}

// Begin notes that something is touched until the function returned is called.
func (t *PendingIO) Begin(what string) (done func()) {
	if t == nil {
		return func() {}
	}
	mine := &ioCall{what, time.Now()}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.now = append(t.now, mine)
	select {
	case t.begun <- struct{}{}:
	default:
	}
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		for n, other := range t.now {
			if other == mine {
				t.now = append(t.now[:n:n], t.now[n+1:]...)
				return
			}
		}
	}
}

// Stalled says what has been touched for longer than patience, the newest such; empty: nothing.
func (t *PendingIO) Stalled(patience time.Duration) string {
	if t == nil {
		return ""
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for n := len(t.now) - 1; n >= 0; n-- {
		if waited := time.Since(t.now[n].since); waited > patience {
			return fmt.Sprintf("%s does not answer since %v; the disk or mount that it is on may hang", t.now[n].what,
				waited.Round(time.Second))
		}
	}
	return ""
}

const (
	IOPatience = 8 * time.Second  // after which a command gives up
	ioSaid     = 3 * time.Second  // after which a daemon says what it waits for
	ioAgain    = 30 * time.Second // and then so often
)

// watch calls say with what is waited for, until the function returned is called. While nothing is touched it sleeps.
func (t *PendingIO) watch(say func(what string)) (stop func()) {
	quit, begun := make(chan struct{}), make(chan struct{}, 1)
	t.mu.Lock()
	t.begun = begun
	t.mu.Unlock()
	var watching sync.WaitGroup
	watching.Go(func() {
		look := time.NewTimer(ioSaid)
		defer look.Stop()
		var said time.Time
		for {
			select {
			case <-quit:
				return
			case <-begun:
				look.Reset(ioSaid / 3)
				continue
			case <-look.C:
			}
			if what := t.Stalled(ioSaid); what != "" && time.Since(said) > ioAgain {
				said = time.Now()
				say(what)
			}
			if t.active() {
				look.Reset(ioSaid / 3)
			}
		}
	})
	return func() { close(quit); watching.Wait() }
}

func (t *PendingIO) active() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.now) > 0
}
