package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// life is one of a manager: from its start to its stop, with what is measured in between.
type life struct {
	b *bench
	manager
	scene
	who   contestant
	count int // instances that run by now
	round int
}

// note records a measured value.
func (l *life) note(row string, value float64) { l.b.results.note(row, l.who.name, l.n, value) }

// step is a measure in the middle of a life.
type step struct {
	name string // by which -only chooses it
	take func(*life, context.Context) error
}

// steps are in the order in which they are taken.
func steps() []step {
	return []step{
		{"idle", (*life).idle},
		{"memory", (*life).memory},
		{"restart", (*life).restart},
		{"status", (*life).status},
		{"add", (*life).add},
		{"quiet", (*life).noProbes},
		{"adopt", (*life).adopt},
	}
}

// live lets a contestant live once with n instances.
func (b *bench) live(ctx context.Context, who contestant, n, round int) error {
	return b.within(ctx, who, scene{n: n, more: mostAdded, probe: b.probe}, round, func(l *life) error {
		if err := l.begin(ctx); err != nil {
			return err
		}
		for _, s := range steps() {
			if !b.wants(s.name) {
				continue
			}
			if err := s.take(l, ctx); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
		}
		return l.end(ctx)
	})
}

// within makes a manager with a board and directories for do, and leaves nothing of them or of their processes.
func (b *bench) within(ctx context.Context, who contestant, s scene, round int, do func(*life) error) (err error) {
	if s.firstPort, err = unused(ctx, b.firstPort, b.lastPort, s.n+s.more); err != nil {
		return err
	}
	s.lastPort = s.firstPort + s.n + s.more - 1
	if s.dir, err = os.MkdirTemp(b.dir, "life-"); err != nil {
		return err
	}
	if s.files, err = os.MkdirTemp("", "procman-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(s.dir), os.RemoveAll(s.files)) }()
	if s.board, err = newBoard(s.dir+"/board", s.n+s.more); err != nil {
		return err
	}
	s.payload, s.family = b.payload, b.family
	l := &life{b: b, scene: s, who: who, count: s.n, round: round, manager: who.open(who.program, s)}
	defer func() {
		if d, is := l.manager.(*procman); is && err != nil && ctx.Err() == nil {
			err = fmt.Errorf("%w\n%s", err, d.tail())
		}
		err = errors.Join(err, endAll(who.program), endAll(b.payload))
		if p := l.process(); p != nil {
			<-p.done
		}
		err = errors.Join(err, s.board.close())
	}()
	return do(l)
}

// processes are all of the manager's.
func (l *life) processes() ([]int, error) {
	pids, err := executing(l.who.program)
	if err == nil && !slices.Contains(pids, l.process().pid()) {
		err = fmt.Errorf("%s has ended", l.who.name)
	}
	return pids, err
}

// cpu is the processor time of all processes of the manager, in seconds.
func (l *life) cpu() (float64, error) {
	pids, err := l.processes()
	if err != nil {
		return 0, err
	}
	return total(pids, cpu)
}

// listen returns when the first n instances listen, and since when.
func (l *life) listen(ctx context.Context, n int) (int64, error) { return l.listenFrom(ctx, 0, n) }

// listenFrom is listen without the first ones.
func (l *life) listenFrom(ctx context.Context, first, n int) (at int64, err error) {
	err = until(ctx, fmt.Sprintf("not all of %d instances listen", n-first), 2*time.Millisecond,
		func() (all bool, err error) {
			select {
			case <-l.process().done:
				return false, fmt.Errorf("the manager has ended: %v", l.process().err)
			default:
			}
			at, all = l.board.listening(first, n)
			return all, nil
		})
	return at, err
}
