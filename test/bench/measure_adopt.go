package main

import (
	"context"
	"fmt"
	"syscall"
	"time"
)

// adopt kills the daemon, starts it again, and measures from before its fork until it has said of every instance that
// it is adopted, that is watched, and until it knows how all are. None may have been started anew.
func (l *life) adopt(ctx context.Context) error {
	d, is := l.manager.(*procman)
	if !is {
		return nil
	}
	runs := l.board.runs(l.count)
	if err := d.p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	if _, err := d.p.wait(ctx); err != nil {
		return err
	}
	from, err := d.logged()
	if err != nil {
		return err
	}
	wall := time.Now()
	if err := d.start(); err != nil {
		return err
	}
	answered, err := d.answered(ctx)
	if err != nil {
		return err
	}
	used, err := l.cpu()
	if err != nil {
		return err
	}
	many, err := d.adopted(ctx)
	if err != nil {
		return err
	}
	if again := l.board.runs(l.count) - runs; again != 0 || many != l.count {
		return fmt.Errorf("of %d instances %d were adopted, and %d were started anew", l.count, many, again)
	}
	// The log comes after the deed, and of very many at once not every record finds room in it: then the last one that
	// did counts.
	var last time.Time
	settled, written := context.WithTimeout(ctx, 5*time.Second)
	defer written()
	err = until(settled, "", 50*time.Millisecond, func() (all bool, err error) {
		last, many, err = d.told("instance adopted", from)
		return many == l.count, err
	})
	if err != nil && (settled.Err() == nil || ctx.Err() != nil || many == 0) {
		return fmt.Errorf("the log tells of %d adoptions: %w", many, err)
	}
	l.note("adopt", last.Sub(wall).Seconds())
	l.note("adopt-known", float64(answered-d.p.began)/1e9)
	l.note("adopt-cpu", used)
	return nil
}
