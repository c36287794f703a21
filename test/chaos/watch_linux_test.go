package chaos

import (
	"errors"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// watcher reads a ledger as it grows, and watches every process in it through a pidfd.
type watcher struct {
	path string
	quit chan struct{}
	done chan struct{}

	mu      sync.Mutex
	err     error
	rest    []byte
	offset  int64
	entries []Entry
	seen    map[Process]Sighting
	fds     map[Process]int
	daemon  int // whose zombies are looked for; 0: nobody's
	zombies map[Process]Zombie
}

func watch(ledger string) *watcher {
	w := &watcher{path: ledger, quit: make(chan struct{}), done: make(chan struct{}),
		seen: map[Process]Sighting{}, fds: map[Process]int{}, zombies: map[Process]Zombie{}}
	go func() {
		defer close(w.done)
		for n := 0; ; n++ {
			select {
			case <-w.quit:
				return
			case <-time.After(10 * time.Millisecond):
			}
			w.look()
			if n%20 == 0 {
				w.lookForZombies()
			}
		}
	}()
	return w
}

func (w *watcher) close() {
	close(w.quit)
	<-w.done
	for _, fd := range w.fds {
		_ = unix.Close(fd)
	}
}

// look takes in what is new.
func (w *watcher) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.read(); err != nil && w.err == nil {
		w.err = err
	}
	w.poll()
}

func (w *watcher) read() error {
	f, err := os.Open(w.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	text, err := io.ReadAll(io.NewSectionReader(f, w.offset, 1<<40))
	if err != nil {
		return err
	}
	w.offset += int64(len(text))
	entries, rest, err := ParseLedger(append(w.rest, text...))
	if err != nil {
		return err
	}
	w.rest = slices.Clone(rest)
	w.entries = append(w.entries, entries...)
	for _, e := range entries {
		if e.Event != Start {
			continue
		}
		fd, err := unix.PidfdOpen(e.PID, unix.PIDFD_NONBLOCK)
		if now, statErr := readStat(e.PID); err != nil || statErr != nil || now.Start != e.Process.Start {
			if err == nil {
				_ = unix.Close(fd)
			}
			w.seen[e.Process] = Sighting{Ended: monotonic()}
			continue
		}
		w.fds[e.Process] = fd
	}
	return nil
}

// poll asks every pidfd. A process counts as alive at the moment before the question.
func (w *watcher) poll() {
	processes := make([]Process, 0, len(w.fds))
	polled := make([]unix.PollFd, 0, len(w.fds))
	for p, fd := range w.fds {
		processes = append(processes, p)
		polled = append(polled, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	}
	before := monotonic()
	if _, err := unix.Poll(polled, 0); err != nil {
		return // interrupted; the next look is near
	}
	for i, p := range processes {
		s := w.seen[p]
		if polled[i].Revents == 0 {
			s.Alive = before
		} else {
			s.Ended = monotonic()
			_ = unix.Close(w.fds[p])
			delete(w.fds, p)
		}
		w.seen[p] = s
	}
}

func (w *watcher) lookForZombies() {
	w.mu.Lock()
	daemon := w.daemon
	w.mu.Unlock()
	if daemon == 0 {
		return
	}
	var found []Process
	for _, pid := range children(daemon) {
		if s, err := readStat(pid); err == nil && s.State == 'Z' && s.Parent == daemon {
			found = append(found, Process{pid, s.Start})
		}
	}
	now := monotonic()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range found {
		z, known := w.zombies[p]
		if !known {
			z = Zombie{Process: p, Last: now}
		}
		w.zombies[p] = z.See(now)
	}
}

// mind says whose zombies are looked for.
func (w *watcher) mind(daemon int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.daemon = daemon
}

// lives looks, and returns all that is known.
func (w *watcher) lives() ([]Life, error) {
	w.look()
	w.mu.Lock()
	defer w.mu.Unlock()
	return Lives(w.entries, w.seen), w.err
}

// ledger returns the entries so far.
func (w *watcher) ledger() []Entry {
	w.look()
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.entries)
}

func (w *watcher) undead() (zombies []Zombie) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, z := range w.zombies {
		zombies = append(zombies, z)
	}
	return zombies
}
