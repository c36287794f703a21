package main

import (
	"context"
	"time"
)

// idle measures the processor time of a manager that has nothing to do but to probe each instance now and then.
func (l *life) idle(ctx context.Context) error {
	if err := sleep(ctx, l.b.settle); err != nil {
		return err
	}
	began, before := now(), 0.0
	before, err := l.cpu()
	if err != nil {
		return err
	}
	if err := sleep(ctx, l.b.idleTime); err != nil {
		return err
	}
	after, err := l.cpu()
	if err != nil {
		return err
	}
	l.note("idle", (after-before)/(float64(now()-began)/1e9)*60)
	return nil
}

// noProbes measures how often a manager wakes up that has not even a probe to do.
func (l *life) noProbes(ctx context.Context) error {
	d, is := l.manager.(*procman)
	if !is {
		return nil
	}
	every := d.probe
	pace := func(p time.Duration) error {
		d.probe = p
		if _, err := d.write(); err != nil {
			return err
		}
		if err := d.reload(ctx); err != nil {
			return err
		}
		return sleep(ctx, l.b.settle+debounce)
	}
	if err := pace(time.Hour); err != nil {
		return err
	}
	pids, err := l.processes()
	if err != nil {
		return err
	}
	before, err := total(pids, switches)
	if err != nil {
		return err
	}
	began := now()
	if err := sleep(ctx, min(l.b.idleTime, 10*time.Second)); err != nil {
		return err
	}
	after, err := total(pids, switches)
	if err != nil {
		return err
	}
	l.note("wakeups", (after-before)/(float64(now()-began)/1e9))
	return pace(every)
}
