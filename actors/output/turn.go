package output

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"
)

// outlook is what a turn found out about a stream.
type outlook struct {
	news bool // something has changed
	more bool // there is more than the turn took
	poll bool // the file is missing or sick: look again in a while
	done bool // a follower that ends has everything
}

// turn gives the first follower of a spool its share, and returns after which time the spool needs another.
func (u *Outputs) turn(s *spool, buf []byte) time.Duration {
	if !s.loaded {
		u.open(s)
		return 0 // on which disk it is counts from the next turn on
	}
	f, stopping, heir := u.current(s)
	if f == nil {
		return never
	}
	if s.active != f && !f.ghost {
		s.mu.Lock()
		for _, t := range s.streams {
			t.begun(s.run != f.run)
			if s.run != f.run {
				t.letGo()
			}
		}
		s.mu.Unlock()
	}
	if s.active != f {
		s.active, s.unsaved = f, true
		s.run, s.pid, s.ended = f.run, f.pid, false
		// At once: if we die now, the next manager must know whose lines it finds.
		_ = u.save(s) // a failure was said, and it is tried again in time
	}
	if heir != nil && heir.run == f.run {
		// The same process goes on: so does its line.
		u.finish(s)
		return 0
	}
	// A line that a process which is gone has begun is all there will be of it.
	final := stopping && (heir != nil || f.ghost || !alive(f.pid))

	all := outlook{done: stopping}
	for _, t := range s.streams {
		o := u.advance(t, f, stopping, final, buf)
		all.news = all.news || o.news
		all.more = all.more || o.more
		all.poll = all.poll || o.poll
		all.done = all.done && o.done
	}
	s.unsaved = s.unsaved || all.news
	if all.news {
		s.tell()
	}
	if s.confused() && !s.sick {
		_ = u.save(s)
	}
	if all.done {
		return u.end(s, final)
	}
	wait := u.saveInTime(s)
	switch {
	case all.more || stopping:
		return 0
	case all.news:
		return sooner(wait, settle)
	case all.poll || !u.arm(s):
		return sooner(wait, pollEvery)
	case s.moved():
		return 0
	}
	return wait
}

// open reads the record. What an earlier run left because its manager died is forwarded first, as that run's: a ghost
// of its follower ends where the files end now.
func (u *Outputs) open(s *spool) {
	if err := s.load(); err != nil {
		u.log.Warn("the place in the output is lost; what is kept is forwarded again", "instance", string(s.id), "error", err)
	}
	f, _, _ := u.current(s)
	if f != nil && s.run != 0 && s.run != f.run && !s.ended {
		ghost := u.newFollower(s.run, s.pid)
		ghost.spool, ghost.stopping, ghost.ghost = s, true, true
		u.precede(s, ghost)
	}
}

// end ends the first follower after its last turn.
func (u *Outputs) end(s *spool, final bool) time.Duration {
	s.ended = final
	u.save(s)
	s.tell()
	if u.finish(s) {
		return 0
	}
	if u.watch != nil {
		for _, t := range s.streams {
			u.watch.disarm(t)
		}
	}
	s.active = nil
	return never
}

// advance gives one stream its share of a turn.
func (u *Outputs) advance(t *stream, f *follower, stopping, final bool, buf []byte) outlook {
	o, err := u.share(t, f, stopping, final, buf)
	if errors.Is(err, os.ErrNotExist) {
		u.gone(t, f)
		err = nil
		o = outlook{poll: true, done: stopping}
	} else if err == nil {
		t.missing = false
	} else {
		// A follower that ends does not wait for a disk to get well: its place is remembered.
		o = outlook{poll: true, done: stopping}
	}
	t.reading.note(u.log, err, "output cannot be read", "instance", string(t.spool.id), "stream", string(t.name))
	return o
}

func (u *Outputs) share(t *stream, f *follower, stopping, final bool, buf []byte) (o outlook, err error) {
	i, before := t.index, t.place
	u.find(t, f)
	file, err := t.open(os.O_RDONLY)
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()

	t.spool.mu.Lock()
	err = t.look(file)
	t.spool.mu.Unlock()
	if err != nil {
		return o, err
	}
	u.sayAnew(t, f)
	if err := u.skip(t, f, file); err != nil {
		return o, err
	}
	limit := t.end
	if stopping {
		if f.until[i] < 0 {
			t.spool.mu.RLock()
			f.until[i] = t.last()
			t.spool.mu.RUnlock()
		}
		limit = max(t.Next, min(t.end, f.until[i]))
	}
	o.more, err = u.forward(t, f, file, limit, stopping, final, buf)
	if errors.Is(err, errOverwritten) {
		t.spool.mu.Lock()
		t.begin(facts{t.Inode, t.Born, t.end - t.Base, 0}, t.head-t.Base)
		t.anew = "overwritten"
		t.spool.mu.Unlock()
		u.sayAnew(t, f)
		return outlook{news: true, more: true}, nil
	}
	if err != nil {
		return o, err
	}
	u.bound(t)
	o.news = t.Next != before.Next || t.end != before.end || t.head != before.head
	o.done = stopping && !o.more
	return o, nil
}

