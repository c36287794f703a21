package output

import (
	"errors"
	"log/slog"
	"os"
	"sync"
	"time"

	"procman/actors/record"
	"procman/messages"
)

// source is the output of one instance: two files that are tailed, and how far that has come.
type source struct {
	u     *Outputs
	id    messages.InstanceID
	tails [2]*tail // stdout, stderr

	// Guarded by Outputs.mu.
	followers []*follower // the first is at work
	readers   int
	timer     *time.Timer
	expectant bool         // a run is about to begin: where, is noted here
	queued    bool         // is due: it stands in Outputs.due, or will as soon as its worker is done
	busy      bool         // a worker has it
	device    uint64       // the number of the file system it is on; 0: not known yet
	disk      *record.Disk // for the look before a start; nil: there was none

	// What readers may look at is written by the one worker that has the source, under mu, which is held for single
	// reads and cuts, never while records are handled.
	mu      sync.RWMutex
	fresh   bool          // there was no directory when the newest run was about to begin, and so no checkpoint
	changed chan struct{} // closed when readers may find something new; nil if nobody waits

	// Of the worker alone.
	loaded  bool
	resting bool // both files were looked at behind their watches, and there was nothing left to do
	active  *follower
	run     int // whose output the checkpoints are of
	pid     int
	ended   bool // its follower has forwarded everything
	unsaved bool
	savedAt time.Duration // of Outputs.age
	newsAt  time.Duration // when there was something new the last time
	sick    bool          // the newest save failed
	saving  trouble
}

func newSource(u *Outputs, id messages.InstanceID) *source {
	s := &source{u: u, id: id}
	for n := range s.tails {
		s.tails[n] = &tail{source: s, index: uint8(n)}
	}
	return s
}

// checkpoints is the path of the file that holds them.
func (s *source) checkpoints() string {
	return s.u.dir.OutputPlace(s.id)
}

// load reads the checkpoints. With a file that cannot be used, everything that is kept is new. What an earlier run left
// because its manager died is forwarded first, as that run's: a ghost of its follower ends where the files end now.
func (s *source) load() {
	u := s.u
	s.mu.RLock()
	fresh := s.fresh
	s.mu.RUnlock()
	var c checkpointFile
	if !fresh {
		var err error
		if c, err = loadCheckpoints(s.checkpoints()); err != nil {
			u.log.Warn("the place in the output is lost; what is kept is forwarded again", "instance", string(s.id),
				"error", err)
		}
	}
	s.mu.Lock()
	for i, c := range []checkpoint{c.Stdout, c.Stderr} {
		s.tails[i].checkpoint = c
		s.tails[i].noteSaved()
	}
	s.mu.Unlock()
	s.loaded, s.run, s.pid, s.ended = true, c.Run, c.PID, c.Ended

	u.mu.Lock()
	defer u.mu.Unlock()
	if len(s.followers) > 0 && c.Run != 0 && c.Run != s.followers[0].run && !c.Ended {
		ghost := &follower{source: s, run: c.Run, pid: c.PID, ending: true, ghost: true, until: [2]int64{-1, -1}}
		s.followers = append([]*follower{ghost}, s.followers...)
	}
}

// errUnsettled says that the checkpoints are not saved because what was forwarded may yet be lost.
var errUnsettled = errors.New("the log takes nothing")

// save writes the checkpoints down, and logs when that begins to fail.
func (s *source) save() error {
	s.savedAt = s.u.age()
	if !s.u.o.Settled() {
		s.sick = true
		return errUnsettled
	}
	c := checkpointFile{Version: checkpointVersion, Run: s.run, PID: s.pid, Ended: s.ended,
		Stdout: s.tails[0].checkpoint, Stderr: s.tails[1].checkpoint}
	s.u.o.reached("saving")
	err := c.save(s.checkpoints())
	if s.sick = err != nil; !s.sick {
		s.unsaved = false
		for _, t := range s.tails {
			t.noteSaved()
		}
	}
	s.saving.note(s.u.log, err, "the place in the output cannot be saved; a manager that starts now repeats output",
		"instance", string(s.id))
	return err
}

