package main

import (
	"context"
	"strconv"
)

// hanging are so many instances, the first of the list, that hang in their start: they live, and never listen.
type hanging struct {
	row  string
	n    int
	hang int
}

func hangings(many int) []hanging {
	return []hanging{{row: "hang-one", n: 9, hang: 8}, {row: "hang-many", n: many, hang: many / 10}}
}

// hang measures how long those wait that start well, where others hang before them.
func (b *bench) hang(ctx context.Context, who contestant, round int) error {
	if who.isLimit() {
		return nil // it starts all at once, and waits for none
	}
	for _, h := range hangings(b.hanging) {
		s := scene{n: h.n, extra: []string{"-hang", strconv.Itoa(h.hang)}, probe: b.probe}
		err := b.within(ctx, who, s, round, func(l *life) error {
			if err := l.start(); err != nil {
				return err
			}
			listening, err := l.listenFrom(ctx, h.hang, h.n)
			if err != nil {
				return err
			}
			l.note(h.row, float64(listening-l.process().began)/1e9)
			_, err = stop(ctx, l.manager)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
