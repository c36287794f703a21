package output

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"time"

	"procman/messages"
)

// chunk is how much is read at a time.
const chunk = 64 << 10

// errTrimmed says that an offset is before what is kept.
var errTrimmed = errors.New("no longer kept")

// lane is one stream of a reader. It goes through the lines forwards. Offsets stay valid while the file is trimmed.
type lane struct {
	tail *tail
	mask *messages.Masker

	file *os.File
	of   int64       // the era of file
	own  *checkpoint // in use until a follower has settled the stream's

	extent   extent // what there was when it began
	pos      int64  // of the next byte
	era      int64  // of pos
	from     int64  // where what next found begins; pos, if it found nothing
	end, cut int64
	flush    bool                // what stands before end without a line end is a line
	torn     bool                // pos is inside of a line: if its rest is short, leave it out
	none     bool                // there never was a file
	skipped  int64               // bytes that are gone; -1: nobody knows how many
	told     messages.OutputSpot // the reader has everything before it
	buf      []byte              // from pos on
}

// extent is what a stream holds at one moment.
type extent struct {
	checkpoint
	there bool  // there is a file
	cut   int64 // where a line ends with its run, if it has no end of its own
	size  int64 // where the file ends
	start int64 // of the newest run; 0: nobody knows
	lone  int64 // of the newest run that has or had a process
}

// pin calls do with the checkpoint and the open file, which do not change meanwhile. Without a file it does not, and
// that is no error.
func (l *lane) pin(do func(c *checkpoint) error) error {
	s := l.tail.source
	if err := s.rlock(); err != nil {
		return err
	}
	defer s.mu.RUnlock()
	settled := l.tail.settled
	if l.file == nil || (l.own == nil) != settled || l.of != l.tail.Era {
		if err := l.Close(); err != nil {
			return err
		}
		file, err := l.tail.open(os.O_RDONLY)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		l.file, l.own, l.of = file, nil, l.tail.Era
		if !settled {
			if l.own, err = l.shadow(); err != nil {
				return errors.Join(err, l.Close())
			}
		}
	}
	if l.own != nil {
		return do(l.own)
	}
	return do(&l.tail.checkpoint)
}

// shadow takes up the checkpoint as a follower would, and leaves no trace. A checkpoint file that cannot be read costs
// the index of times only.
func (l *lane) shadow() (*checkpoint, error) {
	saved, _ := loadCheckpoints(l.tail.source.checkpoints())
	c := [2]checkpoint{saved.Stdout, saved.Stderr}[l.tail.index]
	f, err := statFile(l.file)
	if err != nil {
		return nil, err
	}
	_, err = c.resume(f, holeAtHead(l.file, f.Size), l.file)
	return &c, err
}

// look returns what there is; nothing, if there is no file.
func (l *lane) look() (e extent, err error) {
	err = l.pin(func(c *checkpoint) error {
		f, err := statFile(l.file)
		if err != nil {
			return err
		}
		start := l.tail.newest(c)
		e = extent{checkpoint: *c, there: true, cut: max(l.tail.cut, start), size: c.Base + f.Size, start: start,
			lone: l.tail.lone(c)}
		e.end, e.Times = e.size, append(timeIndex(nil), c.Times...).add(e.size, f.Mtime)
		return nil
	})
	return e, err
}

// readAt reads at a logical offset of an era. The error is errTrimmed if it is no longer kept. Fewer bytes than asked
// for are no error.
func (l *lane) readAt(b []byte, offset, era int64) (n int, err error) {
	err = l.pin(func(c *checkpoint) error {
		if offset < c.head || era != c.Era {
			return errTrimmed
		}
		n, err = l.file.ReadAt(b, offset-c.Base)
		if n > 0 {
			return nil
		}
		return notEOF(err)
	})
	return n, err
}

func (l *lane) Close() error {
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}

