package cgroup

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"procman/messages"
)

// Each reports whether every run has a cgroup, and not only one of which something is to be bounded.
func (t *Tree) Each() bool { return t.Absent() == nil }

// Make makes a cgroup for a run, in which the resources are bounded, and returns its path below the mount. Where
// nothing is to be bounded, and none can be made, the path is empty: the run does without. Otherwise the error is a
// *messages.StartError.
func (t *Tree) Make(id messages.InstanceID, run int, r messages.Resources) (string, error) {
	want := bounds(r)
	at, err := t.make(id, run, want)
	var start *messages.StartError
	switch {
	case err == nil:
		return at, nil
	case len(want) == 0:
		t.log.Debug("a run has no cgroup of its own", "instance", string(id), "run", run, "error", err)
		return "", nil
	case errors.As(err, &start):
		return "", start
	}
	return "", &messages.StartError{Fault: messages.FaultBounds, Err: fmt.Errorf("%s: %w", keys(want), err),
		Help: "`procman doctor` says what there is; or leave out " + keys(want)}
}

func keys(want []bound) string {
	var list []string
	for _, b := range want {
		list = append(list, b.key)
	}
	return strings.Join(list, ", ")
}

func (t *Tree) make(id messages.InstanceID, run int, want []bound) (string, error) {
	if err := t.Absent(); err != nil {
		return "", err
	}
	at, err := t.prepared(id, run, want)
	if errors.Is(err, unix.ENOENT) { // somebody has removed the empty home
		t.mu.Lock()
		t.there = false
		clear(t.on)
		t.mu.Unlock()
		at, err = t.prepared(id, run, want)
	}
	if err != nil {
		return "", err
	}
	for _, b := range want {
		if err := t.write(path.Join(at, b.file), b.value); err != nil {
			t.Remove(id, at)
			return "", fmt.Errorf("%s is not taken: %w", b.value, err)
		}
	}
	return at, nil
}

// prepared makes the cgroup of a run, below home, which has the controllers that are needed.
func (t *Tree) prepared(id messages.InstanceID, run int, want []bound) (string, error) {
	if err := t.ready(want); err != nil {
		return "", err
	}
	at, err := t.makeDir(id, run)
	if err != nil {
		return "", fmt.Errorf("no cgroup can be made in %s: %w", t.full(t.home), err)
	}
	return at, nil
}

// tries is how many cgroups with the name of one run may be in use: of runs before its state directory was deleted.
const tries = 20

func (t *Tree) makeDir(id messages.InstanceID, run int) (at string, err error) {
	for n := 1; n <= tries; n++ {
		at = t.of(id, run, n)
		err = t.mkdir(t.dir, t.at(at), 0o755)
		if !errors.Is(err, unix.EEXIST) {
			return at, err
		}
		if t.rmdir(at) == nil {
			n--
		}
	}
	return "", err
}

// of is the nth path for the cgroup of a run. No id holds an @.
func (t *Tree) of(id messages.InstanceID, run, n int) string {
	at := path.Join(t.home, string(id)+"@"+strconv.Itoa(run))
	if n > 1 {
		at += "@" + strconv.Itoa(n)
	}
	return at
}

// idOf returns whose cgroup that is; empty: not of a run.
func idOf(at string) messages.InstanceID {
	id, _, is := strings.Cut(path.Base(at), "@")
	if !is || messages.InstanceID(id).Validate() != nil {
		return ""
	}
	return messages.InstanceID(id)
}

// ready has home, and the controllers in it that are needed.
func (t *Tree) ready(want []bound) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.ensure(); err != nil {
		return err
	}
	for _, b := range want {
		if t.on[b.controller] {
			continue
		}
		if err := t.handOn(b); err != nil {
			return err
		}
		t.on[b.controller] = true
	}
	return nil
}

// ensure makes home. t is locked, or nobody else's yet.
func (t *Tree) ensure() error {
	if t.there {
		return nil
	}
	if err := ignore(t.mkdir(t.dir, t.at(t.home), 0o755), unix.EEXIST); err != nil {
		return fmt.Errorf("%s cannot be made: %w", t.full(t.home), err)
	}
	if err := unix.Faccessat(t.dir, t.at(path.Join(t.home, "cgroup.kill")), unix.W_OK, unix.AT_EACCESS); err != nil {
		t.why = fmt.Errorf("there is no cgroup.kill, which Linux 5.14 brought: %w", err)
		_ = unix.Unlinkat(t.dir, t.at(t.home), unix.AT_REMOVEDIR) // somebody else's files in it keep it
		return t.why
	}
	t.there = true
	return nil
}

// refuse is why something cannot be bounded.
func (b bound) refuse(help, format string, args ...any) error {
	return &messages.StartError{Fault: messages.FaultBounds, Err: fmt.Errorf(b.key+": "+format, args...),
		Help: help + ", or leave out " + b.key}
}

// lacks returns why home cannot have a controller, as far as that shows before it is tried.
func (t *Tree) lacks(b bound) error {
	have, err := t.read(path.Join(t.base, "cgroup.controllers"))
	if err != nil {
		return fmt.Errorf("which controllers there are cannot be read: %w", err)
	}
	if !slices.Contains(strings.Fields(have), b.controller) {
		help := "have the cgroups above it hand it on"
		switch {
		case slices.Contains(t.v1, b.controller):
			help = "it is in a hierarchy of cgroups v1 on this host: boot with systemd.unified_cgroup_hierarchy=1 or " +
				"cgroup_no_v1=" + b.controller
		case t.unit != "":
			help = "Delegate=yes in " + t.unit + " hands it on"
		}
		return b.refuse(help, "the controller %s is missing in %s, which has %s", b.controller, t.full(t.base),
			listed(have))
	}
	if t.crowded {
		help := "start the daemon alone in a cgroup"
		if t.unit != "" {
			help = "DelegateSubgroup=" + leaf + " in " + t.unit +
				" (systemd 254 or later) gives the daemon a cgroup of its own below it"
		}
		return b.refuse(help, "%s cannot hand on the controller %s, since processes are in it", t.full(t.base),
			b.controller)
	}
	return nil
}

// handOn has a controller in home. t is locked.
func (t *Tree) handOn(b bound) error {
	if err := t.lacks(b); err != nil {
		return err
	}
	for _, at := range []string{t.base, t.home} {
		if err := t.write(path.Join(at, "cgroup.subtree_control"), "+"+b.controller); errors.Is(err, unix.EBUSY) {
			return b.refuse("have no process in it but in cgroups below it",
				"%s cannot hand on the controller %s, since processes are in it", t.full(at), b.controller)
		} else if err != nil {
			return err
		}
	}
	return nil
}

func listed(controllers string) string {
	if words := strings.Fields(controllers); len(words) > 0 {
		return strings.Join(words, ", ")
	}
	return "none"
}
