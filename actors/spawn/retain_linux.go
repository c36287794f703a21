package spawn

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"procman/actors/record"
	"procman/messages"
)

// ownFiles returns the names of the files that procman makes in the directory of an instance.
func ownFiles(dir messages.StateDir, id messages.InstanceID) map[string]bool {
	own := map[string]bool{}
	for _, path := range []string{
		dir.Stdout(id), dir.Stderr(id), dir.OutputPlace(id), dir.Run(id), dir.Memory(id), dir.InstanceLock(id), dir.Fence(id), dir.Ending(id),
	} {
		own[filepath.Base(path)], own[filepath.Base(record.Staged(path))] = true, true
	}
	return own
}

// Archived returns the instances of which nothing but what they wrote is left, see Expunge, with the time when something in
// their directory changed last. Those that known names are not looked at.
func (s *Spawner) Archived(known func(messages.InstanceID) bool) (map[messages.InstanceID]time.Time, error) {
	leave, err := s.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	defer s.disk.Enter()()
	ids, err := s.known()
	errs := []error{err}
	archived := map[messages.InstanceID]time.Time{}
	for _, id := range ids {
		if known(id) || exists(s.dir.Memory(id)) || exists(s.dir.Run(id)) {
			continue // the next manager takes up what is on record, and forgets it in its own time
		}
		since, err := lastChange(s.dir.Instance(id))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		errs = append(errs, err)
		archived[id] = since
	}
	return archived, errors.Join(errs...)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// lastChange returns when the directory or a file in it was changed last.
func lastChange(dir string) (time.Time, error) {
	info, err := os.Lstat(dir)
	if err != nil {
		return time.Time{}, err
	}
	last := info.ModTime()
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.ModTime().After(last) {
			last = info.ModTime()
		}
	}
	return last, err
}

// Discard removes the directory of an instance that is known no more. With a *messages.KeptError it was left as it is: a process of
// the instance lives, a helper of one, or what may be one; a hold is on record, or what nobody can read; or files lie there
// that are not procman's.
func (s *Spawner) Discard(ctx context.Context, id messages.InstanceID) error {
	if err := id.Validate(); err != nil {
		return err
	}
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	remain, err := s.Remain()
	if err != nil {
		return fmt.Errorf("it cannot be seen whether something of %q lives: %w", string(id), err)
	}
	kept := func(format string, args ...any) error {
		return &messages.KeptError{ID: id, Why: fmt.Sprintf(format, args...)}
	}
	if lives := remain[id]; len(lives) > 0 {
		return kept("%s lives", messages.Members(lives))
	}
	i := s.instance(id)
	if err := s.takeTurn(ctx, i); err != nil { // nobody starts it meanwhile
		return err
	}
	defer i.give()
	defer s.disk.Enter()()
	i.files.Lock()
	defer i.files.Unlock()
	dir := s.dir.Instance(id)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if p := i.process(); p != nil && p.ended() {
		p.look(time.Now()) // who was left may have ended since, and nobody watches them
	}
	switch d := i.doubts(); {
	case d != nil:
		return kept("%s", s.unclear(id, d))
	case i.process() != nil && !i.process().over():
		return kept("a run of it lives")
	case !s.unlocked(id):
		return kept("something that is not visible here holds %s", s.dir.InstanceLock(id))
	case exists(s.dir.Memory(id)), exists(s.dir.Run(id)):
		return kept("it is remembered by %s: a hold is, until `procman start`", s.dir.Memory(id))
	}
	if pids := s.writers(dir); len(pids) > 0 {
		return kept("the processes %d write there", pids)
	}
	own := ownFiles(s.dir, id)
	for _, e := range entries {
		if !own[e.Name()] {
			return kept("%s is not procman's: move it away", filepath.Join(dir, e.Name()))
		}
	}
	for _, e := range entries {
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return os.Remove(dir)
}

// writers returns the processes, but for this one, that have a file of the directory open to write to it: those that a run
// left may show nothing else. Who only reads, as `tail -f` does, keeps nothing.
func (s *Spawner) writers(dir string) []int {
	pids, err := s.proc.PIDs()
	if err != nil {
		return nil
	}
	var found []int
	for _, pid := range pids {
		fds, err := s.proc.FDs(pid)
		if err != nil || pid == os.Getpid() {
			continue
		}
		for _, fd := range fds {
			if target, err := s.proc.FD(pid, fd); err == nil && strings.HasPrefix(target, dir+"/") && s.proc.Writes(pid, fd) {
				found = append(found, pid)
				break
			}
		}
	}
	return found
}
