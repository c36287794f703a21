package output

import "errors"

// bound takes the head of a stream's file away, if too much is kept.
func (u *Outputs) bound(t *stream) {
	if t.end-t.head <= u.o.kept() {
		return
	}
	err := u.behead(t)
	if err != nil && impossible(err) {
		u.unbounded.note(u.log, err, "output files cannot be bounded on this file system", "file", t.path)
		return
	}
	t.bounding.note(u.log, err, "output cannot be bounded", "instance", string(t.spool.id), "stream", string(t.name))
}

// behead punches the head into a hole and cuts the hole out. The order of its steps is what survives a crash after any of
// them, see the package's documentation and [place.Collapsing].
func (u *Outputs) behead(t *stream) (err error) {
	s := t.spool
	h, err := openHead(t)
	if err != nil {
		return err
	}
	defer func() {
		if e := h.Close(); err == nil {
			err = e
		}
	}()
	to := t.excess(u.o.MaxSize, h.block())
	if to == 0 {
		return nil
	}
	if t.intent || t.saved.next < t.Base+to {
		// Without this a crash would resume inside of the hole, at its end: nothing is missed, but a line is torn. On a
		// full disk the punch goes ahead all the same, since it makes room; but never over an intent.
		err := u.save(s)
		if errors.Is(err, errUnsettled) && t.end-t.head <= u.o.MaxBacklog {
			return nil
		}
		if err != nil && t.intent {
			return err
		}
	}
	u.o.reached("saved")
	s.mu.Lock()
	if err = h.punch(t.head-t.Base, to); err == nil {
		t.punched(to)
	}
	s.mu.Unlock()
	u.o.reached("punched")
	if err != nil || t.noCut {
		return err
	}
	// Whether it worked, collapse will say.
	_ = h.writeBack(to)
	s.mu.Lock()
	t.Collapsing = to
	s.mu.Unlock()
	if err := u.save(s); err != nil {
		s.mu.Lock()
		t.Collapsing = 0
		s.mu.Unlock()
		return nil // the hole stays for now, the failure to save has been said
	}
	u.o.reached("intended")
	s.mu.Lock()
	if err = h.collapse(to); err == nil {
		t.collapsed(to)
	} else {
		t.Collapsing = 0
	}
	s.mu.Unlock()
	u.o.reached("collapsed")
	if err != nil && impossible(err) {
		// The hole bounds what the file occupies.
		t.noCut, err = true, nil
	}
	if saveErr := u.save(s); err == nil && saveErr != nil {
		s.unsaved = true
	}
	return err
}
