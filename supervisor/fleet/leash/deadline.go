package leash

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"procman/actors/record"
	"procman/messages"
	"procman/supervisor/fleet/member"
)

// Check returns why the record is of no lease that is in force, on this boot of the host and at this time of its
// CLOCK_BOOTTIME; nil: it is.
func Check(r member.Record, boot string, now int64) error {
	switch {
	case r.Boot != boot:
		return errors.New("the deadline is of another boot of the host")
	case r.Renewed < 0 || int64(r.Renewed) > now:
		return errors.New("the deadline was asked for later than now")
	case r.Void():
		return ErrVoid
	case r.KillAt <= r.Renewed || r.KillAt > r.Deadline || r.Deadline-r.Renewed > r.TTL:
		return fmt.Errorf("the deadline makes no sense: %v of %v, of a lease of %v", r.KillAt-r.Renewed,
			r.Deadline-r.Renewed, r.TTL)
	case now >= int64(r.KillAt):
		return ErrPassed
	}
	return nil
}

var (
	// ErrPassed says that the deadline has passed.
	ErrPassed = errors.New("the deadline has passed")
	// ErrNone says that there is no deadline.
	ErrNone = errors.New("there is no deadline")
	// ErrVoid says that the lease is over before its deadline.
	ErrVoid = errors.New("the lease does not count any more")
)

// kind marks what this package seals.
const (
	deadlineKind = "deadline"
	fenceKind    = "fence"
	endingKind   = "ending"
	starterKind  = "starter"
)

// The file has two halves, each of one record, so that the one which is not being written is whole.
const half = 4 << 10

type numbered struct {
	Number uint64        `json:"number"`
	Record member.Record `json:"deadline"`
}

// File is the record of the lease on disk, for the daemon, which alone writes it. It is for one goroutine.
type File struct {
	path   string
	file   *os.File
	number uint64 // of the newest whole half
}

// Open returns the file, which is made if it is not there. What it says goes on.
func Open(dir messages.StateDir) (*File, error) {
	f := &File{path: dir.Deadline()}
	if err := f.open(); err != nil {
		return nil, fmt.Errorf("the file of the deadline cannot be opened: %w", err)
	}
	return f, nil
}

func (f *File) open() error {
	content, err := record.ReadFile(f.path, 2*half)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(content) != 2*half {
		content = make([]byte, 2*half)
		err = record.WriteFile(f.path, content, true)
	}
	if err != nil {
		return err
	}
	file, err := record.Open(f.path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if f.file != nil {
		_ = f.file.Close() // it has no name any more
	}
	f.file = file
	newest, _ := newest(content)
	f.number = max(f.number, newest.Number)
	return nil
}

// Close closes the file.
func (f *File) Close() error { return f.file.Close() }

// Write puts the record into force, which is on disk when it returns nil. If it fails the one before stays in force, or
// it is not known which does.
func (f *File) Write(r member.Record) error {
	fail := func(err error) error {
		return fmt.Errorf("the deadline cannot be written, so the one before stays in force: %w", err)
	}
	if ours, err := f.file.Stat(); err != nil {
		return fail(err)
	} else if now, err := os.Lstat(f.path); err != nil || !os.SameFile(ours, now) {
		if err := f.open(); err != nil {
			return fail(err)
		}
	}
	next := f.number + 1
	line, err := record.Seal(deadlineKind, numbered{next, r})
	if err != nil {
		return fail(err)
	}
	if len(line) > half {
		return fail(errors.New("it is too long"))
	}
	if _, err := f.file.WriteAt(append(line, make([]byte, half-len(line))...), int64(next%2)*half); err != nil {
		return fail(err)
	}
	if err := f.file.Sync(); err != nil {
		return fmt.Errorf("it is not known which deadline is on disk: %w", err) // the next one is written over this one
	}
	f.number = next
	return nil
}

// Read returns the record that was written last. The error is ErrNone if there is none.
func Read(dir messages.StateDir) (member.Record, error) {
	content, err := record.ReadFile(dir.Deadline(), 2*half)
	if errors.Is(err, fs.ErrNotExist) {
		return member.Record{}, ErrNone
	}
	if err != nil {
		return member.Record{}, err
	}
	n, err := newest(content)
	return n.Record, err
}

// newest returns the newest whole half.
func newest(content []byte) (numbered, error) {
	var best numbered
	if len(content) != 2*half {
		return best, fmt.Errorf("%w: its size is %d", record.ErrDamaged, len(content))
	}
	var errs []error
	for _, part := range [][]byte{content[:half], content[half:]} {
		line := bytes.TrimRight(part, "\x00")
		if len(line) == 0 {
			continue
		}
		var n numbered
		if err := record.Unseal(deadlineKind, line, &n); err != nil {
			errs = append(errs, err)
		} else if n.Number > best.Number {
			best = n
		}
	}
	switch {
	case best.Number > 0:
		return best, nil
	case len(errs) > 0:
		return best, errors.Join(errs...)
	}
	return best, ErrNone
}

// Remove takes the deadline away, when nothing is fenced any more.
func Remove(dir messages.StateDir) error {
	err := os.Remove(dir.Deadline())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
