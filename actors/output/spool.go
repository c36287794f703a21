package output

import (
	"os"
	"sync"
	"time"

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
	shift     shift
	timer     *time.Timer

	// What readers may look at is written by the one worker that has the spool, under mu, which is held for single reads
	// and cuts, never while records are handled.
	mu      sync.RWMutex
	changed chan struct{} // closed when readers may find something new; nil if nobody waits

	// Of the worker alone.
	loaded  bool
	active  *follower
	run     int // whose output the places are in
	pid     int
	ended   bool // its follower has forwarded everything
	unsaved bool
	savedAt time.Time
	saving  ailment
}

// first is the place of the first byte of a run, as it was seen before the process was started.
type first struct {
	known  bool
	file   facts
	offset int64 // logical, if the place in the file was settled by then
	fixed  bool  // offset is valid
}

// stream is one output file.
type stream struct {
	spool *spool
	index int
	name  messages.Stream
	path  string
	wd    int32 // its inotify watch; 0: none; guarded by watch.mu

	// Written by the worker under spool.mu.
	place
	settled bool  // place is in the file as it is
	era     int   // changes when the file becomes another one
	first   first // where the newest run begins
	cut     int64 // where a run ended without a line end; 0: nowhere

	// Of the worker alone.
	anew      string // why the place began anew, until that is said
	abreast   bool   // has caught up with what was written while nobody followed
	missing   bool   // that the file is gone has been said
	noCut     bool   // the file system cannot collapse
	intent    bool   // the saved place may say Collapsing
	savedNext int64
	reading   ailment
	bounding  ailment
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
	r, err := loadRecord(s.path)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.run, s.pid, s.ended = r.Run, r.PID, r.Ended
	for i, p := range []place{r.Stdout, r.Stderr} {
		t := s.streams[i]
		t.place, t.intent, t.savedNext = p, p.Collapsing > 0, p.Next
	}
	return nil
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
		t.intent, t.savedNext = t.Collapsing > 0, t.Next
	}
	return nil
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
		t.restarted(anew)
	}
	t.end = t.Base + f.Size
	t.Marks = t.Marks.add(t.end, min(f.Mtime, time.Now().UnixMilli()))
	return nil
}

// restarted says that the place began anew; spool.mu is held for writing.
func (t *stream) restarted(why string) {
	t.anew = why
	t.era++
}

// noteFirst notes that a run is about to begin; spool.mu is held for writing.
func (t *stream) noteFirst() {
	f, err := statPath(t.path)
	if err != nil {
		f = facts{} // there is none: whatever will be there is the new run's
	}
	t.first = first{known: true, file: f, offset: t.Base + f.Size, fixed: t.settled && t.same(f)}
}

// last returns up to where a follower that ends forwards: to the end, or to where the next run has begun.
func (t *stream) last() int64 {
	switch {
	case !t.first.known:
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

// tell wakes the readers that wait.
func (s *spool) tell() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}
