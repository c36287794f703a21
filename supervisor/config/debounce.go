package config

import (
	"context"
	"time"
)

// pace is when debounce sends.
type pace struct {
	quiet time.Duration // once nothing has come in for so long,
	most  time.Duration // or things have come in for so long without a pause;
	busy  time.Duration // while somebody is writing, once nothing has come in for so long,
	full  time.Duration // or he has been writing for so long
	// writing reports whether somebody is.
	writing func() bool
}

// debounce sends on out for what comes in, at the pace given. It returns when ctx ends.
func debounce(ctx context.Context, in <-chan struct{}, out chan<- struct{}, p pace) {
	timer := time.NewTimer(p.quiet)
	timer.Stop()
	defer timer.Stop()
	var first, last, deadline time.Time // zero: nothing is pending
	for {
		select {
		case <-ctx.Done():
			return
		case <-in:
			last = time.Now()
			if deadline.IsZero() {
				first, deadline = last, last.Add(p.most)
			}
			timer.Reset(min(p.quiet, time.Until(deadline)))
		case <-timer.C:
			if time.Since(last) < p.busy && time.Since(first) < p.full && p.writing() {
				timer.Reset(p.quiet)
				continue
			}
			deadline = time.Time{}
			signal(out)
		}
	}
}

// signal sends without waiting: one signal that is not yet received stands for any number.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
