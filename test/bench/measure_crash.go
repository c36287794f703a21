package main

import "context"

// crashers is how many instances crash, and nothing else runs.
const crashers = 20

// crash measures the processor time of a daemon whose instances end as soon as they begin, from its start on.
func (b *bench) crash(ctx context.Context, who contestant, round int) error {
	if who.isLimit() {
		return nil // it would start them again without a pause
	}
	return b.within(ctx, who, scene{n: crashers, extra: []string{"-exit"}, probe: b.probe}, round, func(l *life) error {
		if err := l.start(); err != nil {
			return err
		}
		if err := sleep(ctx, b.crashTime); err != nil {
			return err
		}
		used, err := l.cpu()
		if err != nil {
			return err
		}
		l.note("crash", used)
		_, err = stop(ctx, l.manager)
		return err
	})
}
