package output

import (
	"os"
	"time"

	"procman/actors/record"
	"procman/messages"
)

// tail is one output file on its way.
type tail struct {
	source *source
	wd     int32 // its inotify watch; 0: none; guarded by Outputs.mu
	index  uint8

	// Written by the worker under source.mu.
	settled bool     // the checkpoint is of the file as it is
	held    *os.File // what the newest run writes to, if that is not what is at path any more
	checkpoint
	upcoming *runStart // of the newest run, until Start says it; nil: nothing is known of it beside Start
	cut      int64     // where a run ended without a line end; 0: nowhere

	// Of the worker alone.
	mtime int64    // at the last look
	saved struct { // what is on disk
		next, era, start int64
	}
	searched *fileInfo // what was at path when the file was looked for in vain
	known    bool      // on disk it is known that there is a file
	intended bool      // on disk it says that the head may be cut out
	abreast  bool      // has caught up with what was written while nobody followed
	missing  bool      // that the file is gone has been said
	noPunch  bool      // the file system cannot make holes
	noCut    bool      // the file system cannot collapse
	reading  trouble
	trimming trouble
}

// path is where the file is made.
func (t *tail) path() string {
	if t.index == 0 {
		return t.source.u.dir.Stdout(t.source.id)
	}
	return t.source.u.dir.Stderr(t.source.id)
}

func (t *tail) name() messages.Stream {
	return [2]messages.Stream{messages.Stdout, messages.Stderr}[t.index]
}

// noteSaved notes that the checkpoint as it is is on disk.
func (t *tail) noteSaved() {
	t.saved.next, t.saved.era, t.saved.start, t.known, t.intended = t.Next, t.Era, t.Start, t.Known, t.Collapsing > 0
}

// confused reports whether a crash now would mistake the file for another one, or forget where the newest run begins.
func (t *tail) confused() bool {
	return t.known != t.Known || t.saved.era != t.Era || t.saved.start != t.Start
}

// look takes up the checkpoint in the file as it is, which is open unless it is empty or as it was. If that begins
// anew, it says why.
func (t *tail) look(f fileInfo, file *os.File) (anew string, err error) {
	t.source.mu.Lock()
	defer t.source.mu.Unlock()
	switch {
	case !t.settled:
		if anew, err = t.resume(f, holeAtHead(file, f.Size), file); err != nil {
			return "", err
		}
		t.settled = true
	case !t.same(f):
		anew = "replaced"
		t.begin(f, holeAtHead(file, f.Size))
	case t.Base+f.Size < t.end:
		anew = "truncated"
		t.begin(f, holeAtHead(file, f.Size))
	}
	t.end, t.mtime = t.Base+f.Size, f.Mtime
	t.Times = t.Times.add(t.end, min(f.Mtime, time.Now().UnixMilli()))
	t.fixStart()
	return anew, nil
}

// unread reports whether there is something in the file that a turn has to open it for. Where its watch has told
// nothing, its size and time of change say that nobody has written, over what was there neither.
func (t *tail) unread(f fileInfo, watched bool) bool {
	return f.Size > 0 && !(watched && t.settled && t.same(f) && t.Base+f.Size == t.end && f.Mtime == t.mtime &&
		t.Next == t.end)
}

// overwritten begins anew in the file, of which other bytes than those that were forwarded stand before the position.
func (t *tail) overwritten() {
	t.source.mu.Lock()
	defer t.source.mu.Unlock()
	t.begin(fileInfo{Inode: t.Inode, Born: t.Born, Size: t.end - t.Base}, t.head-t.Base)
}

// open opens the file, where it is.
func (t *tail) open(flag int) (*os.File, error) {
	if t.held != nil {
		return record.OpenLinked(pathOf(t.held), flag, 0)
	}
	return record.Open(t.path(), flag, 0)
}

// stat looks at the file, where it is.
func (t *tail) stat() (fileInfo, error) {
	if t.held != nil {
		return statFile(t.held)
	}
	return statPath(t.path())
}

// at is where the file is.
func (t *tail) at() string {
	if t.held != nil {
		return pathOf(t.held)
	}
	return t.path()
}

// letGo goes back to what is at path. source.mu is held for writing.
func (t *tail) letGo() {
	if t.held != nil {
		_ = t.held.Close() // it was read only
		t.held = nil
	}
}
