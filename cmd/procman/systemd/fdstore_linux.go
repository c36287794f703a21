package systemd

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"procman/actors/spawn"
)

// FDStore is the file descriptor store of the service manager (systemd: FileDescriptorStoreMax). What is put there
// comes back as an open descriptor when the daemon is started the next time, however it ended. Nobody waits for it.
type FDStore struct {
	queue *Queue
	log   *slog.Logger
	renew bool // what is kept there is not known: what is stored is taken out first, as the store would keep both

	mu     sync.Mutex
	names  map[string]bool // that the service manager keeps, as far as it has been told
	failed string          // the newest error that was reported
}

// NewFDStore returns the store of the service manager that started us, which keeps what has one of the names; nil if
// there is none.
func NewFDStore(c *Queue, names []string, renew bool, log *slog.Logger) *FDStore {
	if c == nil {
		return nil
	}
	s := &FDStore{queue: c, log: log, renew: renew, names: map[string]bool{}}
	for _, name := range names {
		s.names[name] = true
	}
	return s
}

// ForSpawner returns the store as a Spawner takes it.
func (s *FDStore) ForSpawner() spawn.FDStore {
	if s == nil {
		return nil
	}
	return s
}

// Put stores a copy of the descriptor, unless there is one of that name. FDPOLL=0: the store would throw a process
// handle out the moment the process ends, which is when it is needed.
func (s *FDStore) Put(name string, fd uintptr) error {
	s.mu.Lock()
	there, renew := s.names[name], s.renew
	s.mu.Unlock()
	if there {
		return nil
	}
	duplicate, err := unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if renew {
		s.post("FDSTOREREMOVE=1\nFDNAME="+name, 0, func() { delete(s.names, name) })
	}
	s.post("FDSTORE=1\nFDPOLL=0\nFDNAME="+name, duplicate, func() { s.names[name] = true })
	return nil
}

// Remove takes a descriptor out.
func (s *FDStore) Remove(name string) error {
	s.post("FDSTOREREMOVE=1\nFDNAME="+name, 0, func() { delete(s.names, name) })
	return nil
}

// post has the queue bring something; done is called, alone, when it has. An error is reported once.
func (s *FDStore) post(state string, fd int, done func()) {
	s.queue.post(&message{state: state, fd: fd, told: func(err error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		text := ""
		if err == nil {
			done()
		} else if text = err.Error(); text != s.failed {
			s.log.Warn("process handles cannot be stored with the service manager", "error", text,
				"consequence", "if a process ends while no manager lives, its exit status is unknown")
		}
		s.failed = text
	}})
}

// Kept returns the names of what the service manager keeps.
func (s *FDStore) Kept() []string {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.names))
}

// listenStart is the first descriptor that a service manager passes.
const listenStart = 3

// Stored returns the process handles that an earlier daemon has stored, by their names. The variables that tell of them
// are for this process only, and gone afterwards: a child, or a program that replaces this one, has other descriptors.
func Stored(env func(string) string) map[string]*os.File {
	count, err := strconv.Atoi(env("LISTEN_FDS"))
	pid := env("LISTEN_PID")
	names := strings.Split(env("LISTEN_FDNAMES"), ":")
	start, startErr := strconv.Atoi(env(asideVariable))
	if startErr != nil {
		start = listenStart
	}
	for _, name := range []string{asideVariable, "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "LISTEN_PIDFDID"} {
		_ = os.Unsetenv(name) // fails for names that are none
	}
	if err != nil || pid != strconv.Itoa(os.Getpid()) {
		return nil
	}
	files := map[string]*os.File{}
	for n := range count {
		fd := start + n
		unix.CloseOnExec(fd)
		if n >= len(names) || files[names[n]] != nil {
			_ = unix.Close(fd) // nobody could ask for it
			continue
		}
		files[names[n]] = os.NewFile(uintptr(fd), names[n])
	}
	return files
}

// asideVariable says where the first of the descriptors is that the service manager has passed, if it is not
// listenStart.
const asideVariable = "PROCMAN_LISTEN_START"

// SetAside moves what the service manager has passed beyond a limit that is to be. A program that begins with no
// descriptor free below its limit could not even be linked.
func SetAside(env func(string) string, limit int) error {
	count, _ := strconv.Atoi(env("LISTEN_FDS")) // 0 if it is no number
	if count == 0 || env("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return nil
	}
	for n := range count {
		// Go has its own descriptors after those that it was started with.
		if err := syscall.Dup3(listenStart+n, limit+count+n, 0); err != nil {
			for n := range n {
				_ = syscall.Close(limit + count + n)
			}
			return err
		}
	}
	for n := range count {
		_ = syscall.Close(listenStart + n) // there is a copy
	}
	return os.Setenv(asideVariable, strconv.Itoa(limit+count))
}

// namesVariable names the descriptor by which the program that replaces a daemon's learns what the store keeps: in a
// variable itself ten thousand names do not fit.
const namesVariable = "PROCMAN_STORED_FD"

// Bequeath returns the variable by which a successor in this process learns the names; empty if there is nobody who
// keeps anything. The descriptor it names stays open over an exec; release is for when there was none.
func (s *FDStore) Bequeath() (variable string, release func(), err error) {
	if s == nil {
		return "", func() {}, nil
	}
	fd, err := unix.MemfdCreate("procman-stored", 0)
	if err != nil {
		return "", func() {}, err
	}
	f := os.NewFile(uintptr(fd), "stored")
	release = func() { _ = f.Close() }
	_, err = f.WriteString(strings.Join(s.Kept(), "\n"))
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	return namesVariable + "=" + strconv.Itoa(fd), release, err
}

// Bequeathed returns the names that a predecessor in this process has left; known is false if it has not.
func Bequeathed(env func(string) string) (names []string, known bool, err error) {
	text := env(namesVariable)
	if text == "" {
		return nil, false, nil
	}
	if err := os.Unsetenv(namesVariable); err != nil {
		return nil, false, err
	}
	fd, err := strconv.Atoi(text)
	if err != nil || fd < 3 {
		return nil, false, fmt.Errorf("%s is %q; it is for procman's own use", namesVariable, text)
	}
	f := os.NewFile(uintptr(fd), "stored")
	all, err := io.ReadAll(f)
	return strings.Fields(string(all)), err == nil, errors.Join(err, f.Close())
}
