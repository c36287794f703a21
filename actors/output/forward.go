package output

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"
	"unsafe"
)

// turnBytes is how much of a file a turn reads at the most. It is more than a piece of a line, so every turn gets on.
const turnBytes = 256 << 10

var errOverwritten = errors.New("the bytes before the position are not those that were forwarded")

// look begins one file's share of a turn: it finds it, and takes up the checkpoint in it. The file is open afterwards
// if there may be something to do in it.
func (w *worker) look(t *tail) error {
	f, err := w.find(t)
	if err != nil {
		return err
	}
	position, end, head := t.Next, t.end, t.head
	if w.excessive(t) || t.unread(f, w.armed[t.index]) {
		if err := w.open(t); err != nil {
			return err
		}
	} else {
		anew, err := t.look(f, nil)
		if err != nil {
			return err
		}
		w.sayAnew(t, anew)
		t.abreast = true
	}
	if t.Next != position || t.end != end || t.head != head {
		w.found(t)
	}
	return nil
}

// found notes that something has changed in a file, which is to be told and saved.
func (w *worker) found(t *tail) { w.news, t.source.unsaved = true, true }

// excessive reports whether more is kept of a file than is meant, or its last line may have to be looked at.
func (w *worker) excessive(t *tail) bool {
	return t.end-t.head > w.u.o.kept() || w.final && !w.u.o.Forward
}

// open takes up the checkpoint in a file, which is open until close.
func (w *worker) open(t *tail) error {
	file, err := t.open(os.O_RDONLY)
	if err != nil {
		return err
	}
	w.files[t.index] = file
	var anew string
	f, err := statFile(file)
	if err == nil {
		anew, err = t.look(f, file)
	}
	if err != nil {
		return errors.Join(err, w.close(t))
	}
	w.sayAnew(t, anew)
	return nil
}

func (w *worker) close(t *tail) error {
	file := w.files[t.index]
	w.files[t.index] = nil
	return file.Close()
}

// visit does what is to be done in one file: it forwards what is new, and trims it.
func (w *worker) visit(t *tail) (err error) {
	if w.files[t.index] == nil {
		return nil
	}
	defer func() { err = errors.Join(err, w.close(t)) }()
	position, head := t.Next, t.head
	if err := w.skip(t); err != nil {
		return err
	}
	more, err := w.forward(t)
	if errors.Is(err, errOverwritten) {
		t.overwritten()
		w.sayAnew(t, "overwritten")
		w.found(t)
		w.more = true
		return nil
	}
	if err != nil {
		return err
	}
	w.u.trim(t)
	if t.Next != position || t.head != head {
		w.found(t)
	}
	w.more = w.more || more
	return nil
}

// conclude says what became of a visit. A follower that ends does not wait for a disk to get well: its checkpoint is
// remembered.
func (w *worker) conclude(t *tail, err error) {
	w.poll = w.poll || err != nil
	if errors.Is(err, os.ErrNotExist) {
		w.sayGone(t)
		err = nil
	} else if err == nil {
		t.missing = false
	}
	t.reading.note(w.u.log, err, "output cannot be read", "instance", string(t.source.id), "stream", string(t.name()))
}

// forward makes records of what stands between the position and the limit of the turn, up to turnBytes, and reports
// whether there is more. What has no line end yet is left where it is, unless the follower ends with it.
func (w *worker) forward(t *tail) (more bool, err error) {
	limit := w.limit(t)
	if !w.u.o.Forward {
		return false, w.pass(t, limit)
	}
	known := t.comparable()
	to := min(limit, t.Next+turnBytes)
	buf := w.bytes(int64(len(known)) + to - t.Next)
	n, err := w.files[t.index].ReadAt(buf, t.Next-int64(len(known))-t.Base)
	if n < len(buf) {
		return errors.Is(err, io.EOF), notEOF(err) // truncated just now: the next look tells
	}
	if !bytes.Equal(buf[:len(known)], known) {
		return false, errOverwritten
	}
	rest := buf[len(known):]
	mask := w.u.mask(t.source.id)
	for {
		text, size, partial := cutPiece(rest, maxLine, mask)
		if size == 0 {
			break
		}
		w.follower.emit(t, mask.Mask(w.u.text(text)), partial)
		rest = rest[size:]
	}
	more = to < limit
	ended := w.ending && !more && len(rest) > 0
	if ended {
		n := len(rest)
		if !w.final {
			n = mask.Whole(rest) // a later follower forwards the rest
		}
		if n > 0 {
			w.follower.emit(t, mask.Mask(w.u.text(rest[:n])), !w.final)
		}
		rest = rest[n:]
	}
	done := buf[:len(buf)-len(rest)]
	w.u.forwarded.Add(int64(len(done) - len(known)))
	t.source.mu.Lock()
	defer t.source.mu.Unlock()
	if len(done) > len(known) {
		t.advance(t.Next+int64(len(done)-len(known)), done)
	}
	if ended && w.final {
		t.cut = t.Next
	}
	return more, nil
}

// limit returns up to where the follower forwards: what comes after it was told to end is left to the next one.
func (w *worker) limit(t *tail) int64 {
	if !w.ending {
		return t.end
	}
	until := &w.follower.until[t.index]
	if *until < 0 {
		*until = t.last()
	}
	return max(t.Next, min(t.end, *until))
}

