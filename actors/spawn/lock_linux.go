package spawn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"procman/actors/kernel"
	"procman/actors/record"
	"procman/messages"
)

// lockPatience is how long a manager waits for the lock of one that has died: a child of it between fork and exec holds
// it for another instant.
const lockPatience = time.Second

func lockDir(dir messages.StateDir) (*os.File, error) {
	f, err := record.Open(dir.Lock(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the state directory cannot be locked: %w", err)
	}
	err = lockSoon(f, unix.LOCK_EX)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = fmt.Errorf("%w: %s%s", ErrInUse, dir, owner(f))
	} else if err == nil {
		err = sign(f)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// lockSoon locks the file. Who has died may hold it for another instant, see lockPatience.
func lockSoon(f *os.File, how int) error {
	for deadline := time.Now().Add(lockPatience); ; time.Sleep(5 * time.Millisecond) {
		err := tryLock(f, how)
		if !errors.Is(err, unix.EWOULDBLOCK) || time.Now().After(deadline) {
			return err
		}
	}
}

// inherit takes over a lock file that is locked already. If the directory was moved or replaced since, it is not that
// of the directory: then that one is taken, and the old one is returned too, for what it locks may lie elsewhere now.
// Who was handed a lock has processes to watch, and must not end because of a file.
func inherit(dir messages.StateDir, lock *os.File) (ours, old *os.File, err error) {
	unix.CloseOnExec(int(lock.Fd()))
	handed, err := lock.Stat()
	if err == nil {
		err = tryLock(lock, unix.LOCK_EX) // no change if it is locked
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("the lock handed over cannot be used: %w", err), lock.Close())
	}
	if now, statErr := os.Stat(dir.Lock()); statErr == nil && os.SameFile(handed, now) {
		return lock, nil, sign(lock)
	}
	if ours, err = lockDir(dir); err != nil {
		return nil, nil, errors.Join(err, lock.Close())
	}
	return ours, lock, nil
}

// Handover returns a second handle of the lock on the state directory, which a program that replaces this one in the
// same process inherits: so nobody else gets the directory in between. The caller closes it if there is no such
// program.
func (s *Spawner) Handover() (*os.File, error) {
	s.locking.Lock()
	defer s.locking.Unlock()
	fd, err := unix.Dup(int(s.lock.Fd()))
	if err != nil {
		return nil, fmt.Errorf("the lock cannot be handed over: %w", err)
	}
	return os.NewFile(uintptr(fd), s.dir.Lock()), nil
}

// Check reports why this version of procman could not use the state directory of another: a record in it is of a schema
// that is not known here. It takes no lock and changes nothing.
func Check(dir messages.StateDir) error {
	s := &Spawner{dir: dir, log: slog.New(slog.DiscardHandler)}
	ids, err := s.known()
	errs := []error{err}
	for _, id := range ids {
		_, run := s.readRun(id)
		_, memory := s.readMemory(id)
		for _, err := range []error{run, memory} {
			if errors.Is(err, record.ErrSchema) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

func tryLock(f *os.File, how int) error { return tryLockFD(int(f.Fd()), how) }

func tryLockFD(fd, how int) error {
	for {
		err := unix.Flock(fd, how|unix.LOCK_NB)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// sign writes into the lock file who has it, for the message to those who want it too.
func sign(f *os.File) error {
	line := strconv.Itoa(os.Getpid()) + "\n"
	if _, err := f.WriteAt([]byte(line), 0); err != nil {
		return fmt.Errorf("the state directory cannot be written: %w", err)
	}
	return f.Truncate(int64(len(line)))
}

func owner(f *os.File) string {
	text, err := io.ReadAll(io.NewSectionReader(f, 0, 32))
	pid, convErr := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || convErr != nil || pid <= 0 || unix.Kill(pid, 0) == unix.ESRCH {
		return ""
	}
	return fmt.Sprintf(" is held by process %d", pid)
}

// Dir returns the state directory that the Spawner has, absolute and without links.
func (s *Spawner) Dir() messages.StateDir { return s.dir }

// Keep sees to it that the Spawner still has the state directory: when that was deleted or replaced under it, it is
// made and locked anew. The error says that it could not be had; it wraps ErrInUse if another manager has it by now.
func (s *Spawner) Keep() error {
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	return s.guard()
}

// guard sees to it that the lock on the state directory is one: when the directory was deleted or replaced under us,
// what we hold keeps nobody out. Then the new one is taken.
func (s *Spawner) guard() error {
	s.locking.Lock()
	ours, err := s.lock.Stat()
	s.locking.Unlock()
	if err != nil {
		return err
	}
	now, err := os.Stat(s.dir.Lock()) // not under the lock: who ends or upgrades the manager must not wait for a disk
	if err == nil && os.SameFile(ours, now) {
		return nil
	}
	s.locking.Lock()
	defer s.locking.Unlock()
	if again, err := s.lock.Stat(); err != nil || !os.SameFile(ours, again) {
		return err // somebody else has seen it, too
	}
	s.log.Error("the state directory was deleted or replaced under the manager", "dir", string(s.dir), "moved_to",
		movedTo(s.lock),
		"consequence", "its processes run on and are found again; what was written of them is lost until it is "+
			"written anew")
	if _, err := prepare(s.dir); err != nil {
		return err
	}
	lock, err := lockDir(s.dir)
	if err != nil {
		return err
	}
	// What it locked may have been moved and lie elsewhere, with the records of processes that live.
	s.claims[fmt.Sprintf("replaced %d", len(s.claims))] = s.lock
	s.lock = lock
	s.work.Go(s.recordAnew)
	return nil
}

// recordAnew puts the newest runs on record again.
func (s *Spawner) recordAnew() {
	s.mu.Lock()
	known := slices.Collect(maps.Values(s.table))
	s.mu.Unlock()
	for _, i := range known {
		i.mu.Lock()
		p := i.newest
		if p != nil && i.unsaved == nil && !p.ended() {
			i.unsaved = &p.record
		}
		i.mu.Unlock()
		s.save(i, nil)
	}
}

// instancePatience is how long a start waits for the instance's lock: who was killed needs a moment to be gone.
const instancePatience = 2 * time.Second

func (s *Spawner) awaitLock(ctx context.Context, i *instance, f *os.File) error {
	for deadline := time.Now().Add(s.patience); ; {
		// A process we know counts also when its lock file was deleted.
		p := i.live()
		if p == nil {
			err := tryLock(f, unix.LOCK_EX)
			if err == nil {
				return nil
			}
			if !errors.Is(err, unix.EWOULDBLOCK) {
				return stateError(err, f.Name())
			}
		}
		if time.Now().After(deadline) {
			return s.locked(i, f.Name())
		}
		switch err := s.pause(ctx, 5*time.Millisecond); {
		case errors.Is(err, ErrClosed):
			return fault(messages.FaultOther, "", err, "")
		case err != nil:
			return err
		}
	}
}

func (s *Spawner) locked(i *instance, path string) error {
	pids := s.proc.Holders(path)
	if p := i.live(); p != nil && len(pids) == 0 {
		pids = []int{p.pid}
	}
	if len(pids) == 0 {
		return fault(messages.FaultLocked, path, errors.New("a process holds it that is not visible here"), "")
	}
	return fault(messages.FaultLocked, path, fmt.Errorf("held by the processes %d", pids),
		"end them, or wait until they have ended")
}

// unlocked reports whether nobody holds the instance's lock.
func (s *Spawner) unlocked(id messages.InstanceID) bool {
	fd, err := record.OpenBare(s.dir.InstanceLock(id), os.O_RDONLY, 0)
	if err != nil {
		return true
	}
	defer func() { _ = unix.Close(fd) }() // nothing was written
	return !errors.Is(tryLockFD(fd, unix.LOCK_SH), unix.EWOULDBLOCK)
}

// movedTo returns where the directory lies now in which the lock was taken; empty if it has no name any more.
func movedTo(lock *os.File) string {
	target, err := kernel.Procfs("/proc").FD(os.Getpid(), int(lock.Fd()))
	if err != nil || strings.HasSuffix(target, " (deleted)") {
		return ""
	}
	return filepath.Dir(target)
}