// saveInTime saves what has changed, no more often than saveEvery or a quarter of what is kept, and returns when it has
// to be called again.
func (s *source) saveInTime() time.Duration {
	if !s.unsaved {
		return never
	}
	if left := s.u.o.saveEvery - (s.u.age() - s.savedAt); left > 0 && !s.farAhead() {
		return left
	}
	if s.save() != nil {
		return s.u.o.saveEvery
	}
	return never
}

// farAhead reports whether a crash now would repeat a good part of what is kept.
func (s *source) farAhead() bool {
	for _, t := range s.tails {
		if t.Next-t.saved.next > s.u.o.MaxSize/4 {
			return true
		}
	}
	return false
}

// takeUp begins with a follower, and reports whether it is the one of the checkpoints on disk.
func (s *source) takeUp(f *follower) (saved bool) {
	saved = !s.unsaved && s.run == f.run && s.pid == f.pid && !s.ended
	if !f.ghost {
		for _, t := range s.tails {
			if s.run != f.run && t.held != nil && s.u.watch != nil {
				s.u.watch.disarm(t) // it is of what the run before wrote to
			}
		}
		s.mu.Lock()
		for _, t := range s.tails {
			t.runBegun(s.run != f.run)
			if s.run != f.run {
				t.letGo()
			}
		}
		s.mu.Unlock()
	}
	s.active = f
	if !saved {
		s.unsaved, s.run, s.pid, s.ended = true, f.run, f.pid, false
	}
	return saved
}

// confused reports whether a crash now would mistake a file for another one, or forget where the newest run begins.
func (s *source) confused() bool { return s.tails[0].confused() || s.tails[1].confused() }

// rest ends a turn after which nothing wakes the source but an event or, after the given time, that it has to be saved.
func (s *source) rest(save time.Duration) time.Duration {
	s.resting = true
	if save == never {
		s.active.log = [2]slog.Handler{} // they are soon made
	}
	return save
}

// end ends the first follower after its last turn, and returns when the source needs the next one.
func (s *source) end(final bool) time.Duration {
	s.ended = final
	_ = s.save() // a failure was said; what is not saved is forwarded again
	s.tell()
	if s.finish() {
		return 0
	}
	if s.u.watch != nil {
		for _, t := range s.tails {
			s.u.watch.disarm(t)
		}
	}
	s.active = nil
	return never
}

// finish ends the first follower, and reports whether there is another.
func (s *source) finish() bool {
	s.u.mu.Lock()
	defer s.u.mu.Unlock()
	s.followers[0].end()
	s.followers[0] = nil
	s.followers = s.followers[1:]
	return len(s.followers) > 0
}

// arm sees to it that news wakes the source, and reports whether it will.
func (s *source) arm() bool {
	u := s.u
	if u.watch == nil {
		return false
	}
	for _, t := range s.tails {
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
func (s *source) moved() bool {
	for _, t := range s.tails {
		f, err := t.stat()
		if err != nil || !t.same(f) || t.Base+f.Size != t.end {
			return true
		}
	}
	return false
}

// rlock is s.mu.RLock, but for no longer than a reader can be expected to wait: who trims a file on a disk that does
// not answer holds it.
func (s *source) rlock() error {
	const patience = 5 * time.Second
	began := time.Now()
	for pause := 50 * time.Microsecond; !s.mu.TryRLock(); pause = min(2*pause, settle) {
		if waited := time.Since(began); waited > patience {
			return &record.StalledError{Name: diskName, For: waited}
		}
		time.Sleep(pause)
	}
	return nil
}

// tell wakes the readers that wait.
func (s *source) tell() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// await returns a channel that is closed when there may be something new.
func (s *source) await() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.changed
}

// letGo closes what is open of the source, which no worker has.
func (s *source) letGo() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tails {
		t.letGo()
	}
}

// holds reports whether a file is open that has no path: it is what the newest run wrote, also when that has ended.
func (s *source) holds() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.tails[0].held != nil || s.tails[1].held != nil
}
