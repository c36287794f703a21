package output

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"regexp"
	"time"

	"procman/messages"
)

// ErrClosed is the answer to a reader of Outputs that are closed.
var ErrClosed = errors.New("the outputs are closed")

// Read returns the newest lines of an instance's output and, if the query says so, new ones until ctx or the Outputs
// end. An instance without output has none. It reads from the end: what it costs depends on what is asked for.
//
// Lines are as they were written, byte for byte, without their line ends; one longer than 64 KiB comes in pieces. A
// reader that is slower than the writer holds nobody up: in place of what was trimmed meanwhile it gets one line with
// Skipped.
//
// The files carry no time. A follower notes about once a second how far each file has got, in less detail the longer
// ago it is: to a second, or a sixteenth of the age. By these notes Since leaves out lines, never one that may be
// younger; and by them the lines of two streams are put in order, within one such span those of stdout before those of
// stderr, and new lines as they are found. Lines written while no follower lived belong to one span.
//
// By the same notes a line has its time, if the query asks for it: that of the note behind it, by which it had been
// written at the latest; and Until leaves out lines, never one that may be older.
//
// With Grep only lines that match are yielded, of a long one the pieces that do, and Lines counts those. They are
// looked at when their secrets are masked: nobody learns of one by asking for it.
//
// A line carries a Cursor, and a query with it goes on behind that line, in both streams: also while the file is
// trimmed, under another manager, and after a crash. Nothing is repeated; what is gone is one line with Skipped. If the
// file is not the one of the cursor any more, or ends before it, what is kept now follows, after a line whose Skipped
// is -1 where nobody can say how much that leaves out. A line whose end had not been written when it was read without
// Follow goes on behind its cursor as a line of its own.
//
// Secrets are masked, see [Options.Mask]. What can show is the half of one that was not written to its end when it was
// read, and of a line longer than 64 KiB that of one through which the file was trimmed.
func (u *Outputs) Read(ctx context.Context, q messages.OutputQuery) iter.Seq2[messages.OutputLine, error] {
	return func(yield func(messages.OutputLine, error) bool) {
		if err := errors.Join(q.ID.Validate(), q.Validate()); err != nil {
			yield(messages.OutputLine{}, err)
			return
		}
		s, err := u.borrow(q.ID)
		if err != nil {
			yield(messages.OutputLine{}, err)
			return
		}
		defer u.giveBack(s)
		pattern, _ := q.Pattern() // it is valid
		r := &reader{u: u, q: q, ctx: ctx, source: s, yield: yield, pattern: pattern}
		for _, t := range s.tails {
			if q.Stream == "" || q.Stream == t.name() {
				r.lanes = append(r.lanes, &lane{tail: t})
			}
		}
		err = r.kept()
		if err == nil && q.Follow && !r.left {
			err = r.coming(u.closing)
		}
		for _, l := range r.lanes {
			err = errors.Join(err, l.Close())
		}
		if err != nil && !r.left {
			yield(messages.OutputLine{}, err)
		}
	}
}

// borrow keeps a source from being forgotten while somebody reads.
func (u *Outputs) borrow(id messages.InstanceID) (*source, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return nil, ErrClosed
	}
	s := u.source(id)
	s.readers++
	return s, nil
}

func (u *Outputs) giveBack(s *source) {
	u.mu.Lock()
	defer u.mu.Unlock()
	s.readers--
	u.forget(s)
}

// reader is one call of Read.
type reader struct {
	u      *Outputs
	q      messages.OutputQuery
	ctx    context.Context
	source *source
	lanes  []*lane
	yield  func(messages.OutputLine, error) bool
	left   bool // the caller has had enough

	pattern *regexp.Regexp // of the lines that are wanted; nil: all are
}

// kept yields the lines that are there.
func (r *reader) kept() error {
	mask := r.u.mask(r.q.ID)
	for _, l := range r.lanes {
		e, err := l.look()
		if err != nil {
			return err
		}
		if r.q.Earlier {
			e.end = min(e.end, e.start)
		}
		l.end, l.cut, l.flush = e.end, e.cut, !r.q.Follow
		if r.q.Until > 0 { // up to the end of the line that begins before it
			e.end = min(e.end, e.Times.until(time.Now().Add(-r.q.Until).UnixMilli()))
		}
		l.extent, l.mask, l.era, l.none = e, mask, e.Era, !e.there
	}
	if err := r.begin(); err != nil {
		return err
	}
	for !r.left {
		l := r.earliest()
		if l == nil {
			return nil
		}
		more, err := r.line(l)
		if err != nil {
			return err
		}
		if !more {
			l.extent.end = l.pos // nothing more of this one
		}
	}
	return nil
}

// begin sets every lane to where it begins.
func (r *reader) begin() error {
	var err error
	if r.q.After != "" {
		err = r.resume()
	} else {
		err = r.seek()
	}
	if err != nil {
		return err
	}
	if r.q.Place {
		r.give(messages.OutputLine{ID: r.q.ID})
	}
	return nil
}

