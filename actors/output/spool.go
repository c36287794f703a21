package output

import (
	"os"
	"path/filepath"
	"sync"
	"time"

	opening "procman/actors/record"
	"procman/messages"
)

// spool is the output of one instance: two files, and what is known of them.
type spool struct {
	id      messages.InstanceID
	path    string // of the record
	streams [2]*stream

	// Guarded by Outputs.mu.
	followers []*follower // the first is at work
	readers   int
	expectant bool // a run is about to begin: where, is noted here
	shift     shift
	timer     *time.Timer
	device    device        // see found
	disk      *opening.Disk // for the look before a start; nil: there was none

	// What readers may look at is written by the one worker that has the spool, under mu, which is held for single reads
	// and cuts, never while records are handled.
	mu      sync.RWMutex
	changed chan struct{} // closed when readers may find something new; nil if nobody waits

	// Of the worker alone.
	loaded  bool
	found   device // that the files are on; 0: not known yet
	active  *follower
	run     int // whose output the places are in
	pid     int
	ended   bool // its follower has forwarded everything
	unsaved bool
	savedAt time.Time
	sick    bool // the newest save failed
	saving  ailment
}

// device is the number of a file system; 0: it is not known.
type device uint64

// first is the place of the first byte of the newest run, as it was seen before the process was started.
type first struct {
	known  bool
	file   facts
	offset int64 // logical
	fixed  bool  // offset is valid: the place in the file was settled by then, or has been since
	begun  bool  // the run has a follower, which it does not bound
}

// stream is one output file.
type stream struct {
	spool *spool
	index int
	name  messages.Stream
	path  string
	wd    int32 // its inotify watch; 0: none; guarded by watch.mu

	// Written by the worker under spool.mu.
	held *os.File // what the newest run writes to, if that is not what is at path any more
	place
	settled bool  // place is in the file as it is
	first   first // until Start says it
	cut     int64 // where a run ended without a line end; 0: nowhere

	// Of the worker alone.
	anew     string // why the place began anew, until that is said
	abreast  bool   // has caught up with what was written while nobody followed
	missing  bool   // that the file is gone has been said
	searched facts  // what was at path when the file was looked for in vain
	noCut    bool   // the file system cannot collapse
	intent   bool   // the saved place may say Collapsing
	saved    saved
	reading  ailment
	bounding ailment
}

func newSpool(id messages.InstanceID, stdout, stderr, record string) *spool {
	s := &spool{id: id, path: record}
	s.streams[0] = &stream{spool: s, index: 0, name: messages.Stdout, path: stdout}
	s.streams[1] = &stream{spool: s, index: 1, name: messages.Stderr, path: stderr}
	return s
}

// load reads the record. With one that cannot be used, everything that is kept is new.
func (s *spool) load() error {
	s.loaded = true
	s.found = deviceOf(filepath.Dir(s.path))
	r, err := loadRecord(s.path)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.run, s.pid, s.ended = r.Run, r.PID, r.Ended
	for i, p := range []place{r.Stdout, r.Stderr} {
		t := s.streams[i]
		t.place, t.intent, t.saved = p, p.Collapsing > 0, p.saved()
	}
	return err
}

// save writes the record down.
func (s *spool) save() error {
	r := record{Version: recordVersion, Run: s.run, PID: s.pid, Ended: s.ended, Stdout: s.streams[0].place, Stderr: s.streams[1].place}
	s.savedAt = time.Now()
	if err := r.save(s.path); err != nil {
		return err
	}
	s.unsaved = false
	for _, t := range s.streams {
		t.intent, t.saved = t.Collapsing > 0, t.place.saved()
	}
	return nil
}

// confused reports whether a crash now would mistake a file for another one, or forget where the newest run begins.
func (s *spool) confused() bool {
	for _, t := range s.streams {
		is := t.place.saved()
		if is.next = t.saved.next; is != t.saved {
			return true
		}
	}
	return false
}

// look takes up the place in the open file as it is now; spool.mu is held for writing.
func (t *stream) look(file *os.File) error {
	f, err := statFile(file)
	if err != nil {
		return err
	}
	anew := ""
	switch {
	case !t.settled:
		if anew, err = t.resume(f, holeAtHead(file, f.Size), file); err != nil {
			return err
		}
		t.settled = true
	case !t.same(f):
		anew = "replaced"
		t.begin(f, holeAtHead(file, f.Size))
	case t.Base+f.Size < t.end:
		anew = "truncated"
		t.begin(f, holeAtHead(file, f.Size))
	}
	if anew != "" {
		t.anew = anew
	}
	t.end = t.Base + f.Size
	t.Marks = t.Marks.add(t.end, min(f.Mtime, time.Now().UnixMilli()))
	t.fixFirst()
	return nil
}

