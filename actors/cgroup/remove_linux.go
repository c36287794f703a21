package cgroup

import (
	"errors"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"procman/messages"
)

// Vacate removes a cgroup if nobody is in it, and reports whether nobody was. One that is not removed may be empty all
// the same.
func (t *Tree) Vacate(c messages.Cgroup) bool {
	return t != nil && t.dir >= 0 && t.removeDir(c.Path) == nil
}

// Remove removes the cgroup of a run that is over. One in which processes are is kept in mind, see Left.
func (t *Tree) Remove(id messages.InstanceID, at string) {
	if t == nil || t.dir < 0 {
		return
	}
	err := t.rmdir(at)
	if err == nil {
		return
	}
	fd, c, gone := t.Enter(at)
	if gone != nil {
		return
	}
	_ = unix.Close(fd) // nothing was written
	t.log.Debug("a cgroup is in use after the end of its run", "instance", string(id), "cgroup", at, "error", err)
	t.mu.Lock()
	defer t.mu.Unlock()
	if !slices.Contains(t.left[id], c) {
		t.left[id] = append(t.left[id], c)
	}
}

// rmdir removes a cgroup and those below it, of which none may hold a process.
func (t *Tree) rmdir(at string) error {
	err := ignore(t.removeDir(at), unix.ENOENT)
	if !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.ENOTEMPTY) {
		return err
	}
	if text, _ := t.read(path.Join(at, "cgroup.events")); strings.Contains(text, "populated 1") {
		return err
	}
	fd, _, opened := t.Enter(at)
	if opened != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }() // nothing was written
	if below := eachBelow(fd, func(name string) error { return t.rmdir(path.Join(at, name)) }); below != nil {
		return err
	}
	return ignore(t.removeDir(at), unix.ENOENT)
}

func (t *Tree) removeDir(at string) error {
	t.remove.Lock()
	defer t.remove.Unlock()
	return unix.Unlinkat(t.dir, t.at(at), unix.AT_REMOVEDIR)
}

// Left returns the cgroups of ended runs of the instance in which processes are.
func (t *Tree) Left(id messages.InstanceID) []messages.Cgroup {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	left := slices.Clone(t.left[id])
	t.mu.Unlock()
	left = slices.DeleteFunc(left, func(c messages.Cgroup) bool {
		pids, err := t.Procs(c)
		if err != nil || len(pids) > 0 {
			return false
		}
		return t.rmdir(c.Path) == nil
	})
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.left[id] = left; len(left) == 0 {
		delete(t.left, id)
	}
	return slices.Clone(left)
}

// AllLeft returns of which instances there are some.
func (t *Tree) AllLeft() (ids []messages.InstanceID) {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for id := range t.left {
		ids = append(ids, id)
	}
	return ids
}

// Sweep removes the cgroups of runs that an earlier manager has made, but for those of runs that go on.
func (t *Tree) Sweep(known func(at string) bool) {
	if t.Absent() != nil {
		return
	}
	t.sweepEmpty()
	fd, _, err := t.Enter(t.home)
	if err != nil {
		return // there are none
	}
	defer func() { _ = unix.Close(fd) }() // nothing was written
	err = eachBelow(fd, func(name string) error {
		at := path.Join(t.home, name)
		if id := idOf(at); id != "" && !known(at) {
			t.Remove(id, at)
		}
		return nil
	})
	if err != nil {
		t.log.Warn("cgroups of earlier runs cannot be looked for", "in", t.full(t.home), "error", err)
	}
	t.mu.Lock()
	t.there = true
	t.mu.Unlock()
}

// unused is for how long a cgroup must have been there to count as left behind: a process may be about to be started in
// a new one.
const unused = time.Minute

// sweepEmpty removes what managers of other state directories have left behind with no process in it. One that still
// uses it makes it again.
func (t *Tree) sweepEmpty() {
	t.eachIn(t.base, func(home string) {
		text, _ := t.read(path.Join(home, "cgroup.events"))
		if !strings.HasPrefix(path.Base(home), prefix) || home == t.home || !strings.Contains(text, "populated 0") {
			return
		}
		t.eachIn(home, func(at string) {
			var st unix.Stat_t
			if unix.Fstatat(t.dir, t.at(at), &st, unix.AT_SYMLINK_NOFOLLOW) == nil &&
				time.Since(time.Unix(st.Ctim.Unix())) > unused {
				_ = t.rmdir(at) // somebody uses it
			}
		})
		_ = t.removeDir(home) // somebody uses it
	})
}

// eachIn calls do with each cgroup in that one.
func (t *Tree) eachIn(at string, do func(at string)) {
	fd, _, err := t.Enter(at)
	if err != nil {
		return // nothing can be there
	}
	defer func() { _ = unix.Close(fd) }()                                              // nothing was written
	_ = eachBelow(fd, func(name string) error { do(path.Join(at, name)); return nil }) // what cannot be read stays
}
