package main

import (
	"context"
	"fmt"
)

// end measures a stop: from TERM until the manager has ended, and with it every instance.
func (l *life) end(ctx context.Context) error {
	took, err := stop(ctx, l.manager)
	if err != nil {
		return err
	}
	left, err := executing(l.payload)
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return fmt.Errorf("stop: %d instances outlive %s", len(left), l.who.name)
	}
	if l.b.wants("stop") {
		l.note("stop", took.Seconds())
	}
	return nil
}
