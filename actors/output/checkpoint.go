package output

import (
	"bytes"
	"errors"
	"io"
)

// fingerprintSize is how many bytes before the position are remembered, to know the file by.
const fingerprintSize = 64

// fileInfo is what the file system says of a file.
type fileInfo struct {
	Inode uint64 // 0 where it cannot be learned
	Born  int64  // nanoseconds; 0 where it cannot be learned
	Size  int64
	Mtime int64 // Unix milliseconds

	Allocated int64 // bytes that it occupies
}

// checkpoint says how far a file has been forwarded, and how logical offsets map to the file. It is a value apart from
// the file: what it decides is decided from what it is told.
//
// Base <= head <= Next <= end, and every one of them only grows. While Era stays what it is, an offset means the same
// byte, also over a crash: Base changes only by what is trimmed, and how much that was is saved before, see Collapsing.
// In a new era they may begin before offsets that were in use, since what is saved may be a second old.
type checkpoint struct {
	Known       bool   `json:"known"` // a file has been seen
	Inode       uint64 `json:"inode,omitempty"`
	Born        int64  `json:"born,omitempty"`
	Base        int64  `json:"base"`           // the offset of the file's first byte
	Next        int64  `json:"next"`           // the position: everything before it was forwarded or skipped
	Fingerprint []byte `json:"tail,omitempty"` // the bytes before Next, at most fingerprintSize
	// Torn says that the first kept byte is inside of a line.
	Torn bool `json:"torn,omitempty"`
	// Collapsing is not 0 when the hole of this size at the head was about to be cut out. It was cut out if, and only
	// if, the hole is no longer there: so no hole may be made while a saved checkpoint says so.
	Collapsing int64     `json:"collapsing,omitempty"`
	Times      timeIndex `json:"marks,omitempty"`
	Era        int64     `json:"era,omitempty"` // changes when the file becomes another one
	// where the newest run begins; 0: at the very beginning, or nobody knows
	Start int64 `json:"start,omitempty"`

	Prior int64 `json:"prior,omitempty"` // where the run before that begins; 0: the same

	head int64 // the first byte that is kept
	end  int64 // where the file ended when last looked at
}

// valid reports why a checkpoint that was read back cannot be one.
func (c *checkpoint) valid() error {
	if c.Base < 0 || c.Era < 0 || c.Start < 0 || c.Prior < 0 || c.Next < c.Base || c.Collapsing < 0 ||
		c.Collapsing > c.Next-c.Base ||
		len(c.Fingerprint) > fingerprintSize || int64(len(c.Fingerprint)) > c.Next {
		return errors.New("its offsets contradict each other")
	}
	return nil
}

// resume goes on in the file as it is now, with a hole of so many bytes at its head. If it is not the file of the
// checkpoint, that begins anew, and resume says why.
func (c *checkpoint) resume(f fileInfo, hole int64, r io.ReaderAt) (anew string, err error) {
	if !c.Known {
		c.begin(f, hole)
		return "", nil
	}
	if !c.same(f) {
		c.begin(f, hole)
		return "replaced", nil
	}
	if c.Collapsing > 0 {
		if hole < c.Collapsing {
			c.Base += c.Collapsing
		}
		c.Collapsing = 0
	}
	c.Inode, c.Born = f.Inode, f.Born
	c.head, c.end, c.Torn = c.Base+hole, c.Base+f.Size, c.Torn || hole > 0
	// Only what was forwarded is made a hole, so between a checkpoint that could not be saved and the end of the hole
	// nothing is missed.
	if c.Next < c.head {
		c.Next, c.Fingerprint = c.head, nil
	}
	if c.end < c.Next {
		c.begin(f, hole)
		return "truncated", nil
	}
	was := c.comparable()
	if len(was) == 0 {
		return "", nil
	}
	is := make([]byte, len(was))
	if n, err := r.ReadAt(is, c.Next-c.Base-int64(len(was))); n < len(is) {
		return "", err
	}
	if !bytes.Equal(was, is) {
		c.begin(f, hole)
		return "overwritten", nil
	}
	return "", nil
}

// begin takes the whole of a file to be unread. What was known of the file before lies before it.
func (c *checkpoint) begin(f fileInfo, hole int64) {
	base := max(c.Next, c.end, c.Times.last())
	era := c.Era
	if c.Known {
		era++
	}
	*c = checkpoint{
		Known: true, Inode: f.Inode, Born: f.Born,
		Base: base, head: base + hole, Next: base + hole, end: base + f.Size,
		Torn: hole > 0, Times: c.Times, Era: era,
	}
}

// same reports whether f may be the file of the checkpoint.
func (c *checkpoint) same(f fileInfo) bool { return c.Inode == f.Inode && c.Born == f.Born }

// comparable returns the part of the fingerprint that is still kept.
func (c *checkpoint) comparable() []byte {
	return c.Fingerprint[max(0, int64(len(c.Fingerprint))-(c.Next-c.head)):]
}

// advance says that everything before next is done with, and that the bytes given stand before it.
func (c *checkpoint) advance(next int64, before []byte) {
	c.Next = next
	c.Fingerprint = bytes.Clone(before[max(0, len(before)-fingerprintSize):])
}

// excess returns up to which byte of the file, a multiple of block, its head can go, so that about limit bytes are
// kept. It is 0 while no more than spare is too much, or less than half of that would be gained because the rest is not
// forwarded yet.
func (c *checkpoint) excess(limit, spare, block int64) int64 {
	if c.end-c.head <= limit+spare {
		return 0
	}
	to := (min(c.end-limit, c.Next) - c.Base) / block * block
	if to-(c.head-c.Base) < max(spare/2, block) {
		return 0
	}
	return to
}

// punched says that the file now begins with a hole of so many bytes.
func (c *checkpoint) punched(hole int64) {
	c.head, c.Torn = c.Base+hole, true
	c.Times = c.Times.after(c.head)
}

// collapsed says that so many bytes are no longer part of the file.
func (c *checkpoint) collapsed(n int64) {
	c.Base += n
	c.Collapsing = 0
}
