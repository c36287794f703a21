package spawn

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"procman/actors/record"
	"procman/messages"
)

// ownFiles returns the names of the files that procman makes in the directory of an instance.
func ownFiles(dir messages.StateDir, id messages.InstanceID) map[string]bool {
	own := map[string]bool{}
	for _, path := range []string{
		dir.Stdout(id), dir.Stderr(id), dir.OutputPlace(id), dir.Run(id), dir.Memory(id), dir.InstanceLock(id),
		dir.Fence(id), dir.Ending(id),
	} {
		own[filepath.Base(path)], own[filepath.Base(record.Staged(path))] = true, true
	}
	return own
}

// Archived returns the instances of which nothing but what they wrote is left, see Expunge, with the time when
// something in their directory changed last. Those that known names are not looked at.
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

// Discard removes the directories of instances that are known no more, and returns why what is still there is. With a
// *messages.KeptError it was left as it is: a process of the instance lives, a helper of one, or what may be one; a
// hold is on record, or what nobody can read; or files lie there that are not procman's. The processes are looked at
// once for all.
func (s *Spawner) Discard(ctx context.Context, ids []messages.InstanceID) map[messages.InstanceID]error {
	failed := map[messages.InstanceID]error{}
	leave, err := s.enter()
	if err != nil {
		return failedAll(ids, err)
	}
	defer leave()
	var turns []*instance
	for _, id := range ids {
		if err := id.Validate(); err != nil {
			failed[id] = err
			continue
		}
		i := s.instance(id)
		if err := s.takeTurn(ctx, i); err != nil { // nobody starts it meanwhile
			failed[id] = err
			continue
		}
		defer i.give()
		turns = append(turns, i)
	}
	remain, err := s.Remain()
	writers, unseen := s.writers()
	if err = errors.Join(err, unseen); err != nil {
		return failedAll(ids, fmt.Errorf("it cannot be seen whether something lives: %w", err))
	}
	for _, i := range turns {
		if err := s.discard(i, remain[i.id], writers[i.id]); err != nil {
			failed[i.id] = err
		}
	}
	return failed
}

func failedAll(ids []messages.InstanceID, err error) map[messages.InstanceID]error {
	failed := make(map[messages.InstanceID]error, len(ids))
	for _, id := range ids {
		failed[id] = err
	}
	return failed
}

// discard is Discard of one whose turn it is, and of which these live and those write.
func (s *Spawner) discard(i *instance, lives []messages.Member, writers []int) error {
	id := i.id
	kept := func(format string, args ...any) error {
		return &messages.KeptError{ID: id, Why: fmt.Sprintf(format, args...)}
	}
	if len(lives) > 0 {
		return kept("%s lives", messages.Members(lives))
	}
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
	if len(writers) > 0 {
		return kept("the processes %d write there", writers)
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

// writers returns the processes, but for this one, that have a file in the directory of an instance open to write to
// it, by instance: those that a run left may show nothing else. Who only reads, as `tail -f` does, keeps nothing.
func (s *Spawner) writers() (map[messages.InstanceID][]int, error) {
	pids, err := s.proc.PIDs()
	if err != nil {
		return nil, err
	}
	found := map[messages.InstanceID][]int{}
	for _, pid := range pids {
		fds, err := s.proc.FDs(pid)
		if err != nil || pid == os.Getpid() {
			continue
		}
		for _, fd := range fds {
			target, err := s.proc.FD(pid, fd)
			below, inside := strings.CutPrefix(target, s.dir.Instances()+"/")
			name, _, deeper := strings.Cut(below, "/")
			id := messages.InstanceID(name)
			if err == nil && inside && deeper && !slices.Contains(found[id], pid) && s.proc.Writes(pid, fd) {
				found[id] = append(found[id], pid)
			}
		}
	}
	return found, nil
}