// pass takes everything up to limit for forwarded.
func (w *worker) pass(t *tail, limit int64) error {
	before := w.bytes(min(fingerprintSize, limit-t.head))
	n, err := w.files[t.index].ReadAt(before, limit-t.Base-int64(len(before)))
	if n < len(before) {
		return notEOF(err) // truncated just now: the next look tells
	}
	t.source.mu.Lock()
	defer t.source.mu.Unlock()
	t.advance(limit, before)
	if w.final && len(before) > 0 && before[len(before)-1] != '\n' {
		t.cut = limit
	}
	return nil
}

// skip gives up what is too much to be forwarded: all but MaxSize bytes of what was written while nobody followed, and
// of a file that is MaxBacklog ahead; all but its share of one that is to give way to others.
func (w *worker) skip(t *tail) error {
	o := w.u.o
	limit := o.MaxBacklog
	if !t.abreast {
		limit = o.kept()
	}
	t.abreast = true
	keep := o.MaxSize
	if share := w.u.allowed(t); share > 0 && share+turnBytes < limit {
		limit, keep = share+turnBytes, share // it can be kept only if it is not forwarded first
	}
	if !o.Forward || t.end-t.Next <= limit {
		return nil
	}
	to := t.end - keep
	// Begin with a whole line, if one begins nearby.
	near := w.bytes(maxLine)
	n, err := w.files[t.index].ReadAt(near, to-1-t.Base)
	if n == 0 {
		return err
	}
	if i := bytes.IndexByte(near[:n], '\n'); i >= 0 {
		to += int64(i)
	}
	lost := to - t.Next
	t.source.mu.Lock()
	t.advance(to, nil)
	t.source.mu.Unlock()
	w.u.skipped.Add(lost)
	w.log(t).Warn("output skipped", "bytes", lost)
	return nil
}

// text returns a line as a string, which is good until the turn goes on if the handler has said that it needs no more.
func (u *Outputs) text(line []byte) string {
	if u.o.Lend {
		return unsafe.String(unsafe.SliceData(line), len(line))
	}
	return string(line)
}

// emit makes a record of a line, or of a piece of one.
func (f *follower) emit(t *tail, text string, partial bool) {
	h, ctx := f.handler(t), context.Background()
	if !h.Enabled(ctx, slog.LevelInfo) {
		return
	}
	line, quoted := legible(text)
	r := slog.NewRecord(time.Now(), slog.LevelInfo, "output", 0)
	r.AddAttrs(slog.String("line", line))
	if quoted {
		r.AddAttrs(slog.Bool("quoted", true))
	}
	if partial {
		r.AddAttrs(slog.Bool("partial", true))
	}
	// What becomes of a record is its handler's, as everywhere with slog; a log that is sick must not hold up a
	// position.
	_ = h.Handle(ctx, r)
}

// find looks at the file of a run, and sees to it that it is followed by whatever name it has: somebody may have moved
// or removed it, while the process writes on to what it has open. Which file that is, its number and time of birth
// tell.
func (w *worker) find(t *tail) (fileInfo, error) {
	f := w.follower
	now, err := t.stat()
	if err == nil && t.same(now) || t.held != nil || !t.Known || f.ghost || f.pid <= 0 {
		return now, err
	}
	looked := fileInfo{Born: 1} // nothing
	if err == nil {
		looked = fileInfo{Inode: now.Inode, Born: now.Born}
	}
	if t.searched != nil && looked == *t.searched {
		return now, err
	}
	t.searched = &looked
	file, openErr := openWritten(f.pid, int(t.index)+1)
	if openErr != nil {
		return now, err // the process is gone, or does not show itself; what is at path counts
	}
	written, statErr := statFile(file)
	if statErr != nil || !t.same(written) {
		_ = file.Close() // it writes somewhere of its own choice: that is not ours
		return now, err
	}
	t.source.mu.Lock()
	t.held = file
	t.source.mu.Unlock()
	if w.u.watch != nil {
		w.u.watch.disarm(t)
		w.armed[t.index] = false
	}
	why := fmt.Sprintf("%s was moved or removed, and the process writes on into what was there: that is read and "+
		"bounded as before, until the next run makes a new file",
		filepath.Base(t.path()))
	w.log(t).Warn("output file was moved", "file", t.path(), "consequence", why)
	if w.u.o.Moved != nil {
		w.u.o.Moved(t.source.id, f.run, f.pid, why)
	}
	return written, nil
}

// log is for what is to be said of a file.
func (w *worker) log(t *tail) *slog.Logger { return slog.New(w.follower.handler(t)) }

// sayAnew logs that a checkpoint began anew.
func (w *worker) sayAnew(t *tail, reason string) {
	if reason == "" {
		return
	}
	w.log(t).Warn("output begins anew", "file", t.path(), "reason", reason)
	w.follower.until[t.index] = -1
	t.noPunch, t.noCut = false, false // another file may be on another file system
}

// sayGone logs that a file that was there is not, once.
func (w *worker) sayGone(t *tail) {
	if !t.Known || t.missing {
		return
	}
	t.missing = true
	w.log(t).Warn("output file is gone; what a process still writes to it cannot be read, and is lost",
		"file", t.path())
}

func notEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
