package output

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// watch tells, through one inotify descriptor, which spools have something new. A watch on a file tells once, and then must be
// armed again.
type watch struct {
	file   *os.File
	fd     int // of file, whose Fd method would make it blocking; not to be used once broken is set
	wake   func(*spool)
	missed func() // events were lost: everything may have something new

	mu      sync.Mutex
	streams map[int32]*stream
	broken  error
	ended   chan struct{}
}

func newWatch(wake func(*spool), missed func()) (*watch, error) {
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("inotify_init1: %w; see fs.inotify.max_user_instances", err)
	}
	w := &watch{
		file: os.NewFile(uintptr(fd), "inotify"), fd: fd, wake: wake, missed: missed,
		streams: map[int32]*stream{}, ended: make(chan struct{}),
	}
	go w.read()
	return w, nil
}

// arm makes the next change of the stream's file wake its spool. What has changed before is not told.
func (w *watch) arm(s *stream) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken != nil {
		return w.broken
	}
	if s.wd != 0 {
		return nil
	}
	const mask = unix.IN_MODIFY | unix.IN_ATTRIB | unix.IN_MOVE_SELF | unix.IN_DELETE_SELF | unix.IN_ONESHOT
	wd, err := unix.InotifyAddWatch(w.fd, s.at(), mask)
	if err != nil {
		return fmt.Errorf("inotify_add_watch %s: %w; see fs.inotify.max_user_watches", s.path, err)
	}
	s.wd = int32(wd)
	w.streams[s.wd] = s
	return nil
}

// disarm forgets a stream's watch.
func (w *watch) disarm(s *stream) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.wd == 0 {
		return
	}
	if w.broken == nil {
		// EINVAL: it has told, and is gone.
		_, _ = unix.InotifyRmWatch(w.fd, uint32(s.wd))
	}
	delete(w.streams, s.wd)
	s.wd = 0
}

func (w *watch) read() {
	defer close(w.ended)
	buf := make([]byte, 64<<10)
	for {
		n, err := w.file.Read(buf)
		if err != nil {
			w.mu.Lock()
			if w.broken == nil {
				w.broken = fmt.Errorf("reading inotify events: %w", err)
			}
			w.forgetAll()
			w.mu.Unlock()
			w.missed()
			return
		}
		w.tell(buf[:n])
	}
}

// tell wakes whom the events concern.
func (w *watch) tell(events []byte) {
	for len(events) >= unix.SizeofInotifyEvent {
		wd := int32(binary.NativeEndian.Uint32(events))
		mask := binary.NativeEndian.Uint32(events[4:])
		size := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(events[12:]))
		events = events[min(size, len(events)):]
		w.mu.Lock()
		if mask&unix.IN_Q_OVERFLOW != 0 {
			// A watch that has told is gone even if what it told was lost.
			w.forgetAll()
			w.mu.Unlock()
			w.missed()
			continue
		}
		s := w.streams[wd]
		if s != nil {
			delete(w.streams, wd)
			s.wd = 0
		}
		w.mu.Unlock()
		if s != nil {
			w.wake(s.spool)
		}
	}
}

// forgetAll takes every stream to be without a watch; w.mu is held. One that still has one gets the same again.
func (w *watch) forgetAll() {
	for wd, s := range w.streams {
		s.wd = 0
		delete(w.streams, wd)
	}
}

func (w *watch) Close() error {
	w.mu.Lock()
	w.broken = os.ErrClosed
	w.mu.Unlock()
	err := w.file.Close()
	<-w.ended
	return err
}
