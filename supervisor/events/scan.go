package events

import (
	"bytes"
	"errors"
	"io"
	"strconv"

	"procman/actors/record"
	"procman/messages"
)

// chunk is how much is read at a time.
const chunk = 64 << 10

// unseal returns the event that a line, without its end, is; false if it is none, or a damaged one. It may write into
// the line.
func unseal(line []byte) (messages.LoggedEvent, bool) {
	event, whole := record.UnsealLine(line)
	digits, is := bytes.CutPrefix(event, []byte(`{"cursor":`))
	comma := bytes.IndexByte(digits, ',')
	if !whole || !is || comma < 0 {
		return messages.LoggedEvent{}, false
	}
	cursor, err := strconv.ParseUint(string(digits[:comma]), 10, 64)
	return messages.LoggedEvent{Cursor: messages.Cursor(cursor), JSON: event}, err == nil
}

// lastNewline returns the offset behind the last line end before end.
func lastNewline(file io.ReaderAt, end int64) (int64, error) {
	buf := make([]byte, chunk)
	for end > 0 {
		from := max(0, end-chunk)
		b := buf[:end-from]
		if _, err := file.ReadAt(b, from); err != nil {
			return 0, err
		}
		if i := bytes.LastIndexByte(b, '\n'); i >= 0 {
			return from + int64(i) + 1, nil
		}
		end = from
	}
	return 0, nil
}

// lineStart returns the offset of the first line that begins at from or later; end, if there is none.
func lineStart(file io.ReaderAt, from, end int64) (int64, error) {
	if from <= 0 {
		return 0, nil
	}
	buf := make([]byte, chunk)
	for at := from - 1; at < end; {
		n, err := file.ReadAt(buf[:min(chunk, end-at)], at)
		if i := bytes.IndexByte(buf[:n], '\n'); i >= 0 {
			return at + int64(i) + 1, nil
		}
		if err != nil && !errors.Is(err, io.EOF) || n == 0 {
			return end, err
		}
		at += int64(n)
	}
	return end, nil
}

// lineAt returns the line that begins at the offset, without its end; nil if it does not end before end.
func lineAt(file io.ReaderAt, at, end int64) ([]byte, error) {
	var line []byte
	buf := make([]byte, 1024)
	for at < end {
		n, err := file.ReadAt(buf[:min(int64(len(buf)), end-at)], at)
		if i := bytes.IndexByte(buf[:n], '\n'); i >= 0 {
			return append(line, buf[:i]...), nil
		}
		if err != nil && !errors.Is(err, io.EOF) || n == 0 {
			return nil, err
		}
		line, at = append(line, buf[:n]...), at+int64(n)
	}
	return nil, nil
}

// search returns the offset of the first line for which is holds, by halving: it must hold for every line after that.
// Lines that are no events are passed over.
func search(file io.ReaderAt, end int64, is func(messages.LoggedEvent) bool) (int64, error) {
	// it does not hold for what begins before low, and does for the first event at high or later
	low, high := int64(0), end
	for high-low > chunk {
		middle, err := lineStart(file, (low+high)/2, high)
		if err != nil {
			return 0, err
		}
		at, size, event, err := firstEvent(file, middle, high)
		switch {
		case err != nil:
			return 0, err
		case event == nil, is(*event): // the rest up to high says nothing, or yes
			high = (low + high) / 2
		default:
			low = at + size
		}
	}
	for low < end {
		at, size, event, err := firstEvent(file, low, end)
		if err != nil {
			return 0, err
		}
		if event == nil {
			return end, nil
		}
		if is(*event) {
			return at, nil
		}
		low = at + size
	}
	return end, nil
}

// firstEvent returns the first event of a line that begins at the offset or later, where that line is, and its size;
// nil if there is none.
func firstEvent(file io.ReaderAt, at, end int64) (start, size int64, e *messages.LoggedEvent, err error) {
	for at < end {
		line, err := lineAt(file, at, end)
		if err != nil || line == nil {
			return end, 0, nil, err
		}
		size := int64(len(line)) + 1
		if e, ok := unseal(line); ok {
			return at, size, &e, nil
		}
		at += size
	}
	return end, 0, nil, nil
}

// backwards goes through the lines of a file from an offset to its head.
type backwards struct {
	file io.ReaderAt
	end  int64 // behind the line end of the next line
	buf  []byte
	off  int64 // of buf
}

// line returns the next line back, without its end; io.EOF at the head.
func (b *backwards) line() ([]byte, error) {
	if b.end == 0 {
		return nil, io.EOF
	}
	for stop := b.end - 1; ; {
		from := max(0, stop-chunk)
		if b.off <= stop && stop <= b.off+int64(len(b.buf)) {
			if i := bytes.LastIndexByte(b.buf[:stop-b.off], '\n'); i >= 0 || b.off == 0 {
				b.end = b.off + int64(i) + 1
				return b.buf[b.end-b.off : stop-b.off], nil
			}
			from = max(0, b.off-chunk)
		}
		b.buf, b.off = make([]byte, stop-from), from
		if _, err := b.file.ReadAt(b.buf, from); err != nil {
			return nil, err
		}
	}
}

// lastCursor returns the cursor of the last event before end; 0 if there is none.
func lastCursor(file io.ReaderAt, end int64) (messages.Cursor, error) {
	for b := (backwards{file: file, end: end}); ; {
		line, err := b.line()
		if errors.Is(err, io.EOF) {
			return 0, nil
		}
		if err != nil {
			return 0, err
		}
		if e, ok := unseal(line); ok {
			return e.Cursor, nil
		}
	}
}
