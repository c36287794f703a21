package events

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"procman/actors/record"
	"procman/messages"
)

// Options are the choices of a [Log]. The zero value is good.
type Options struct {
	MaxSize int64        // of the file, in bytes; default 16 MiB
	Logger  *slog.Logger // default: nothing is logged
}

const (
	maxWaiting = 1 << 16         // events that wait to be written
	maxWhy     = 8 << 10         // bytes of an event's reason
	farewell   = 2 * time.Second // what Close gives the writer
)

// Log is an event log. Its methods may be called by any number of goroutines.
type Log struct {
	path string
	max  int64
	log  *slog.Logger

	// Never held over a call to a file system, which may stall: whoever tells of an event takes it.
	mu      sync.Mutex
	more    *sync.Cond
	waiting []messages.Event
	lost    int
	closed  bool
	changed chan struct{} // closed when readers may find something new
	era     int           // changes when another file is in the place of the old one
	closing chan struct{}
	done    chan struct{}

	// Of the writer alone, after Open.
	file    *os.File
	size    int64
	trimAt  int64
	next    messages.Cursor
	failing bool
}

// Open opens the log at path, or makes one. What is damaged in it is passed over, a torn end cut off. The error says
// why no log can be kept there.
func Open(path string, o Options) (*Log, error) {
	if o.MaxSize <= 0 {
		o.MaxSize = 16 << 20
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	l := &Log{path: path, max: o.MaxSize, log: o.Logger, changed: make(chan struct{}), closing: make(chan struct{}),
		done: make(chan struct{})}
	l.more = sync.NewCond(&l.mu)
	if err := l.open(); err != nil {
		return nil, fmt.Errorf("no event log can be kept; make room for one at %s: %w", path, err)
	}
	go l.run()
	return l, nil
}

// open opens the file and finds the cursor to go on with.
func (l *Log) open() error {
	file, err := record.Open(l.path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	size, last, err := mend(file)
	if err != nil {
		return errors.Join(err, file.Close())
	}
	if l.file != nil {
		_ = l.file.Close() // nothing is buffered in it
	}
	l.file, l.size, l.trimAt = file, size, l.max
	// A log that is new begins above every cursor that an earlier one can have given.
	if l.next == 0 && last == 0 {
		last = messages.Cursor(time.Now().UnixMicro())
	}
	l.next = max(l.next, last+1)
	return nil
}

// mend cuts off an end that is not a whole line, and returns the size and the last cursor; 0 if there is none.
func mend(file *os.File) (size int64, last messages.Cursor, err error) {
	info, err := file.Stat()
	if err != nil {
		return 0, 0, err
	}
	end, err := lastNewline(file, info.Size())
	if err != nil {
		return 0, 0, err
	}
	if end < info.Size() {
		if err := file.Truncate(end); err != nil {
			return 0, 0, err
		}
	}
	last, err = lastCursor(file, end)
	return end, last, err
}

// Append has the event written. It never waits.
func (l *Log) Append(e messages.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(l.waiting) >= maxWaiting {
		l.lost++
		return
	}
	l.waiting = append(l.waiting, e)
	l.more.Signal()
}

// Close writes what waits, for two seconds at the most, and ends all readers.
func (l *Log) Close() error {
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		close(l.closing)
		l.more.Signal()
	}
	l.mu.Unlock()
	late := time.NewTimer(farewell)
	defer late.Stop()
	select {
	case <-l.done:
		return nil
	case <-late.C:
		return fmt.Errorf("the event log %s takes nothing", l.path)
	}
}

// run is the writer.
func (l *Log) run() {
	defer close(l.done)
	for {
		events, lost, ok := l.take()
		if !ok {
			_ = l.file.Close() // every write has been checked
			return
		}
		if lost > 0 {
			events = append([]messages.Event{{At: time.Now(), What: messages.EventsLost,
				By: messages.ByManager, Bad: true,
				Why: fmt.Sprintf("%d events could not be written", lost)}}, events...)
		}
		if err := l.write(events); err != nil {
			l.fail(err, lost+len(events)-min(lost, 1))
			continue
		}
		if l.failing {
			l.failing = false
			l.log.Info("the event log is written again", "path", l.path, "lost", lost)
		}
		l.tell()
	}
}

// take waits for events.
func (l *Log) take() (events []messages.Event, lost int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.waiting) == 0 {
		if l.closed {
			return nil, 0, false
		}
		l.more.Wait()
	}
	events, lost = l.waiting, l.lost
	l.waiting, l.lost = nil, 0
	return events, lost, true
}

// fail counts what was not written, and says so once.
func (l *Log) fail(err error, lost int) {
	l.mu.Lock()
	l.lost += lost
	l.mu.Unlock()
	if !l.failing {
		l.failing = true
		l.log.Error("events cannot be written; they are counted, and supervision goes on", "path", l.path, "error", err)
	}
}

// write gives the events their cursors and writes them with one call.
func (l *Log) write(events []messages.Event) error {
	if err := l.reopen(); err != nil {
		return err
	}
	if l.size > 2*l.max { // it could not be cut down so far
		if err := l.halve(); err != nil {
			return err
		}
	}
	var lines []byte
	for _, event := range events {
		event.Cursor, event.Why = l.next, clip(event.Why)
		l.next++
		text, err := json.Marshal(event)
		if err != nil {
			return err
		}
		lines = append(lines, record.SealLine(text)...)
	}
	n, err := l.file.Write(lines)
	if err != nil {
		if n > 0 { // half a line would garble the next one
			err = errors.Join(err, l.file.Truncate(l.size))
			l.turnEra() // readers may have come further than that
		}
		return err
	}
	l.size += int64(n)
	if l.size > l.trimAt {
		l.trim()
	}
	return nil
}

// clip bounds what one event can take: a reason may hold all that is wrong with a configuration.
func clip(why string) string {
	if len(why) <= maxWhy {
		return why
	}
	return strings.ToValidUTF8(why[:maxWhy], "") + "…"
}

// reopen makes the log anew if somebody has taken it away.
func (l *Log) reopen() error {
	there, err := os.Lstat(l.path)
	if err == nil {
		var mine fs.FileInfo
		if mine, err = l.file.Stat(); err == nil && os.SameFile(there, mine) {
			return nil
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	defer l.turnEra()
	return l.open()
}

// turnEra says that another file is in the place of the old one, once it is: a reader who opens the new one before that
// opens it twice.
func (l *Log) turnEra() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.era++
}

// trim puts the newest half of the file in its place. When that fails it is tried again later: the file is a bit
// larger.
func (l *Log) trim() {
	if err := l.halve(); err != nil {
		l.trimAt = l.size + l.max/8
		l.log.Warn("the event log could not be cut down to size; that is tried again", "path", l.path, "bytes",
			l.size, "error", err)
	}
}

func (l *Log) halve() error {
	from, err := lineStart(l.file, l.size-l.max/2, l.size)
	if err != nil {
		return err
	}
	name := l.path + ".new"
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	half, err := record.Open(name, os.O_RDWR|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	size, err := io.Copy(half, io.NewSectionReader(l.file, from, l.size-from))
	if err != nil {
		return errors.Join(err, half.Close(), os.Remove(name))
	}
	if err := os.Rename(name, l.path); err != nil {
		return errors.Join(err, half.Close())
	}
	_ = l.file.Close() // nothing is buffered in it
	l.file, l.size, l.trimAt = half, size, l.max
	l.turnEra()
	return nil
}

// tell wakes the readers that wait.
func (l *Log) tell() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.changed)
	l.changed = make(chan struct{})
}
