package main

import "context"

// begin measures a start: from before the fork of the manager until the last instance listens, and until all have
// answered.
func (l *life) begin(ctx context.Context) error {
	if err := l.start(); err != nil {
		return err
	}
	listening, err := l.listen(ctx, l.n)
	if err != nil {
		return err
	}
	answered, err := l.answered(ctx)
	if err != nil {
		return err
	}
	used, err := l.cpu()
	if err != nil {
		return err
	}
	if l.b.wants("start") {
		began := l.process().began
		l.note("start", float64(listening-began)/1e9)
		l.note("healthy", float64(answered-began)/1e9)
		l.note("start-cpu", used)
	}
	return nil
}
