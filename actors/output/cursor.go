package output

import (
	"bytes"
	"errors"
	"io"

	"procman/messages"
)

// chunk is how much a cursor reads at a time.
const chunk = 64 << 10

func atEnd(err error) bool { return errors.Is(err, io.EOF) }

// cursor goes through the lines of a stream, forwards.
type cursor struct {
	v        *view
	mask     *messages.Masker
	pos      int64 // of the next byte
	era      int64 // of pos
	from     int64 // where what next found begins; pos, if it found nothing
	end, cut int64
	flush    bool   // what stands before end without a line end is a line
	torn     bool   // pos is inside of a line: if its rest is short, leave it out
	skipped  int64  // bytes that are gone; -1: nobody knows how many
	buf      []byte // from pos on
}

// next returns the next line, or a piece of one if it is longer than maxLine; last says that it ends with it. Without another
// line, ok is false.
func (c *cursor) next() (text []byte, last, ok bool, err error) {
	for {
		c.from = c.pos
		limit, flush := c.end, c.flush
		if c.pos < c.cut && c.cut <= c.end {
			limit, flush = c.cut, true
		}
		have := c.buf[:max(0, min(int64(len(c.buf)), limit-c.pos))]
		text, size, partial := cutPiece(have, maxLine, c.mask)
		switch {
		case size > 0:
		case c.pos+int64(len(have)) < limit:
			got, err := c.fill(limit)
			if err != nil || !got {
				return nil, false, false, err
			}
			continue
		case flush && len(have) > 0:
			text, size = have, len(have)
		default:
			c.buf = bytes.Clone(c.buf) // who waits for more keeps no chunk meanwhile
			return nil, false, false, nil
		}
		c.pos += int64(size)
		c.buf = c.buf[size:]
		if c.torn {
			c.torn = false
			if !partial {
				if c.skipped != 0 {
					c.skip(int64(size))
				}
				continue
			}
		}
		return text, !partial, true, nil
	}
}

// fill reads more, and reports whether there was any. What was taken away before it could be read is skipped.
func (c *cursor) fill(limit int64) (bool, error) {
	at := c.pos + int64(len(c.buf))
	// Appending to a fresh slice keeps what next has returned intact.
	b := make([]byte, len(c.buf)+int(min(chunk, limit-at)))
	n, r, err := c.v.readAt(b[copy(b, c.buf):], at, c.era)
	if errors.Is(err, errTrimmed) {
		c.restart(r)
		return true, nil
	}
	if err != nil || n == 0 {
		return false, err
	}
	c.buf = b[:len(c.buf)+n]
	return true, nil
}

// restart goes on with what is kept.
func (c *cursor) restart(r rim) {
	c.skip(r.head - c.pos)
	c.pos, c.era, c.torn, c.buf = r.head, r.era, r.torn, nil
}

// skip notes that so many bytes are gone; if fewer than none are, nobody knows how many.
func (c *cursor) skip(n int64) {
	if n < 0 || c.skipped < 0 {
		c.skipped = -1
	} else {
		c.skipped += n
	}
}

// seeker goes through the lines of a stream, backwards.
type seeker struct {
	v *view
	rim
	floor int64 // lines that end before it, or at it, are of no interest
	pos   int64 // the end of the line that prev finds
	buf   []byte
	off   int64 // of buf
}

// prev moves to the start of the line that ends at pos, and reports whether there is one.
func (k *seeker) prev() (bool, error) {
	if k.pos <= max(k.head, k.floor) {
		return false, nil
	}
	// The byte before pos is the line's own end, if it has one.
	start, err := k.after('\n', k.pos-1)
	if errors.Is(err, errTrimmed) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if start == k.head && k.torn && k.pos-k.head <= maxLine {
		return false, nil
	}
	k.pos = start
	return true, nil
}

// after returns the offset behind the last b before to; head, if there is none.
func (k *seeker) after(b byte, to int64) (int64, error) {
	for to > k.head {
		if to <= k.off || to > k.off+int64(len(k.buf)) {
			if err := k.load(to); err != nil {
				return 0, err
			}
		}
		if i := bytes.LastIndexByte(k.buf[:to-k.off], b); i >= 0 {
			return k.off + int64(i) + 1, nil
		}
		to = k.off
	}
	return k.head, nil
}

// load reads the chunk that ends at to.
func (k *seeker) load(to int64) error {
	k.off = max(k.head, to-chunk)
	if int64(cap(k.buf)) < to-k.off {
		k.buf = make([]byte, chunk)
	}
	k.buf = k.buf[:to-k.off]
	n, _, err := k.v.readAt(k.buf, k.off, k.era)
	if err == nil && n < len(k.buf) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		k.buf = k.buf[:0]
	}
	return err
}
