package main

import (
	"context"
	"time"
)

// mostAdded is how many instances may join in one life.
const mostAdded = 2 * addings

const addings = 3

// add measures how long it takes until one instance more listens, by each way there is to ask for it, and the processor
// time of the manager for it, what it does afterwards included.
func (l *life) add(ctx context.Context) error {
	for _, w := range l.ways() {
		for range addings {
			before, err := l.cpu()
			if err != nil {
				return err
			}
			asked, err := w.ask(ctx)
			if err != nil {
				return err
			}
			l.count++
			listening, err := l.listenOne(ctx, l.count-1)
			if err != nil {
				return err
			}
			if err := sleep(ctx, 2*debounce+l.b.settle/10); err != nil {
				// until a watched file has been looked at again, too
				return err
			}
			after, err := l.cpu()
			if err != nil {
				return err
			}
			took := float64(listening-asked) / 1e6
			l.note(w.row, took)
			l.note(w.row+"-cpu", (after-before)*1000)
			if _, watched := l.manager.(*procman); watched && w.row == "add" {
				l.note("add-net", took-float64(debounce.Milliseconds()))
			}
			if _, limit := l.manager.(*theLimit); limit {
				l.note("add-net", took) // it rests before neither
				l.note("add-api", took)
			}
		}
	}
	return nil
}

// listenOne returns when instance i listens, and since when.
func (l *life) listenOne(ctx context.Context, i int) (at int64, err error) {
	err = until(ctx, "an instance was added and does not listen", time.Millisecond, func() (bool, error) {
		at = int64(l.board.slots[i].listening.Load())
		return at != 0, nil
	})
	return at, err
}