// noteFirst notes that a run is about to begin; spool.mu is held for writing.
func (t *stream) noteFirst() {
	f, err := statPath(t.path)
	if err != nil {
		f = facts{} // there is none: whatever will be there is the new run's
	}
	t.first = first{known: true, file: f, offset: t.Base + f.Size, fixed: t.settled && t.same(f)}
}

// begun says that the newest run has a follower from here on. If it is not the run that the place is of, and nobody noted
// where it begins, nobody knows. spool.mu is held for writing.
func (t *stream) begun(other bool) {
	if other {
		t.Prior = t.Start
	}
	switch {
	case t.first.known:
		t.first.begun, t.Start = true, 0
		t.fixFirst()
	case other:
		t.Start = 0
	}
}

// fixFirst finds out where the newest run begins as soon as the place in the file is settled. Later it could not: by then
// the head may have been taken away. spool.mu is held for writing.
func (t *stream) fixFirst() {
	if f := &t.first; f.known && !f.fixed && f.file.Inode != 0 && t.settled && t.same(f.file) {
		f.offset, f.fixed = t.Base+f.file.Size, true
	}
	if t.first.begun && t.first.fixed {
		t.Start, t.first = t.first.offset, first{}
	}
}

// newest returns where the newest run begins; 0 if nobody knows.
func (t *stream) newest(p *place) int64 {
	switch {
	case !t.first.known:
		return p.Start
	case t.first.fixed:
		return t.first.offset
	case t.first.file.Inode != 0 && p.same(t.first.file):
		return p.Base + t.first.file.Size // p is not settled either: nothing was taken away
	}
	return 0
}

// lone returns where the newest run begins that has or had a process; 0 if nobody knows.
func (t *stream) lone(p *place) int64 {
	if t.first.known && !t.first.begun {
		return p.Start
	}
	return t.newest(p)
}

// last returns up to where a follower that ends forwards: to the end, or to where the next run has begun.
func (t *stream) last() int64 {
	switch {
	case !t.first.known || t.first.begun, t.held != nil: // the next run writes elsewhere
		return t.end
	case t.first.fixed:
		return min(t.end, t.first.offset)
	case t.first.file.Inode == 0:
		return t.Next
	case t.same(t.first.file):
		return min(t.end, t.Base+t.first.file.Size)
	}
	return t.end
}

// rlock is s.mu.RLock, but for no longer than a reader can be expected to wait: who takes a head away on a disk that does not
// answer holds it.
func (s *spool) rlock() error {
	const patience = 5 * time.Second
	began := time.Now()
	for pause := 50 * time.Microsecond; !s.mu.TryRLock(); pause = min(2*pause, settle) {
		if waited := time.Since(began); waited > patience {
			return &opening.StalledError{Name: diskName, For: waited}
		}
		time.Sleep(pause)
	}
	return nil
}

// tell wakes the readers that wait.
func (s *spool) tell() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// open opens the file of the stream, where it is.
func (t *stream) open(flag int) (*os.File, error) {
	if t.held != nil {
		return opening.OpenLinked(pathOf(t.held), flag, 0)
	}
	return opening.Open(t.path, flag, 0)
}

// stat looks at the file of the stream, where it is.
func (t *stream) stat() (facts, error) {
	if t.held != nil {
		return statFile(t.held)
	}
	return statPath(t.path)
}

// at is where the file of the stream is.
func (t *stream) at() string {
	if t.held != nil {
		return pathOf(t.held)
	}
	return t.path
}

// letGo goes back to what is at path. spool.mu is held for writing.
func (t *stream) letGo() {
	if t.held != nil {
		_ = t.held.Close() // it was read only
		t.held = nil
	}
}

// letGo closes what is open of the spool, which no worker has.
func (s *spool) letGo() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.streams {
		t.letGo()
	}
}

// holds reports whether a file is open that has no path: it is what the newest run wrote, also when that has ended.
func (s *spool) holds() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.streams[0].held != nil || s.streams[1].held != nil
}
