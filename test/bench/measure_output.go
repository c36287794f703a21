package main

import (
	"context"
	"errors"
	"strconv"
	"time"
)

// output measures how fast an instance can write lines of 128 bytes, one system call each: into a plain file with the
// limit, and with what the daemon does about it, which follows the file, forwards every line into its log (here thrown
// away), and cuts the file at its head.
func (b *bench) output(ctx context.Context, who contestant, round int) error {
	s := scene{n: 1, extra: []string{"-flood", strconv.FormatInt(b.floodTime.Milliseconds(), 10)}, probe: b.probe,
		quiet: true}
	return b.within(ctx, who, s, round, func(l *life) error {
		if err := l.start(); err != nil {
			return err
		}
		if _, err := l.listen(ctx, 1); err != nil {
			return err
		}
		slot := &l.board.slots[0]
		if slot.writing.Load() == 0 {
			return errors.New("the payload has written nothing")
		}
		used, err := l.cpu()
		if err != nil {
			return err
		}
		seconds := time.Duration(slot.writing.Load()).Seconds()
		l.note("output", float64(slot.written.Load())/(1<<20)/seconds)
		l.note("output-cpu", used/seconds)
		_, err = stop(ctx, l.manager)
		return err
	})
}
