package output

import (
	"encoding/binary"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// watch tells, through one inotify descriptor, which sources have something new. A watch on a file tells once, and then
// must be armed again.
type watch struct {
	u     *Outputs
	file  *os.File
	fd    int // of file, whose Fd method would make it blocking; not to be used once Close was called
	ended chan struct{}

	// Guarded by Outputs.mu, which is never held for a disk.
	tails   map[int32]*tail
	unheard int // so many events came of a watch that nobody knew (yet, or any more), or were lost
	broken  error
}

func newWatch(u *Outputs) (*watch, error) {
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("inotify_init1: %w; see fs.inotify.max_user_instances", err)
	}
	w := &watch{u: u, file: os.NewFile(uintptr(fd), "inotify"), fd: fd, ended: make(chan struct{}),
		tails: map[int32]*tail{}}
	go w.read()
	return w, nil
}

// arm makes the next change of the file wake its source. What has changed before is not told.
func (w *watch) arm(t *tail) error {
	u := w.u
	u.mu.Lock()
	broken, armed, unheard := w.broken, t.wd != 0, w.unheard
	u.mu.Unlock()
	if broken != nil || armed {
		return broken
	}
	const mask = unix.IN_MODIFY | unix.IN_ATTRIB | unix.IN_MOVE_SELF | unix.IN_DELETE_SELF | unix.IN_ONESHOT
	wd, err := unix.InotifyAddWatch(w.fd, t.at(), mask)
	if err != nil {
		return fmt.Errorf("inotify_add_watch %s: %w; see fs.inotify.max_user_watches", t.path(), err)
	}
	w.claim(t, int32(wd), unheard)
	return nil
}

// armed reports whether the file has a watch that has told nothing yet; u.mu is held.
func (w *watch) armed(t *tail) bool { return w.broken == nil && t.wd != 0 }

// claim says whose a new watch is. If an event came meanwhile of which nobody knew whose it was, it may have been this
// one's, which is gone then. Also IN_IGNORED: a watch that has told is gone only a moment later, and until then it is
// what arm gets again.
func (w *watch) claim(t *tail, wd int32, unheard int) {
	w.u.mu.Lock()
	defer w.u.mu.Unlock()
	if w.unheard != unheard {
		w.u.wake(t.source)
		return
	}
	t.wd = wd
	w.tails[wd] = t
}

// disarm forgets a file's watch.
func (w *watch) disarm(t *tail) {
	w.u.mu.Lock()
	defer w.u.mu.Unlock()
	if t.wd == 0 {
		return
	}
	if w.broken == nil {
		// EINVAL: it has told, and is gone.
		_, _ = unix.InotifyRmWatch(w.fd, uint32(t.wd))
	}
	delete(w.tails, t.wd)
	t.wd = 0
}

func (w *watch) read() {
	defer close(w.ended)
	buf := make([]byte, 64<<10)
	for {
		n, err := w.file.Read(buf)
		w.u.mu.Lock()
		if err != nil {
			if w.broken == nil {
				w.broken = fmt.Errorf("reading inotify events: %w", err)
			}
			w.missed()
			w.u.mu.Unlock()
			return
		}
		w.tell(buf[:n])
		w.u.mu.Unlock()
	}
}

// tell wakes whom the events concern; u.mu is held.
func (w *watch) tell(events []byte) {
	for len(events) >= unix.SizeofInotifyEvent {
		wd := int32(binary.NativeEndian.Uint32(events))
		mask := binary.NativeEndian.Uint32(events[4:])
		size := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(events[12:]))
		events = events[min(size, len(events)):]
		t := w.tails[wd]
		switch {
		case mask&unix.IN_Q_OVERFLOW != 0:
			w.missed()
		case t != nil:
			delete(w.tails, wd)
			t.wd = 0
			w.u.wake(t.source)
		default:
			w.unheard++
		}
	}
}

// missed takes every file to be without a watch and to have something new: one that has told is gone even if what it
// told was lost, and one that still has one gets the same again. u.mu is held.
func (w *watch) missed() {
	for wd, t := range w.tails {
		t.wd = 0
		delete(w.tails, wd)
	}
	w.unheard++
	w.u.wakeAll()
}

func (w *watch) Close() error {
	w.u.mu.Lock()
	w.broken = os.ErrClosed
	w.u.mu.Unlock()
	err := w.file.Close()
	<-w.ended
	return err
}
