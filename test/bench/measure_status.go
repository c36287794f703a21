package main

import (
	"context"
	"fmt"
	"time"
)

// asked is how often a command is timed in one life.
const asked = 3

// status measures the command from its exec to its end, with its output thrown away.
func (l *life) status(ctx context.Context) error {
	d, is := l.manager.(*procman)
	if !is {
		return nil
	}
	for row, args := range map[string][]string{
		"status": {"status"}, "status-json": {"status", "-o", "json"}, "status-one": {"status", instance(l.n / 2)},
	} {
		for range asked {
			p, err := d.family.launch(d.command(args...))
			if err != nil {
				return err
			}
			ended, err := p.wait(ctx)
			if err != nil {
				return err
			}
			if p.err != nil {
				return fmt.Errorf("%v: %w", args, p.err)
			}
			l.note(row, float64(ended-p.began)/float64(time.Millisecond))
			used := p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
			l.note(row+"-cpu", float64(used)/float64(time.Millisecond))
		}
	}
	return nil
}
