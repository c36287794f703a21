package output

import (
	"context"
	"errors"
	"iter"
	"time"

	"procman/messages"
)

// ErrClosed is the answer to a reader of Outputs that are closed.
var ErrClosed = errors.New("the outputs are closed")

// Read returns the newest lines of an instance's output and, if the query says so, new ones until ctx or the Outputs end. An
// instance without output has none. It reads from the end: what it costs depends on what is asked for.
//
// Lines are as they were written, byte for byte, without their line ends; one longer than 64 KiB comes in pieces. A
// reader that is slower than the writer holds nobody up: in place of what was taken away meanwhile it gets one line with
// Skipped.
//
// The files carry no time. A follower notes about once a second how far each file has got, in less detail the longer ago it
// is: to a second, or a sixteenth of the age. By these notes Since leaves out lines, never one that may be younger; and by
// them the lines of two streams are put in order, within one such span those of stdout before those of stderr, and new
// lines as they are found. Lines written while no follower lived belong to one span.
func (u *Outputs) Read(ctx context.Context, q messages.OutputQuery) iter.Seq2[messages.OutputLine, error] {
	return func(yield func(messages.OutputLine, error) bool) {
		if err := q.ID.Validate(); err != nil {
			yield(messages.OutputLine{}, err)
			return
		}
		s, err := u.borrow(q.ID)
		if err != nil {
			yield(messages.OutputLine{}, err)
			return
		}
		defer u.giveBack(s)
		r := &reader{q: q, ctx: ctx, spool: s, yield: yield}
		for _, t := range s.streams {
			if q.Stream == "" || q.Stream == t.name {
				r.lanes = append(r.lanes, &lane{cursor: cursor{v: &view{t: t}}})
			}
		}
		err = r.kept()
		if err == nil && q.Follow {
			err = r.coming(u.closing)
		}
		for _, l := range r.lanes {
			err = errors.Join(err, l.v.Close())
		}
		if err != nil && !r.left {
			yield(messages.OutputLine{}, err)
		}
	}
}

// borrow keeps a spool from being forgotten while somebody reads.
func (u *Outputs) borrow(id messages.InstanceID) (*spool, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return nil, ErrClosed
	}
	s := u.spool(id)
	s.readers++
	return s, nil
}

func (u *Outputs) giveBack(s *spool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	s.readers--
	u.dropLocked(s)
}

// reader is one call of Read.
type reader struct {
	q     messages.OutputQuery
	ctx   context.Context
	spool *spool
	lanes []*lane
	yield func(messages.OutputLine, error) bool
	left  bool // the caller has had enough
}

// lane is one stream of a reader.
type lane struct {
	cursor
	extent extent
	from   seeker
}

// kept yields the lines that are there.
func (r *reader) kept() error {
	now := time.Now()
	for _, l := range r.lanes {
		var err error
		if l.extent, err = l.v.extent(); err != nil {
			return err
		}
		e := l.extent
		l.from = seeker{v: l.v, head: e.head, torn: e.torn, pos: e.end}
		if r.q.Since > 0 {
			l.from.floor = e.marks.from(now.Add(-r.q.Since).UnixMilli())
		}
		l.end, l.cut, l.flush = e.end, e.cut, !r.q.Follow
	}
	if err := r.seek(); err != nil {
		return err
	}
	for {
		l := r.earliest()
		if l == nil {
			return nil
		}
		more, err := r.line(l)
		if err != nil || r.left {
			return err
		}
		if !more {
			l.extent.end = l.pos // nothing more of this one
		}
	}
}

// seek sets every lane's cursor to the first line to be yielded.
func (r *reader) seek() error {
	if r.q.Lines < 0 {
		for _, l := range r.lanes {
			k := &l.from
			l.pos, l.torn = k.head, k.torn
			if k.floor > k.head {
				start, err := k.after('\n', k.floor)
				if err != nil && !errors.Is(err, errTrimmed) {
					return err
				}
				if err == nil {
					l.pos, l.torn = start, k.torn && start == k.head
				}
			}
		}
		return nil
	}
	found := make([]*int64, len(r.lanes)) // the start of the next line back, where it is known
	for _, l := range r.lanes {
		l.pos = l.from.pos
	}
	for n := 0; n < r.q.Lines; n++ {
		best := -1
		for i, l := range r.lanes {
			if found[i] == nil {
				ok, err := l.from.prev()
				if err != nil {
					return err
				}
				start := int64(-1)
				if ok {
					start = l.from.pos
				}
				found[i] = &start
			}
			if *found[i] >= 0 && (best < 0 || l.extent.marks.at(*found[i]) >= r.lanes[best].extent.marks.at(*found[best])) {
				best = i
			}
		}
		if best < 0 {
			return nil
		}
		r.lanes[best].pos, found[best] = *found[best], nil
	}
	return nil
}

// earliest returns the lane whose next line is the oldest; nil if none has one.
func (r *reader) earliest() *lane {
	var first *lane
	for _, l := range r.lanes {
		if l.pos < l.extent.end && (first == nil || l.extent.marks.at(l.pos) < first.extent.marks.at(first.pos)) {
			first = l
		}
	}
	return first
}

// line yields the next line of a lane, all its pieces, and reports whether there was one.
func (r *reader) line(l *lane) (bool, error) {
	for {
		if r.ctx.Err() != nil {
			if r.q.Follow {
				r.left = true
				return false, nil
			}
			return false, context.Cause(r.ctx)
		}
		text, last, ok, err := l.next()
		// The rest of a line whose head is gone counts as well, once it has been seen.
		if l.skipped > 0 && (!l.torn || !r.q.Follow) {
			skipped := l.skipped
			l.skipped = 0
			if !r.give(messages.OutputLine{ID: r.q.ID, Stream: l.v.t.name, Skipped: skipped}) {
				return false, nil
			}
		}
		if err != nil || !ok {
			return false, err
		}
		if !r.give(messages.OutputLine{ID: r.q.ID, Stream: l.v.t.name, Text: string(text)}) || last {
			return true, nil
		}
	}
}

func (r *reader) give(line messages.OutputLine) bool {
	r.left = r.left || !r.yield(line, nil)
	return !r.left
}

// coming yields new lines until the context, or the Outputs, end.
func (r *reader) coming(closing <-chan struct{}) error {
	for {
		changed := r.spool.await()
		for _, l := range r.lanes {
			e, err := l.v.extent()
			if err != nil {
				return err
			}
			l.end, l.cut, l.flush = e.end, e.cut, false
			for {
				more, err := r.line(l)
				if err != nil || r.left {
					return err
				}
				if !more {
					break
				}
			}
		}
		select {
		case <-changed:
		case <-r.ctx.Done():
			return nil
		case <-closing:
			return nil
		}
	}
}

// await returns a channel that is closed when there may be something new.
func (s *spool) await() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.changed
}
