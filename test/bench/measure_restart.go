package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// restart measures the time from kill -9 of an instance until its replacement listens, one instance after the other,
// each once, and the processor time the manager has for each.
func (l *life) restart(ctx context.Context) error {
	if err := sleep(ctx, l.b.settle); err != nil {
		return err
	}
	before, err := l.cpu()
	if err != nil {
		return err
	}
	order := rand.New(rand.NewPCG(uint64(l.round), uint64(l.n))).Perm(l.n)
	order = order[:min(l.b.kills, l.n)]
	for _, i := range order {
		s := &l.board.slots[i]
		pid, runs := int(s.pid.Load()), s.runs.Load()
		at := now()
		if err := kill(pid, l.payload); err != nil {
			return err
		}
		var again int64
		err := until(ctx, fmt.Sprintf("instance %d was killed and does not listen again", i), 500*time.Microsecond,
			func() (bool, error) {
				again = int64(s.listening.Load())
				return s.runs.Load() > runs && again > at, nil
			})
		if err != nil {
			return err
		}
		l.note("restart", float64(again-at)/1e6)
		if err := sleep(ctx, 10*time.Millisecond); err != nil { // until the manager has nothing more to do with it
			return err
		}
	}
	if err := sleep(ctx, 200*time.Millisecond); err != nil {
		return err
	}
	after, err := l.cpu()
	if err != nil {
		return err
	}
	l.note("restart-cpu", (after-before)*1000/float64(len(order)))
	return nil
}
