package events

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"slices"
	"time"

	"procman/actors/record"
	"procman/messages"
)

// lookBack bounds how far Read goes back for the newest events of one instance, in bytes.
const lookBack = 4 << 20

// Read returns the events that are asked for, oldest first, and, if the query says so, new ones until ctx ends or the
// Log is closed. It holds up nobody.
func (l *Log) Read(ctx context.Context, q messages.EventQuery) iter.Seq2[messages.LoggedEvent, error] {
	return func(yield func(messages.LoggedEvent, error) bool) {
		r := reader{log: l, ctx: ctx, q: q, seen: q.Since, yield: yield}
		if q.ID != "" {
			r.about = fmt.Appendf(nil, `"instance":%q`, string(q.ID))
		}
		err := r.run()
		if r.file != nil {
			_ = r.file.Close() // it was only read
		}
		if err != nil && !r.left {
			yield(messages.LoggedEvent{}, err)
		}
	}
}

// ReadFile returns the events that are asked for of the log at path, whether or not anybody writes it. It changes
// nothing there, and ends where the file does.
func ReadFile(ctx context.Context, path string, q messages.EventQuery) iter.Seq2[messages.LoggedEvent, error] {
	q.Follow = false
	return (&Log{path: path}).Read(ctx, q)
}

// reader is one call of Read.
type reader struct {
	log   *Log
	ctx   context.Context
	q     messages.EventQuery
	about []byte          // what every line asked for holds; nil: nothing special
	seen  messages.Cursor // the last event that was looked at
	yield func(messages.LoggedEvent, error) bool
	left  bool

	file *os.File
	era  int
	at   int64
}

func (r *reader) run() error {
	changed, err := r.open()
	if err != nil {
		return err
	}
	if err := r.begin(); err != nil {
		return err
	}
	for {
		if err := r.lines(); err != nil || r.left {
			return err
		}
		now, moved := r.look()
		switch {
		case moved: // what came after the end of this file is in the next one
			if changed, err = r.open(); err == nil {
				err = r.goOn()
			}
			if err != nil {
				return err
			}
			continue
		case !r.q.Follow:
			return nil
		case now != changed:
			changed = now
			continue
		}
		select {
		case <-changed:
		case <-r.ctx.Done():
			return nil
		case <-r.log.done: // and everything is written
			return r.lines()
		}
	}
}

// open opens the file that is in force, and returns what tells of news.
func (r *reader) open() (<-chan struct{}, error) {
	if r.file != nil {
		_ = r.file.Close() // it was only read
		r.file = nil
	}
	for {
		changed, era := r.log.state()
		file, err := record.Open(r.log.path, os.O_RDONLY, 0)
		if errors.Is(err, fs.ErrNotExist) {
			file, err = os.Open(os.DevNull) // somebody took it away; the next event brings another
		}
		if _, now := r.log.state(); now == era || err != nil {
			r.file, r.era, r.at = file, era, 0
			return changed, err
		}
		_ = file.Close() // it may be the old one
	}
}

// goOn finds the place in a file that has come in place of the one read so far.
func (r *reader) goOn() error {
	end, err := r.end()
	if err != nil {
		return err
	}
	_, _, oldest, err := firstEvent(r.file, 0, end)
	if err != nil {
		return err
	}
	if oldest != nil && r.seen > 0 && oldest.Cursor > r.seen+1 {
		r.giveLost(oldest.Cursor-1, "the reader was too slow: what came up to here is no longer kept")
	}
	r.at, err = r.after(r.seen)
	return err
}

func (r *reader) look() (changed <-chan struct{}, moved bool) {
	changed, era := r.log.state()
	return changed, r.era != era
}

// state returns what tells of news, and which file is in force.
func (l *Log) state() (changed <-chan struct{}, era int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changed, l.era
}

// end returns where the last whole line ends.
func (r *reader) end() (int64, error) {
	info, err := r.file.Stat()
	if err != nil {
		return 0, err
	}
	return lastNewline(r.file, info.Size())
}

// begin finds the first line that is asked for, and tells of those that are gone.
func (r *reader) begin() error {
	end, err := r.end()
	if err != nil || end == 0 {
		return err
	}
	if r.q.Last != 0 {
		return r.newest(end)
	}
	_, _, oldest, err := firstEvent(r.file, 0, end)
	if err != nil || oldest == nil {
		return err
	}
	if r.q.Since > 0 {
		lost := ""
		switch last, err := lastCursor(r.file, end); {
		case err != nil:
			return err
		case r.q.Since > last:
			lost, r.seen = "the cursor is not of this log; what follows is all that is kept", 0
		case r.q.Since+1 < oldest.Cursor:
			lost = "what came after the cursor is no longer kept up to here"
		}
		if lost != "" && !r.giveLost(oldest.Cursor-1, lost) {
			return nil
		}
	}
	if r.at, err = r.after(r.seen); err != nil || r.q.Age == 0 {
		return err
	}
	young := time.Now().Add(-r.q.Age)
	from, err := search(r.file, end, func(e messages.LoggedEvent) bool {
		event, err := e.Event()
		return err == nil && !event.At.Before(young)
	})
	r.at = max(r.at, from)
	return err
}

func (r *reader) giveLost(cursor messages.Cursor, why string) bool {
	line, err := json.Marshal(messages.Event{Cursor: cursor, At: time.Now(), What: messages.EventsLost,
		By: messages.ByManager, Why: why, Bad: true})
	if err != nil {
		return true // an event always has a form
	}
	return r.give(messages.LoggedEvent{Cursor: cursor, JSON: line})
}

// after returns the offset of the first event behind the cursor.
func (r *reader) after(cursor messages.Cursor) (int64, error) {
	end, err := r.end()
	if err != nil || cursor == 0 {
		return 0, err
	}
	return search(r.file, end, func(e messages.LoggedEvent) bool { return e.Cursor > cursor })
}

// newest yields the newest events that are asked for, and sets the place behind them.
func (r *reader) newest(end int64) error {
	var found []messages.LoggedEvent
	b := backwards{file: r.file, end: end}
	for len(found) < r.q.Last && (r.about == nil || end-b.end < lookBack) {
		line, err := b.line()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		e, ok := unseal(bytes.Clone(line))
		if ok && e.Cursor <= r.q.Since {
			break
		}
		if ok && r.wanted(e) {
			found = append(found, e)
		}
	}
	for _, e := range slices.Backward(found) {
		r.seen = e.Cursor
		if !r.give(e) {
			return nil
		}
	}
	r.at = end
	return nil
}

func (r *reader) wanted(e messages.LoggedEvent) bool {
	return r.about == nil || bytes.Contains(e.JSON, r.about)
}

// lines yields the lines from the place on, as far as they are whole.
func (r *reader) lines() error {
	b := bufio.NewReaderSize(io.NewSectionReader(r.file, r.at, 1<<62), chunk)
	for {
		line, err := b.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil // the rest is being written
		}
		if err != nil {
			return err
		}
		r.at += int64(len(line))
		e, ok := unseal(line[:len(line)-1])
		if !ok || e.Cursor <= r.seen {
			continue
		}
		r.seen = e.Cursor
		if r.wanted(e) && !r.give(e) {
			return nil
		}
	}
}

func (r *reader) give(e messages.LoggedEvent) bool {
	r.left = r.left || r.ctx.Err() != nil || !r.yield(e, nil)
	return !r.left
}
