package output

import (
	"errors"
	"os"
)

// view reads one stream for a reader. Offsets stay valid while the head of the file is taken away.
type view struct {
	t    *stream
	file *os.File
	era  int64
	own  *place // in use until a follower has settled the stream's
}

// errTrimmed says that an offset is before what is kept.
var errTrimmed = errors.New("no longer kept")

// pin calls do with the open file and the place in it, which does not change meanwhile. The error is os.ErrNotExist if
// there is no file.
func (v *view) pin(do func(p *place, file *os.File) error) error {
	s := v.t.spool
	if err := s.rlock(); err != nil {
		return err
	}
	defer s.mu.RUnlock()
	settled := v.t.settled
	if v.file != nil && (v.own == nil) == settled && v.era == v.t.Era {
		return do(v.place(), v.file)
	}
	if err := v.Close(); err != nil {
		return err
	}
	file, err := v.t.open(os.O_RDONLY)
	if err != nil {
		return err
	}
	v.file, v.own, v.era = file, nil, v.t.Era
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
	r, _ := loadRecord(v.t.spool.path)
	p := [2]place{r.Stdout, r.Stderr}[v.t.index]
	f, err := statFile(v.file)
	if err != nil {
		return nil, err
	}
	_, err = p.resume(f, holeAtHead(v.file, f.Size), v.file)
	return &p, err
}

// rim is where what a stream keeps begins.
type rim struct {
	head int64
	torn bool // inside of a line
	era  int64
}

// extent is what a stream holds at one moment.
type extent struct {
	rim
	there    bool  // there is a file
	end, cut int64 // up to where it is read, and where a line ends with its run, if it has no end of its own
	size     int64 // where the file ends
	start    int64 // of the newest run; 0: nobody knows
	lone     int64 // of the newest run that has or had a process
	prior    int64 // of the one before it
	marks    marks
}

// extent returns what there is; nothing, if there is no file.
func (v *view) extent() (e extent, err error) {
	err = v.pin(func(p *place, file *os.File) error {
		f, err := statFile(file)
		if err != nil {
			return err
		}
		size, start := p.Base+f.Size, v.t.newest(p)
		e = extent{
			rim: rim{p.head, p.Torn, p.Era}, there: true, end: size, cut: max(v.t.cut, start), size: size, start: start,
			lone: v.t.lone(p), prior: p.Prior, marks: append(marks(nil), p.Marks...).add(size, f.Mtime),
		}
		return nil
	})
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return e, err
}

// readAt reads at a logical offset of an era. The error is errTrimmed if it is no longer kept; r is then what is. Fewer bytes
// than asked for are no error.
func (v *view) readAt(b []byte, offset, era int64) (n int, r rim, err error) {
	err = v.pin(func(p *place, file *os.File) error {
		r = rim{p.head, p.Torn, p.Era}
		if offset < r.head || era != r.era {
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
	return n, r, err
}

func (v *view) Close() error {
	if v.file == nil {
		return nil
	}
	err := v.file.Close()
	v.file = nil
	return err
}
