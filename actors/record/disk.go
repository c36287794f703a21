package record

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Disk carries out what may have to wait for a file system, each call in a goroutine of its own for which nobody has to
// wait, and of which no more than a few exist at once: each may hold a thread. Its methods may be called by any number
// of goroutines.
type Disk struct {
	name  string
	slots chan struct{}

	mu    sync.Mutex
	calls []*call
	idle  chan struct{} // closed when there is no call any more; nil: nobody waits for that
}

type call struct{ since time.Time }

// StalledError says that a file system did not answer in time. What it was asked for may still be done.
type StalledError struct {
	Name string        // of what does not answer
	For  time.Duration // how long it has not
}

func (e *StalledError) Error() string {
	return fmt.Sprintf("%s does not answer since %v", e.Name, e.For.Round(100*time.Millisecond))
}

// NewDisk returns a Disk with so many goroutines at the most. Its name is for errors: "the state disk".
func NewDisk(name string, goroutines int) *Disk {
	return &Disk{name: name, slots: make(chan struct{}, goroutines)}
}

// Do carries out f and returns its error. If that takes longer than patience the error is a *StalledError, and if ctx
// ends first that of ctx. If f was under way by then it is left: it goes on, what it returns is lost, and late is
// called after it, by another goroutine. So f must touch nothing that the caller uses on when it is left, and late
// gives back what f holds.
func (d *Disk) Do(ctx context.Context, patience time.Duration, f func() error, late func()) (left bool, err error) {
	over := time.NewTimer(patience)
	defer over.Stop()
	began := time.Now()
	select {
	case d.slots <- struct{}{}:
	case <-over.C:
		return false, d.Overdue(began)
	case <-ctx.Done():
		return false, ctx.Err()
	}
	done := make(chan error, 1)
	var decided atomic.Bool // whether f was waited for to its end, or left
	c := d.begin()
	go func() {
		err := f()
		d.end(c)
		if decided.CompareAndSwap(false, true) {
			done <- err
		} else if late != nil {
			late()
		}
	}()
	select {
	case err := <-done:
		return false, err
	case <-over.C:
		err = d.Overdue(began)
	case <-ctx.Done():
		err = ctx.Err()
	}
	if !decided.CompareAndSwap(false, true) {
		return false, <-done
	}
	return true, err
}

// Enter says that the caller may have to wait for the file system from now on, until it calls leave. It waits for no
// room: the caller bounds how many there are.
func (d *Disk) Enter() (leave func()) {
	c := d.begin()
	return func() { d.done(c) }
}

func (d *Disk) begin() *call {
	c := &call{time.Now()}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls = append(d.calls, c)
	return c
}

func (d *Disk) end(c *call) {
	<-d.slots
	d.done(c)
}

func (d *Disk) done(c *call) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := slices.Index(d.calls, c)
	d.calls = slices.Delete(d.calls, n, n+1)
	if len(d.calls) > 0 {
		return
	}
	d.calls = nil
	if d.idle != nil {
		close(d.idle)
		d.idle = nil
	}
}

// Stalled returns a *StalledError if a call has been under way for longer than patience, and nil otherwise.
func (d *Disk) Stalled(patience time.Duration) error {
	if since := d.oldest(time.Now()); time.Since(since) > patience {
		return d.Overdue(since)
	}
	return nil
}

// Idle is closed while no call is under way.
func (d *Disk) Idle() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.calls) == 0 {
		closed := make(chan struct{})
		close(closed)
		return closed
	}
	if d.idle == nil {
		d.idle = make(chan struct{})
	}
	return d.idle
}

// Overdue returns the error for somebody who has waited since then.
func (d *Disk) Overdue(since time.Time) error {
	return &StalledError{Name: d.name, For: time.Since(d.oldest(since))}
}

// oldest returns when the oldest call under way began, or what is given if that is sooner.
func (d *Disk) oldest(since time.Time) time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.calls {
		if c.since.Before(since) {
			since = c.since
		}
	}
	return since
}
