package output

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"time"

	"procman/messages"
)

// turnBytes is how much of a stream a turn reads at the most. It is more than a piece of a line, so every turn gets on.
const turnBytes = 256 << 10

var errOverwritten = errors.New("the bytes before the place are not those that were forwarded")

// forward makes records of what stands between the place and limit, up to turnBytes, and reports whether there is more. What
// has no line end yet is left where it is, unless the follower ends with it.
func (u *Outputs) forward(t *stream, f *follower, file *os.File, limit int64, stopping, final bool, buf []byte) (more bool, err error) {
	known := t.comparable()
	if !u.o.Forward {
		return false, u.pass(t, file, limit, final, buf)
	}
	to := min(limit, t.Next+turnBytes)
	buf = buf[:int64(len(known))+to-t.Next]
	n, err := file.ReadAt(buf, t.Next-int64(len(known))-t.Base)
	if n < len(buf) {
		if errors.Is(err, io.EOF) {
			return true, nil // truncated just now: the next look tells
		}
		return false, err
	}
	if !bytes.Equal(buf[:len(known)], known) {
		return false, errOverwritten
	}
	rest := buf[len(known):]
	mask := u.mask(t.spool.id)
	for {
		text, size, partial := cutPiece(rest, maxLine, mask)
		if size == 0 {
			break
		}
		f.emit(t.index, text, mask, partial)
		rest = rest[size:]
	}
	more = to < limit
	ended := stopping && !more && len(rest) > 0
	if ended {
		n := len(rest)
		if !final {
			n = mask.Whole(rest) // a later follower forwards the rest
		}
		if n > 0 {
			f.emit(t.index, rest[:n], mask, !final)
		}
		rest = rest[n:]
	}
	done := buf[:len(buf)-len(rest)]
	u.forwarded.Add(int64(len(done) - len(known)))
	t.spool.mu.Lock()
	defer t.spool.mu.Unlock()
	if len(done) > len(known) {
		t.moved(t.Next+int64(len(done)-len(known)), done)
	}
	if ended && final {
		t.cut = t.Next
	}
	return more, nil
}

// pass takes everything up to limit for forwarded.
func (u *Outputs) pass(t *stream, file *os.File, limit int64, final bool, buf []byte) error {
	tail := buf[:min(tailSize, limit-t.head)]
	n, err := file.ReadAt(tail, limit-t.Base-int64(len(tail)))
	if n < len(tail) {
		if errors.Is(err, io.EOF) {
			return nil // truncated just now: the next look tells
		}
		return err
	}
	t.spool.mu.Lock()
	defer t.spool.mu.Unlock()
	t.moved(limit, tail)
	if final && len(tail) > 0 && tail[len(tail)-1] != '\n' {
		t.cut = limit
	}
	return nil
}

// skip gives up what is too much to be forwarded: all but MaxSize bytes of what was written while nobody followed, and of
// a stream that is MaxBacklog ahead.
func (u *Outputs) skip(t *stream, f *follower, file *os.File) error {
	limit := u.o.MaxBacklog
	if !t.abreast {
		limit = u.o.kept()
	}
	t.abreast = true
	if !u.o.Forward || t.end-t.Next <= limit {
		return nil
	}
	to := t.end - u.o.MaxSize
	// Begin with a whole line, if one begins nearby.
	near := make([]byte, maxLine)
	n, err := file.ReadAt(near, to-1-t.Base)
	if n == 0 {
		return err
	}
	if i := bytes.IndexByte(near[:n], '\n'); i >= 0 {
		to += int64(i)
	}
	lost := to - t.Next
	t.spool.mu.Lock()
	t.moved(to, nil)
	t.spool.mu.Unlock()
	u.skipped.Add(lost)
	slog.New(f.handler(t.index)).Warn("output skipped", "bytes", lost)
	return nil
}

// emit makes a record of a line, or of a piece of one.
func (f *follower) emit(i int, text []byte, mask *messages.Masker, partial bool) {
	h, ctx := f.handler(i), context.Background()
	if !h.Enabled(ctx, slog.LevelInfo) {
		return
	}
	line, quoted := legible(mask.Mask(string(text)))
	r := slog.NewRecord(time.Now(), slog.LevelInfo, "output", 0)
	r.AddAttrs(slog.String("line", line))
	if quoted {
		r.AddAttrs(slog.Bool("quoted", true))
	}
	if partial {
		r.AddAttrs(slog.Bool("partial", true))
	}
	// What becomes of a record is its handler's, as everywhere with slog; a log that is sick must not hold up a place.
	_ = h.Handle(ctx, r)
}
