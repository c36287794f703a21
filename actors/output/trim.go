package output

import (
	"errors"
	"os"
)

// trim takes the head of a file away, if too much is kept.
func (u *Outputs) trim(t *tail) {
	if t.noPunch || t.end-t.head <= u.o.kept() {
		return
	}
	u.cut(t, u.o.MaxSize, u.o.MaxSize/4)
}

// cut takes so much away that limit is kept, if more than spare is too much, and logs when that begins to fail.
func (u *Outputs) cut(t *tail, limit, spare int64) {
	err := u.cutHead(t, limit, spare)
	if t.noPunch {
		u.unbounded.note(u.log, err, "output files cannot be bounded on this file system", "file", t.path())
		return
	}
	t.trimming.note(u.log, err, "output cannot be bounded", "instance", string(t.source.id), "stream", string(t.name()))
}

// cutHead punches the head into a hole and cuts the hole out. The order of its steps is what survives a crash after any
// of them, see the package's documentation and [checkpoint.Collapsing].
func (u *Outputs) cutHead(t *tail, limit, spare int64) (err error) {
	s := t.source
	file, err := t.open(os.O_RDWR)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	to := t.excess(limit, spare, blockSize(file))
	if to == 0 {
		return nil
	}
	intended := t.intended
	if intended || t.saved.next < t.Base+to {
		// Without this a crash would resume inside of the hole, at its end: nothing is missed, but a line is torn. On a
		// full disk the punch goes ahead all the same, since it makes room; but never over an intent.
		err := s.save()
		if errors.Is(err, errUnsettled) && t.end-t.head <= u.o.MaxBacklog {
			return nil
		}
		if err != nil && intended {
			return err
		}
	}
	u.o.reached("saved")
	err = t.locked(func() error {
		if err := punchHole(file, t.head-t.Base, to); err != nil {
			t.noPunch = impossible(err)
			return err
		}
		t.punched(to)
		return nil
	})
	u.o.reached("punched")
	if err != nil || t.noCut {
		return err
	}
	// Whether it worked, collapse will say.
	_ = writeBack(file, to)
	_ = t.locked(func() error { t.Collapsing = to; return nil })
	if err := s.save(); err != nil {
		_ = t.locked(func() error { t.Collapsing = 0; return nil })
		return nil // the hole stays for now, the failure to save has been said
	}
	u.o.reached("intended")
	err = t.locked(func() error {
		err := collapse(file, to)
		if err == nil {
			t.collapsed(to)
		}
		t.Collapsing = 0
		return err
	})
	u.o.reached("collapsed")
	if err != nil && impossible(err) {
		// The hole bounds what the file occupies.
		t.noCut, err = true, nil
	}
	if saveErr := s.save(); err == nil && saveErr != nil {
		s.unsaved = true
	}
	return err
}

// locked changes what readers see, and the file with it.
func (t *tail) locked(change func() error) error {
	t.source.mu.Lock()
	defer t.source.mu.Unlock()
	return change()
}
