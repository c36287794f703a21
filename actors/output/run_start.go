package output

// runStart is the place of the first byte of the newest run, as it was seen before the process was started.
type runStart struct {
	file   fileInfo
	offset int64 // logical
	fixed  bool  // offset is valid: the checkpoint was settled by then, or has been since
	begun  bool  // the run has a follower, which it does not bound
}

// noteStart notes that a run is about to begin. source.mu is held for writing.
func (t *tail) noteStart() {
	var f fileInfo // there is none: whatever will be there is the new run's
	if !t.source.fresh {
		if is, err := statPath(t.path()); err == nil {
			f = is
		}
	}
	t.upcoming = &runStart{file: f, offset: t.Base + f.Size, fixed: t.settled && t.same(f)}
}

// runBegun says that the newest run has a follower from here on. If it is not the run that the checkpoint is of, and
// nobody noted where it begins, nobody knows. source.mu is held for writing.
func (t *tail) runBegun(other bool) {
	if other {
		t.Prior = t.Start
	}
	switch {
	case t.upcoming != nil:
		t.upcoming.begun, t.Start = true, 0
		if !t.upcoming.fixed && t.upcoming.file.Inode == 0 {
			t.upcoming = nil // there was no file, or it cannot be known again: nothing more will be known
		}
		t.fixStart()
	case other:
		t.Start = 0
	}
}

// fixStart finds out where the newest run begins as soon as the checkpoint is settled. Later it could not: by then
// the head may have been trimmed. source.mu is held for writing.
func (t *tail) fixStart() {
	n := t.upcoming
	if n == nil {
		return
	}
	if !n.fixed && n.file.Inode != 0 && t.settled && t.same(n.file) {
		n.offset, n.fixed = t.Base+n.file.Size, true
	}
	if n.begun && n.fixed {
		t.Start, t.upcoming = n.offset, nil
	}
}

// newest returns where the newest run begins; 0 if nobody knows.
func (t *tail) newest(c *checkpoint) int64 {
	switch {
	case t.upcoming == nil:
		return c.Start
	case t.upcoming.fixed:
		return t.upcoming.offset
	case t.upcoming.file.Inode != 0 && c.same(t.upcoming.file):
		return c.Base + t.upcoming.file.Size // c is not settled either: nothing was trimmed
	}
	return 0
}

// lone returns where the newest run begins that has or had a process; 0 if nobody knows.
func (t *tail) lone(c *checkpoint) int64 {
	if t.upcoming != nil && !t.upcoming.begun {
		return c.Start
	}
	return t.newest(c)
}

// last returns up to where a follower that ends forwards: to the end, or to where the next run has begun.
func (t *tail) last() int64 {
	t.source.mu.RLock()
	defer t.source.mu.RUnlock()
	switch {
	case t.upcoming == nil || t.upcoming.begun, t.held != nil: // the next run writes elsewhere
		return t.end
	case t.upcoming.fixed:
		return min(t.end, t.upcoming.offset)
	case t.upcoming.file.Inode == 0:
		return t.Next
	case t.same(t.upcoming.file):
		return min(t.end, t.Base+t.upcoming.file.Size)
	}
	return t.end
}
