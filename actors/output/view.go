package output

import (
	"errors"
	"os"
)

// view reads one stream for a reader. Offsets stay valid while the head of the file is taken away.
type view struct {
	t    *stream
	file *os.File
	era  int
	own  *place // in use until a follower has settled the stream's
}

// errTrimmed says that an offset is before what is kept.
var errTrimmed = errors.New("no longer kept")

// pin calls do with the open file and the place in it, which does not change meanwhile. The error is os.ErrNotExist if
// there is no file.
func (v *view) pin(do func(p *place, file *os.File) error) error {
	s := v.t.spool
	s.mu.RLock()
	defer s.mu.RUnlock()
	settled := v.t.settled
	if v.file != nil && (v.own == nil) == settled && v.era == v.t.era {
		return do(v.place(), v.file)
	}
	if err := v.Close(); err != nil {
		return err
	}
	file, err := openFile(v.t.path)
	if err != nil {
		return err
	}
	v.file, v.own, v.era = file, nil, v.t.era
	if !settled {
		if v.own, err = v.shadow(); err != nil {
			return errors.Join(err, v.Close())
		}
	}
	return do(v.place(), v.file)
}

func (v *view) place() *place {
	if v.own != nil {
		return v.own
	}
	return &v.t.place
}

// shadow takes up the place as a follower would, and leaves no trace. A record that cannot be read costs the index of times
// only.
func (v *view) shadow() (*place, error) {
	r, err := loadRecord(v.t.spool.path)
	if err != nil {
		r = record{}
	}
	p := [2]place{r.Stdout, r.Stderr}[v.t.index]
	f, err := statFile(v.file)
	if err != nil {
		return nil, err
	}
	_, err = p.resume(f, holeAtHead(v.file, f.Size), v.file)
	return &p, err
}

// extent is what a stream holds at one moment.
type extent struct {
	head, end, cut int64
	torn           bool
	marks          marks
}

// extent returns what there is; nothing, if there is no file.
func (v *view) extent() (e extent, err error) {
	err = v.pin(func(p *place, file *os.File) error {
		f, err := statFile(file)
		if err != nil {
			return err
		}
		e = extent{p.head, p.Base + f.Size, v.t.cut, p.Torn, append(marks(nil), p.Marks...)}
		e.marks = e.marks.add(e.end, f.Mtime)
		return nil
	})
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return e, err
}

// readAt reads at a logical offset. The error is errTrimmed if it is no longer kept; head is then what is. Fewer bytes than
// asked for are no error.
func (v *view) readAt(b []byte, offset int64) (n int, head int64, torn bool, err error) {
	err = v.pin(func(p *place, file *os.File) error {
		head, torn = p.head, p.Torn
		if offset < head {
			return errTrimmed
		}
		n, err = file.ReadAt(b, offset-p.Base)
		if n > 0 || atEnd(err) {
			return nil
		}
		return err
	})
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return n, head, torn, err
}

func (v *view) Close() error {
	if v.file == nil {
		return nil
	}
	err := v.file.Close()
	v.file = nil
	return err
}
