package output

import (
	"bytes"
	"errors"
	"io"
)

// tailSize is how many bytes before the place are remembered, to know the file by.
const tailSize = 64

// facts is what the file system says of a file.
type facts struct {
	Inode uint64 // 0 where it cannot be learned
	Born  int64  // nanoseconds; 0 where it cannot be learned
	Size  int64
	Mtime int64 // Unix milliseconds
}

// place says how far a file has been forwarded, and how logical offsets map to the file. It is a value apart from the
// file: what it decides is decided from what it is told.
//
// Base <= head <= Next <= end, and every one of them only grows. While Era stays what it is, an offset means the same byte,
// also over a crash: Base changes only by what is taken away, and how much that was is saved before, see Collapsing. In a
// new era they may begin before offsets that were in use, since what is saved may be a second old.
type place struct {
	Known bool   `json:"known"` // a file has been seen
	Inode uint64 `json:"inode,omitempty"`
	Born  int64  `json:"born,omitempty"`
	Base  int64  `json:"base"`           // the offset of the file's first byte
	Next  int64  `json:"next"`           // everything before it was forwarded or skipped
	Tail  []byte `json:"tail,omitempty"` // the bytes before Next, at most tailSize
	// Torn says that the first kept byte is inside of a line.
	Torn bool `json:"torn,omitempty"`
	// Collapsing is not 0 when the hole of this size at the head was about to be cut out. It was cut out if, and only
	// if, the hole is no longer there: so no hole may be made while a saved place says so.
	Collapsing int64 `json:"collapsing,omitempty"`
	Marks      marks `json:"marks,omitempty"`
	Era        int64 `json:"era,omitempty"`   // changes when the file becomes another one
	Start      int64 `json:"start,omitempty"` // where the newest run begins; 0: at the very beginning, or nobody knows

	Prior int64 `json:"prior,omitempty"` // where the run before that begins; 0: the same

	head int64 // the first byte that is kept
	end  int64 // where the file ended when last looked at
}

// valid reports why a place that was read back cannot be one.
func (p *place) valid() error {
	if p.Base < 0 || p.Era < 0 || p.Start < 0 || p.Prior < 0 || p.Next < p.Base || p.Collapsing < 0 || p.Collapsing > p.Next-p.Base || len(p.Tail) > tailSize || int64(len(p.Tail)) > p.Next {
		return errors.New("its offsets contradict each other")
	}
	return nil
}

// resume takes up the place in the file as it is now, with a hole of so many bytes at its head. If it is not the file
// that the place was in, the place begins anew, and resume says why.
func (p *place) resume(f facts, hole int64, r io.ReaderAt) (anew string, err error) {
	if !p.Known {
		p.begin(f, hole)
		return "", nil
	}
	if !p.same(f) {
		p.begin(f, hole)
		return "replaced", nil
	}
	if p.Collapsing > 0 {
		if hole < p.Collapsing {
			p.Base += p.Collapsing
		}
		p.Collapsing = 0
	}
	p.Inode, p.Born = f.Inode, f.Born
	p.head, p.end, p.Torn = p.Base+hole, p.Base+f.Size, p.Torn || hole > 0
	// Only what was forwarded is made a hole, so between a place that could not be saved and the end of the hole
	// nothing is missed.
	if p.Next < p.head {
		p.Next, p.Tail = p.head, nil
	}
	if p.end < p.Next {
		p.begin(f, hole)
		return "truncated", nil
	}
	was := p.comparable()
	is := make([]byte, len(was))
	if n, err := r.ReadAt(is, p.Next-p.Base-int64(len(was))); n < len(is) {
		return "", err
	}
	if !bytes.Equal(was, is) {
		p.begin(f, hole)
		return "overwritten", nil
	}
	return "", nil
}

// begin takes the whole of a file to be unread. What was known of the file before lies before it.
func (p *place) begin(f facts, hole int64) {
	base := max(p.Next, p.end, p.Marks.last())
	era := p.Era
	if p.Known {
		era++
	}
	*p = place{
		Known: true, Inode: f.Inode, Born: f.Born,
		Base: base, head: base + hole, Next: base + hole, end: base + f.Size,
		Torn: hole > 0, Marks: p.Marks, Era: era,
	}
}

// same reports whether f may be the file of the place.
func (p *place) same(f facts) bool { return p.Inode == f.Inode && p.Born == f.Born }

// comparable returns the part of the tail that is still kept.
func (p *place) comparable() []byte {
	return p.Tail[max(0, int64(len(p.Tail))-(p.Next-p.head)):]
}

// saved is what is compared of a place that was saved with the place as it is.
type saved struct {
	known            bool
	next, era, start int64
}

func (p *place) saved() saved { return saved{p.Known, p.Next, p.Era, p.Start} }

// moved says that everything before next is done with, and that tail stands before it.
func (p *place) moved(next int64, tail []byte) {
	p.Next = next
	p.Tail = bytes.Clone(tail[max(0, len(tail)-tailSize):])
}

// excess returns up to which byte of the file, a multiple of block, its head can go, so that about limit bytes are kept. It
// is 0 while less than a quarter too much is kept, or little would be gained because the rest is not forwarded yet.
func (p *place) excess(limit, block int64) int64 {
	if p.end-p.head <= limit+limit/4 {
		return 0
	}
	to := (min(p.end-limit, p.Next) - p.Base) / block * block
	if to-(p.head-p.Base) < max(limit/8, block) {
		return 0
	}
	return to
}

// punched says that the file now begins with a hole of so many bytes.
func (p *place) punched(hole int64) {
	p.head, p.Torn = p.Base+hole, true
	p.Marks = p.Marks.after(p.head)
}

// collapsed says that so many bytes are no longer part of the file.
func (p *place) collapsed(n int64) {
	p.Base += n
	p.Collapsing = 0
}
