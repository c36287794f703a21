package main

import (
	"context"
	"time"
)

// memory measures the proportional set size of all processes of the manager, and their threads. What starts left has
// had some seconds to be given back.
func (l *life) memory(ctx context.Context) error {
	if !l.b.wants("idle") {
		if err := sleep(ctx, min(5*time.Second, l.b.idleTime)); err != nil {
			return err
		}
	}
	pids, err := l.processes()
	if err != nil {
		return err
	}
	bytes, err := total(pids, pss)
	if err != nil {
		return err
	}
	many, err := total(pids, threads)
	if err != nil {
		return err
	}
	l.note("memory", bytes/1024/float64(l.n))
	l.note("memory-total", bytes/(1<<20))
	l.note("threads", many)
	return nil
}
