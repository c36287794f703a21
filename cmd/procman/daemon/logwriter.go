package daemon

import (
	"io"
	"sync"
	"time"
)

const (
	// logBacklog is how many bytes of records may wait for stderr.
	logBacklog = 1 << 20
	// logPiece is how much is written at once. A pipe takes this much as soon as its reader reads at all.
	logPiece = 16 << 10
	// logGather is how long the output of an instance may wait for more of it, so that a line is no write of its own.
	// The manager's own records wait for nothing.
	logGather = 10 * time.Millisecond
	// logAhead is how many bytes the output of instances may be ahead of stderr, and what a buffer may have that is
	// kept.
	logAhead = 4 * logPiece
	// logPatience is how long one piece may take before stderr counts as blocked.
	logPatience = 2 * time.Second
)

// logWriter writes records in a goroutine of its own. Its Write never waits: what finds no room is dropped and counted,
// and reported by one record when the writer takes records again. Each Write is taken for one record.
type logWriter struct {
	to     io.Writer
	limit  int
	note   func(dropped int) []byte // makes the record that says how many were dropped
	gather *time.Timer              // ends the time for which pending may grow
	stuck  *time.Timer              // of the write under way

	mu      sync.Mutex
	change  *sync.Cond // of anything below
	pending []byte
	spare   []byte // empty, where pending was before
	due     bool   // pending waits for no more
	records int    // in pending
	taken   int    // records put into pending, ever
	settled int    // of those, the ones that were written, or could not be
	flying  int    // bytes taken out of pending and not yet written
	dropped int
	began   time.Time // the write under way; zero: there is none
	blocked bool      // the writer has not moved for logPatience
	hurry   bool      // nobody waits any more
	closed  bool
	done    chan struct{}
}

func newLogWriter(to io.Writer, limit int, note func(dropped int) []byte) *logWriter {
	w := &logWriter{to: to, limit: limit, note: note, done: make(chan struct{})}
	w.change = sync.NewCond(&w.mu)
	w.gather = time.AfterFunc(time.Hour, w.flush)
	w.gather.Stop()
	w.stuck = time.AfterFunc(time.Hour, w.late)
	w.stuck.Stop()
	go w.run()
	return w
}

// Write takes a record, or drops it. It never fails.
func (w *logWriter) Write(record []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.put(record, w.limit)
	w.flushLocked()
	return len(record), nil
}

// room reports whether a record of so many bytes finds room within the limit. One that is larger than all there is must
// be alone.
func (w *logWriter) room(bytes, limit int) bool {
	waiting := len(w.pending) + w.flying
	return waiting == 0 || waiting+bytes <= limit
}

func (w *logWriter) put(record []byte, limit int) {
	if w.closed || !w.room(len(record), limit) {
		w.dropped++
		return
	}
	w.pending = append(w.pending, record...)
	w.records++
	w.taken++
}

// flush has what is pending written.
func (w *logWriter) flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flushLocked()
}

func (w *logWriter) flushLocked() {
	w.due = true
	w.change.Broadcast()
}

// Patient returns a writer to the same place that waits for room for as long as stderr moves at all. It is for whoever
// can wait: the output of instances stands in files anyway. Of the backlog it gets one half: however much an instance
// prints, the manager's own records find room.
func (w *logWriter) Patient() io.Writer { return patient{w} }

type patient struct{ *logWriter }

func (p patient) Write(record []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	limit := min(p.limit/2, logAhead)
	for first := true; !p.room(len(record), limit) && !p.blocked && !p.hurry && !p.closed; first = false {
		if first || !p.due {
			p.flushLocked()
		}
		p.change.Wait()
	}
	p.put(record, limit)
	switch {
	case len(p.pending) >= logPiece || p.records == 0:
		p.flushLocked()
	case p.records == 1:
		p.gather.Reset(logGather)
	}
	return len(record), nil
}

// Settled waits until the records taken so far are written, or stderr is blocked, and reports whether they are. One
// that could not be written, and is counted as dropped, is settled.
func (w *logWriter) Settled() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	upTo := w.taken
	if w.settled < upTo {
		w.flushLocked() // once: all who wait would wake each other as long as a write takes
	}
	for ; w.settled < upTo; w.change.Wait() {
		if w.blocked {
			return false
		}
	}
	return true
}

// EndPatience ends all patience.
func (w *logWriter) EndPatience() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hurry = true
	w.change.Broadcast()
}

// Close writes what waits, for no longer than the time given. A writer that is blocked then is left alone.
func (w *logWriter) Close(within time.Duration) {
	w.mu.Lock()
	w.closed = true
	w.flushLocked()
	w.mu.Unlock()
	late := time.NewTimer(within)
	defer late.Stop()
	select {
	case <-w.done:
	case <-late.C:
	}
}

func (w *logWriter) run() {
	defer close(w.done)
	for flows := true; ; {
		batch, records, dropped, ok := w.take(flows)
		if !ok {
			return
		}
		if dropped > 0 {
			batch = append(batch, w.note(dropped)...)
		}
		flows = w.write(batch)
		w.mu.Lock()
		w.spare = batch[:0]
		w.settled += records
		if !flows {
			w.dropped += records + dropped
		}
		w.change.Broadcast()
		w.mu.Unlock()
	}
}

// take waits for something to write. What was dropped is worth a record of its own, unless the last write failed: the
// next one is made for something new.
func (w *logWriter) take(flows bool) (batch []byte, records, dropped int, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flying = 0
	w.change.Broadcast()
	for !w.due || w.records == 0 && (w.dropped == 0 || !flows) {
		if w.due && w.closed {
			return nil, 0, 0, false
		}
		w.slim()
		w.change.Wait()
	}
	batch, records, dropped = w.pending, w.records, w.dropped
	w.pending, w.spare, w.due, w.records, w.dropped, w.flying = w.spare, nil, w.closed, 0, 0, len(batch)
	return batch, records, dropped, true
}

// slim lets go of what a flood has needed.
func (w *logWriter) slim() {
	if cap(w.spare) > 2*logAhead {
		w.spare = nil
	}
	if len(w.pending) == 0 && cap(w.pending) > 2*logAhead {
		w.pending = nil
	}
}

// write writes the batch in pieces and reports whether all of it was taken.
func (w *logWriter) write(batch []byte) bool {
	for len(batch) > 0 {
		w.begin()
		n, err := w.to.Write(batch[:min(len(batch), logPiece)])
		w.wrote(n)
		if err != nil {
			return false
		}
		batch = batch[n:]
	}
	return true
}

// begin says that a write begins.
func (w *logWriter) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.began = time.Now()
	w.stuck.Reset(logPatience)
}

// late says that a write takes long, if the one under way does: a timer that was stopped too late must not have the
// last word.
func (w *logWriter) late() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.began.IsZero() && time.Since(w.began) >= logPatience {
		w.blocked = true
		w.change.Broadcast()
	}
}

// wrote says that the write has ended, and how much was taken.
func (w *logWriter) wrote(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stuck.Stop()
	w.began, w.blocked = time.Time{}, false
	w.flying = max(0, w.flying-n)
	w.change.Broadcast()
}
