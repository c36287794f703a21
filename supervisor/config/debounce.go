package config

import (
	"context"
	"time"
)

// debounce sends on out once nothing has come in for the time quiet, and under a stream that never pauses once in the
// time most. It returns when ctx ends.
func debounce(ctx context.Context, in <-chan struct{}, out chan<- struct{}, quiet, most time.Duration) {
	timer := time.NewTimer(quiet)
	timer.Stop()
	defer timer.Stop()
	var deadline time.Time // zero: nothing is pending
	for {
		select {
		case <-ctx.Done():
			return
		case <-in:
			if deadline.IsZero() {
				deadline = time.Now().Add(most)
			}
			timer.Reset(min(quiet, time.Until(deadline)))
		case <-timer.C:
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