// resume sets every lane to the place of the query's cursor, or, if that is nowhere in the file, to where what is kept
// begins.
func (r *reader) resume() error {
	p, err := messages.ParseOutputPlace(r.q.After)
	if err != nil {
		return err
	}
	for _, l := range r.lanes {
		l.told = **p.Spot(l.tail.name())
		l.pos, l.era, l.torn, l.none = l.told.Offset, l.told.Era, l.told.Torn, false
		if e := l.extent; e.there && (l.era != e.Era || l.pos > e.size) {
			l.restart(e)
		}
	}
	return nil
}

// floor returns the offset up to which lines are of no interest.
func (r *reader) floor(e *extent) (floor int64) {
	if r.q.Since > 0 {
		floor = e.Times.from(time.Now().Add(-r.q.Since).UnixMilli())
	}
	switch {
	case !r.q.Lone:
		return floor
	case r.q.Earlier && e.lone >= e.start:
		return max(floor, e.Prior)
	}
	return max(floor, e.lone) // also of the earlier ones, while the newest run has no process yet
}

// seek sets every lane to the first line to be yielded.
func (r *reader) seek() error {
	seekers := make([]*seeker, len(r.lanes))
	for i, l := range r.lanes {
		seekers[i] = &seeker{lane: l, floor: r.floor(&l.extent), at: l.extent.end}
	}
	var err error
	if r.q.Lines < 0 {
		err = seekAll(seekers)
	} else {
		err = r.seekLast(seekers)
	}
	for _, l := range r.lanes {
		l.told = l.spot(l.pos)
	}
	return err
}

// seekAll sets every lane to its first line above the floor.
func seekAll(seekers []*seeker) error {
	for _, k := range seekers {
		head, torn := k.extent.head, k.extent.Torn
		k.pos, k.torn = head, torn
		if k.floor <= head {
			continue
		}
		start, err := k.after('\n', k.floor)
		if err == nil {
			k.pos, k.torn = start, torn && start == head
		} else if !errors.Is(err, errTrimmed) {
			return err
		}
	}
	return nil
}

// seekLast sets the lanes to the last lines of all of them that are wanted, so many together.
func (r *reader) seekLast(seekers []*seeker) error {
	found := make([]*int64, len(seekers)) // the start of the next line back, where it is known
	for _, k := range seekers {
		k.pos = k.at
	}
	for lines := r.q.Lines; lines > 0; {
		best := -1
		for i, k := range seekers {
			if found[i] == nil {
				ok, err := k.prev()
				if err != nil {
					return err
				}
				start := int64(-1)
				if ok {
					start = k.at
				}
				found[i] = &start
			}
			if *found[i] >= 0 &&
				(best < 0 || k.extent.Times.at(*found[i]) >= seekers[best].extent.Times.at(*found[best])) {
				best = i
			}
		}
		if best < 0 {
			return nil
		}
		k := seekers[best]
		is, err := r.counts(k, *found[best])
		if err != nil {
			return err
		}
		if is {
			lines--
		}
		k.pos, found[best] = *found[best], nil
	}
	return nil
}

// counts reports whether the line from start up to where the seeker's lane stands is one of those that are counted. One
// that comes in pieces always is.
func (r *reader) counts(k *seeker, start int64) (bool, error) {
	if r.pattern == nil || k.pos-start > maxLine {
		return true, nil
	}
	if err := r.ctx.Err(); err != nil {
		return false, context.Cause(r.ctx)
	}
	text := make([]byte, k.pos-start)
	n, err := k.readAt(text, start, k.extent.Era)
	if errors.Is(err, errTrimmed) {
		return false, nil
	}
	return r.wanted(k.mask.Mask(string(bytes.TrimSuffix(text[:n], []byte("\n"))))), err
}

func (r *reader) wanted(text string) bool { return r.pattern == nil || r.pattern.MatchString(text) }

// earliest returns the lane whose next line is the oldest; nil if none has one.
func (r *reader) earliest() *lane {
	var first *lane
	for _, l := range r.lanes {
		if l.pos < l.extent.end && (first == nil || l.extent.Times.at(l.pos) < first.extent.Times.at(first.pos)) {
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
		if l.skipped != 0 && (!l.torn || !r.q.Follow) {
			skipped := l.skipped
			l.skipped, l.told = 0, l.spot(l.from)
			if !r.give(messages.OutputLine{ID: r.q.ID, Stream: l.tail.name(), Skipped: skipped}) {
				return false, nil
			}
		}
		if err != nil || !ok {
			return false, err
		}
		l.told = l.spot(l.pos)
		line := messages.OutputLine{ID: r.q.ID, Stream: l.tail.name(), Text: l.mask.Mask(string(text))}
		if r.q.Times {
			line.At = l.when()
		}
		if r.wanted(line.Text) && !r.give(line) || last {
			return true, nil
		}
	}
}

func (r *reader) give(line messages.OutputLine) bool {
	var p messages.OutputPlace
	for _, l := range r.lanes {
		*p.Spot(l.tail.name()) = &l.told
	}
	line.Cursor = p.String()
	r.left = r.left || !r.yield(line, nil)
	return !r.left
}

// coming yields new lines until the context, or the Outputs, end.
func (r *reader) coming(closing <-chan struct{}) error {
	for {
		changed, mask := r.source.await(), r.u.mask(r.q.ID)
		for _, l := range r.lanes {
			e, err := l.look()
			if err != nil {
				return err
			}
			l.mask = mask
			l.renew(e)
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
