package leash

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"procman/actors/kernel"
	"procman/actors/record"
	"procman/messages"
)

// The start lock is held, shared, by whoever starts something fenced, from before the question whether it may be
// started until it is on record. The leash takes it for itself at the deadline: from then on whoever asks is told that
// it may not.

// starter is who holds the start lock, or will: one process for ever. It is written into the lock before it is taken.
type starter struct {
	Boot  string `json:"boot_id"`
	PID   int    `json:"pid"`
	Start uint64 `json:"start_ticks"`
}

// starterSize is how long the file is: so that nothing has to be made on a full disk.
const starterSize = 512

// openStarts opens the start lock, which is made if it is not there.
func openStarts(dir messages.StateDir) (*os.File, error) {
	f, err := record.Open(dir.StartLock(), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = record.Open(dir.StartLock(), os.O_RDWR|os.O_CREATE, 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("the lock of starts cannot be opened: %w", err)
	}
	info, err := f.Stat()
	if err == nil && info.Size() < starterSize {
		_, err = f.WriteAt(make([]byte, starterSize-info.Size()), info.Size())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the lock of starts cannot be written: %w", err), f.Close())
	}
	return f, nil
}

// names reports whether the open file is what the path means.
func names(path string, f *os.File) bool {
	ours, err := f.Stat()
	if err != nil {
		return false
	}
	now, err := os.Lstat(path)
	return err == nil && os.SameFile(ours, now)
}

// who returns whom the lock says it is held by.
func who(f *os.File) (s starter, err error) {
	text, err := io.ReadAll(io.NewSectionReader(f, 0, starterSize))
	if err == nil {
		err = record.Unseal(starterKind, bytes.TrimRight(text, "\x00"), &s)
	}
	return s, err
}

// enter takes the start lock for this process, which is s.
func enter(dir messages.StateDir, s starter) (*os.File, error) {
	for deadline := time.Now().Add(lockPatience); ; time.Sleep(5 * time.Millisecond) {
		f, err := openStarts(dir)
		if err != nil {
			return nil, err
		}
		if said, whoErr := who(f); whoErr != nil || said != s {
			err = s.sign(f)
		}
		if err == nil {
			err = flock(f, unix.LOCK_SH)
		}
		if err == nil && names(dir.StartLock(), f) {
			return f, nil
		}
		release(f)
		switch {
		case err != nil && !errors.Is(err, unix.EWOULDBLOCK):
			return nil, fmt.Errorf("the lock of starts cannot be taken: %w", err)
		case time.Now().After(deadline):
			return nil, errors.New("the lock of starts cannot be taken: the leash has it, or its file is replaced " +
				"again and again")
		}
	}
}

func (s starter) sign(f *os.File) error {
	line, err := record.Seal(starterKind, s)
	if err == nil && len(line) > starterSize {
		err = errors.New("it is too long")
	}
	if err == nil {
		_, err = f.WriteAt(append(line, make([]byte, starterSize-len(line))...), 0)
	}
	return err
}

// shut reports whether no start is under way that has asked before now. With force it ends who holds such a start up: a
// daemon that was frozen between the question and the fork would go on with it when it wakes, however much later.
func (e *ender) shut(force bool) bool {
	locks := []*os.File{e.starts}
	// Whose directory was replaced under it holds the old one, who came later the new one.
	opened := make(chan *os.File, 1)
	left, err := e.disk.Do(context.Background(), diskPatience, func() error {
		if names(e.dir.StartLock(), e.starts) {
			return nil
		}
		f, err := record.Open(e.dir.StartLock(), os.O_RDWR, 0)
		if err == nil {
			opened <- f
		}
		return err
	}, func() {
		select {
		case f := <-opened:
			_ = f.Close()
		default:
		}
	})
	if !left && err == nil {
		select {
		case f := <-opened:
			defer f.Close()
			locks = append(locks, f)
		default:
		}
	}
	shut := true
	for _, f := range locks {
		err := flock(f, unix.LOCK_EX)
		if err == nil {
			err = flock(f, unix.LOCK_UN)
		}
		if err == nil {
			continue
		}
		shut = false
		if !errors.Is(err, unix.EWOULDBLOCK) {
			e.log.Error("it cannot be told whether a start is under way; it is tried again", "error", err)
			continue
		}
		s, err := e.seated(f) // also without force: the disk may not answer in time then
		if force {
			e.unseat(s, err)
		}
	}
	return shut
}

// unseat ends the daemon that holds up a start, and nobody else.
func (e *ender) unseat(s starter, err error) {
	if err == nil && s == e.unseated {
		return // it is on its way out
	}
	if err == nil {
		err = e.finish(s)
	}
	if err != nil {
		if e.said != err.Error() {
			e.said = err.Error()
			e.log.Error("a start is under way although the deadline has passed, and who makes it cannot be ended; it "+
				"is tried again", "error", err,
				"consequence", "what it starts is ended when it is seen")
		}
		return
	}
	e.unseated = s
	e.log.Error("a start was under way although the deadline had passed: its daemon is ended, so that it cannot go "+
		"on with it later",
		"pid", s.PID, "consequence", "instances that are not fenced run on, and the next daemon adopts them")
}

// seated returns who holds the lock, by what it says, or said when the disk answered last.
func (e *ender) seated(f *os.File) (starter, error) {
	answer := make(chan starter, 1)
	_, err := e.disk.Do(context.Background(), diskPatience, func() error {
		s, err := who(f)
		answer <- s
		if err == nil && f == e.starts {
			e.seat.Store(&s)
		}
		return err
	}, nil)
	if err == nil {
		return <-answer, nil
	}
	if _, stalled := errors.AsType[*record.StalledError](err); stalled && f == e.starts && e.seat.Load() != nil {
		return *e.seat.Load(), nil
	}
	return starter{}, fmt.Errorf("the lock does not say who holds it: %w", err)
}

// finish ends the very process.
func (e *ender) finish(s starter) error {
	if s.Boot != e.boot || s.PID <= 1 || s.PID == os.Getpid() {
		return fmt.Errorf("process %d cannot be it", s.PID)
	}
	fd, err := kernel.OpenPidfd(s.PID)
	if err != nil {
		return fmt.Errorf("process %d has the lock no more, and somebody else has: %w", s.PID, err)
	}
	defer fd.Close()
	if now, err := e.proc.Stat(s.PID); err != nil {
		return err
	} else if now.Start != s.Start {
		return fmt.Errorf("process %d is another one by now", s.PID)
	}
	return fd.Signal(syscall.SIGKILL)
}