// sayAnew logs that a place began anew.
func (u *Outputs) sayAnew(t *stream, f *follower) {
	if t.anew == "" {
		return
	}
	slog.New(f.handler(t.index)).Warn("output begins anew", "file", t.path, "reason", t.anew)
	t.anew, f.until[t.index] = "", -1
}

// find sees to it that the file of a run is followed by whatever name it has: somebody may have moved or removed it, while the
// process writes on to what it has open. Which file that is, its number and time of birth tell.
func (u *Outputs) find(t *stream, f *follower) {
	if t.held != nil || !t.Known || f.ghost || f.pid <= 0 {
		return
	}
	now, err := statPath(t.path)
	if err == nil && t.same(now) {
		return
	}
	if err != nil {
		now = facts{Born: 1} // nothing
	}
	now.Size, now.Mtime = 0, 0
	if now == t.searched {
		return
	}
	t.searched = now
	file, err := openWritten(f.pid, t.index+1)
	if err != nil {
		return // the process is gone, or does not show itself; what is at path counts
	}
	written, err := statFile(file)
	if err != nil || !t.same(written) {
		_ = file.Close() // it writes somewhere of its own choice: that is not ours
		return
	}
	t.spool.mu.Lock()
	t.held = file
	t.spool.mu.Unlock()
	if u.watch != nil {
		u.watch.disarm(t)
	}
	why := fmt.Sprintf("%s was moved or removed, and the process writes on into what was there: that is read and bounded as before, until the next run makes a new file",
		filepath.Base(t.path))
	slog.New(f.handler(t.index)).Warn("output file was moved", "file", t.path, "consequence", why)
	if u.o.Moved != nil {
		u.o.Moved(t.spool.id, f.run, f.pid, why)
	}
}

// gone logs that a file that was there is not, once.
func (u *Outputs) gone(t *stream, f *follower) {
	if !t.Known || t.missing {
		return
	}
	t.missing = true
	slog.New(f.handler(t.index)).Warn("output file is gone; what a process still writes to it cannot be read, and is lost", "file", t.path)
}

// errUnsettled says that a place is not saved because what was forwarded may yet be lost.
var errUnsettled = errors.New("the log takes nothing")

// save writes the record down, and logs when that begins to fail.
func (u *Outputs) save(s *spool) error {
	if !u.o.Settled() {
		s.savedAt, s.sick = time.Now(), true
		return errUnsettled
	}
	err := s.save()
	s.sick = err != nil
	s.saving.note(u.log, err, "the place in the output cannot be saved; a manager that starts now repeats output", "instance", string(s.id))
	return err
}

// saveInTime saves what has changed, no more often than saveEvery or a quarter of what is kept, and returns when it has to be
// called again.
func (u *Outputs) saveInTime(s *spool) time.Duration {
	if !s.unsaved {
		return never
	}
	if left := saveEvery - time.Since(s.savedAt); left > 0 && !u.farAhead(s) {
		return left
	}
	if u.save(s) != nil {
		return saveEvery
	}
	return never
}

// farAhead reports whether a crash now would repeat a good part of what is kept.
func (u *Outputs) farAhead(s *spool) bool {
	for _, t := range s.streams {
		if t.Next-t.saved.next > u.o.MaxSize/4 {
			return true
		}
	}
	return false
}

// arm sees to it that news wakes the spool, and reports whether it will.
func (u *Outputs) arm(s *spool) bool {
	if u.watch == nil {
		return false
	}
	for _, t := range s.streams {
		if err := u.watch.arm(t); err != nil {
			if !errors.Is(err, os.ErrNotExist) && !errors.Is(err, os.ErrClosed) {
				u.unwatchable.note(u.log, err, "some output files cannot be watched and are looked at every second")
			}
			return false
		}
	}
	return true
}

// moved reports whether a file changed between the look at it and its watch.
func (s *spool) moved() bool {
	for _, t := range s.streams {
		f, err := t.stat()
		if err != nil || !t.same(f) || t.Base+f.Size != t.end {
			return true
		}
	}
	return false
}

// sooner returns the shorter of two times, of which the first may be never.
func sooner(a, b time.Duration) time.Duration {
	if a == never {
		return b
	}
	return min(a, b)
}