// next returns the next line, or a piece of one if it is longer than maxLine; last says that it ends with it. Without
// another line, ok is false.
func (l *lane) next() (text []byte, last, ok bool, err error) {
	for {
		l.from = l.pos
		limit, flush := l.end, l.flush
		if l.pos < l.cut && l.cut <= l.end {
			limit, flush = l.cut, true
		}
		have := l.buf[:max(0, min(int64(len(l.buf)), limit-l.pos))]
		text, size, partial := cutPiece(have, maxLine, l.mask)
		switch {
		case size > 0:
		case l.pos+int64(len(have)) < limit:
			got, err := l.fill(limit)
			if err != nil || !got {
				return nil, false, false, err
			}
			continue
		case flush && len(have) > 0:
			text, size = have, len(have)
		default:
			l.buf = bytes.Clone(l.buf) // who waits for more keeps no chunk meanwhile
			return nil, false, false, nil
		}
		l.pos += int64(size)
		l.buf = l.buf[size:]
		if l.torn {
			l.torn = false
			if !partial {
				if l.skipped != 0 {
					l.skip(int64(size))
				}
				continue
			}
		}
		return text, !partial, true, nil
	}
}

// fill reads more, and reports whether there was any. What was trimmed before it could be read is skipped.
func (l *lane) fill(limit int64) (bool, error) {
	at := l.pos + int64(len(l.buf))
	// Appending to a fresh slice keeps what next has returned intact.
	b := make([]byte, len(l.buf)+int(min(chunk, limit-at)))
	n, err := l.readAt(b[copy(b, l.buf):], at, l.era)
	if errors.Is(err, errTrimmed) {
		e, err := l.look()
		if err != nil || !e.there {
			return false, err
		}
		l.restart(e)
		return true, nil
	}
	if err != nil || n == 0 {
		return false, err
	}
	l.buf = b[:len(l.buf)+n]
	return true, nil
}

// restart goes on with what is kept.
func (l *lane) restart(e extent) {
	l.skip(e.head - l.pos)
	l.pos, l.era, l.torn, l.buf = e.head, e.Era, e.Torn, nil
	l.extent.Times = e.Times
}

// when is the time by which the line that next has found was written at the latest; zero: nobody knows.
func (l *lane) when() time.Time {
	t := l.extent.Times.at(l.from)
	if t == math.MaxInt64 {
		return time.Time{}
	}
	return time.UnixMilli(t).UTC()
}

// renew takes up what a stream holds now, which may be in another file.
func (l *lane) renew(e extent) {
	l.end, l.cut, l.flush = e.end, e.cut, false
	l.extent.Times = e.Times
	switch {
	case !e.there:
	case l.none:
		l.none = false
		l.pos, l.era, l.torn = e.head, e.Era, e.Torn
	case l.era != e.Era:
		l.restart(e)
	}
}

// skip notes that so many bytes are gone; if fewer than none are, nobody knows how many.
func (l *lane) skip(n int64) {
	if n < 0 || l.skipped < 0 {
		l.skipped = -1
	} else {
		l.skipped += n
	}
}

// spot is the place at an offset that the lane has come to.
func (l *lane) spot(offset int64) messages.OutputSpot {
	return messages.OutputSpot{Offset: offset, Era: l.era, Torn: l.torn}
}

// seeker goes through the lines of a lane's extent, backwards.
type seeker struct {
	*lane
	floor int64 // lines that end before it, or at it, are of no interest
	at    int64 // the end of the line that prev finds
	buf   []byte
	off   int64 // of buf
}

// prev moves to the start of the line that ends there, and reports whether there is one.
func (k *seeker) prev() (bool, error) {
	head := k.extent.head
	if k.at <= max(head, k.floor) {
		return false, nil
	}
	// The byte before it is the line's own end, if it has one.
	start, err := k.after('\n', k.at-1)
	if errors.Is(err, errTrimmed) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if start == head && k.extent.Torn && k.at-head <= maxLine {
		return false, nil
	}
	k.at = start
	return true, nil
}

// after returns the offset behind the last b before to; that of the head, if there is none.
func (k *seeker) after(b byte, to int64) (int64, error) {
	for to > k.extent.head {
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
	return k.extent.head, nil
}

// load reads the chunk that ends at to.
func (k *seeker) load(to int64) error {
	k.off = max(k.extent.head, to-chunk)
	if int64(cap(k.buf)) < to-k.off {
		k.buf = make([]byte, chunk)
	}
	k.buf = k.buf[:to-k.off]
	n, err := k.readAt(k.buf, k.off, k.extent.Era)
	if err == nil && n < len(k.buf) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		k.buf = k.buf[:0]
	}
	return err
}
