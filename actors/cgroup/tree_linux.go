package cgroup

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"procman/messages"
)

// Tree has the cgroups of the runs of one state directory. Its methods may be called by several goroutines, and those
// of the nil Tree find nothing.
type Tree struct {
	division
	mount string
	home  string // below the mount: in it are the cgroups of the runs
	dir   int    // the mount
	log   *slog.Logger
	v1    []string // controllers that are not in this hierarchy
	mkdir func(dir int, path string, mode uint32) error

	remove sync.Mutex // the kernel removes one cgroup at a time, and who waits for that there holds a thread

	mu    sync.Mutex
	why   error // that there are none; nil: there are
	there bool  // home is
	on    map[string]bool
	left  map[messages.InstanceID][]messages.Cgroup
}

// Open finds what may be divided, for the runs of a state directory whose one name that is. It makes nothing yet.
func Open(dir messages.StateDir, log *slog.Logger) *Tree {
	sum := sha256.Sum256([]byte(dir))
	t := &Tree{log: log, dir: -1, mkdir: unix.Mkdirat, on: map[string]bool{},
		left: map[messages.InstanceID][]messages.Cgroup{}}
	own, err := t.find("/proc/self", os.Geteuid())
	t.home = path.Join(t.base, prefix+hex.EncodeToString(sum[:4]))
	if t.why = err; err != nil {
		log.Debug("runs have no cgroups of their own", "cause", err)
	} else if t.crowded && t.unit == "" {
		t.moveAway(own)
	}
	return t
}

// Report is what a process can do with cgroups.
type Report struct {
	Absent      error // why it has none for runs; nil: it has
	Base        string
	Controllers []string          // that can bound something, if nothing stands against it
	Refuses     map[string]string // what stands against one, by its name
}

// Examine returns what the process with that pid can do. It makes and changes nothing.
func Examine(pid int) Report {
	t := &Tree{log: slog.New(slog.DiscardHandler), dir: -1}
	defer func() { _ = t.Close() }() // nothing was made
	proc := "/proc/" + strconv.Itoa(pid)
	var owner unix.Stat_t
	if err := unix.Stat(proc, &owner); err != nil {
		return Report{Absent: &fs.PathError{Op: "stat", Path: proc, Err: err}}
	}
	if _, err := t.find(proc, int(owner.Uid)); err != nil {
		return Report{Absent: err}
	}
	r := Report{Base: t.full(t.base), Refuses: map[string]string{}}
	for _, b := range bounds(messages.Resources{Memory: 1, CPU: 1, Pids: 1}) {
		r.Controllers = append(r.Controllers, b.controller)
		if err := t.lacks(b); err != nil {
			r.Refuses[b.controller] = err.Error()
			var start *messages.StartError
			if errors.As(err, &start) {
				r.Refuses[b.controller] = messages.Cause(start.Err) + " (" + start.Help + ")"
			}
		}
	}
	return r
}

// find finds what a process of the user may divide, and returns the cgroup in which it is.
func (t *Tree) find(proc string, user int) (string, error) {
	if _, _, errno := unix.RawSyscall(unix.SYS_CLONE3, 0, 0, 0); errno == unix.ENOSYS {
		return "", errors.New("no process can be started in a cgroup: clone3 is not there, or a sandbox forbids it")
	}
	mounts, err := os.ReadFile(proc + "/mountinfo")
	if err != nil {
		return "", err
	}
	self, err := os.ReadFile(proc + "/cgroup")
	if err != nil {
		return "", err
	}
	at, err := locate(string(mounts), string(self))
	if err != nil {
		return "", err
	}
	fd, err := unix.Open(at.mount, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", &fs.PathError{Op: "open", Path: at.mount, Err: err}
	}
	t.mount, t.dir, t.v1 = at.mount, fd, onV1(string(self), []string{"cpu", "memory", "pids"})
	t.division, err = divide(at.own, user, func(p string) bool { return delegated(path.Join(at.mount, p), user) },
		func(p string) bool {
			_, err := os.Lstat(path.Join(at.mount, p, "cgroup.type"))
			return errors.Is(err, fs.ErrNotExist)
		})
	if err != nil {
		return "", err
	}
	if err := unix.Faccessat(t.dir, t.at(t.base), unix.W_OK, unix.AT_EACCESS); err != nil {
		return "", fmt.Errorf("in %s nothing can be made: %w", t.full(t.base), err)
	}
	return at.own, nil
}

// delegated reports whether systemd, or whoever started us, has given the cgroup to this process.
func delegated(dir string, user int) bool {
	var value [8]byte
	for _, name := range []string{"user.delegate", "trusted.delegate"} {
		if n, err := unix.Getxattr(dir, name, value[:]); err == nil && string(value[:n]) == "1" {
			return true
		}
	}
	return user != 0 && unix.Access(dir, unix.W_OK) == nil &&
		unix.Access(path.Join(dir, "cgroup.procs"), unix.W_OK) == nil
}

// moveAway puts this process into a leaf if it is alone in a cgroup, which then may hand controllers on.
func (t *Tree) moveAway(own string) {
	if pids, err := t.procs(own); err != nil || len(pids) != 1 || pids[0] != os.Getpid() {
		return
	}
	at := path.Join(t.home, leaf)
	err := t.ensure()
	if err == nil {
		err = ignore(t.mkdir(t.dir, t.at(at), 0o755), unix.EEXIST)
	}
	if err == nil {
		err = t.write(path.Join(at, "cgroup.procs"), "0")
	}
	if t.crowded = err != nil; t.crowded {
		t.log.Debug("the manager stays in its cgroup", "error", err)
	}
}

// Close removes what is empty. What lives in a cgroup stays there.
func (t *Tree) Close() error {
	if t == nil || t.dir < 0 {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.there {
		_ = unix.Unlinkat(t.dir, t.at(t.home), unix.AT_REMOVEDIR) // it is in use, or gone
	}
	return unix.Close(t.dir)
}

// Absent returns why there are no cgroups; nil if there are.
func (t *Tree) Absent() error {
	if t == nil {
		return errors.New("this manager has none")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.why
}

// Enter opens the cgroup for a process to be started in it, and names it for ever. The descriptor is the caller's.
func (t *Tree) Enter(at string) (int, messages.Cgroup, error) {
	fd, err := t.openDir(at)
	if err != nil {
		return -1, messages.Cgroup{}, err
	}
	id, err := number(fd)
	if err != nil {
		_ = unix.Close(fd) // nothing was written
		return -1, messages.Cgroup{}, &fs.PathError{Op: "stat", Path: t.full(at), Err: err}
	}
	return fd, messages.Cgroup{Path: at, ID: id}, nil
}

func (t *Tree) openDir(at string) (int, error) {
	fd, err := unix.Openat(t.dir, t.at(at), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &fs.PathError{Op: "open", Path: t.full(at), Err: err}
	}
	return fd, nil
}

func number(fd int) (uint64, error) {
	var st unix.Stat_t
	err := unix.Fstat(fd, &st)
	return st.Ino, err
}

// open opens the cgroup that was entered; fs.ErrNotExist if it is no more.
func (t *Tree) open(c messages.Cgroup) (int, error) {
	if t == nil || t.dir < 0 {
		return -1, fs.ErrNotExist
	}
	fd, now, err := t.Enter(c.Path)
	if err == nil && now.ID != c.ID {
		_ = unix.Close(fd) // nothing was written
		return -1, fs.ErrNotExist
	}
	return fd, err
}

// Procs returns the processes in the cgroup and in those below it; none if it is no more.
func (t *Tree) Procs(c messages.Cgroup) ([]int, error) {
	if t == nil || t.dir < 0 {
		return nil, nil
	}
	fd, err := t.openDir(c.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(fd) }() // nothing was written
	pids, id, err := procsIn(fd, nil, depth)
	if id != c.ID { // what was entered is no more
		return nil, nil
	}
	return pids, err
}

// procs is Procs by the path alone.
func (t *Tree) procs(at string) ([]int, error) {
	fd, _, err := t.Enter(at)
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(fd) }() // nothing was written
	pids, _, err := procsIn(fd, nil, 1)
	return pids, err
}

// depth bounds how far is looked below a cgroup of a run, in which its processes may have made others.
const depth = 32

// procsIn adds the processes of the open cgroup and of those below it, and returns its number, too.
func procsIn(fd int, pids []int, deep int) ([]int, uint64, error) {
	text, err := readAt(fd, "cgroup.procs")
	var st unix.Stat_t // afterwards: who has gone further down by now has made what is below before
	err = errors.Join(err, unix.Fstat(fd, &st))
	for _, word := range strings.Fields(text) {
		if pid, err := strconv.Atoi(word); err == nil && pid > 0 { // 0: not visible here
			pids = append(pids, pid)
		}
	}
	if err != nil || st.Nlink <= 2 || deep <= 1 {
		return pids, st.Ino, err
	}
	err = eachBelow(fd, func(name string) error {
		inner, err := unix.Openat(fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return ignore(err, unix.ENOENT)
		}
		defer func() { _ = unix.Close(inner) }() // nothing was written
		pids, _, err = procsIn(inner, pids, deep-1)
		return ignore(err, unix.ENODEV)
	})
	return pids, st.Ino, err
}

// Kill sends KILL to all that are in the cgroup and in those below it, also to those that are being forked.
func (t *Tree) Kill(c messages.Cgroup) error {
	fd, err := t.open(c)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }() // of a directory
	return writeAt(fd, "cgroup.kill", "1")
}

// Starved returns how many processes of the cgroup the kernel has killed because they had all the memory that its bound
// gives them. It counts those that it kills for want of the host's memory, or of a cgroup above, in the same place; but
// then no request for memory has met the bound.
func (t *Tree) Starved(at string) int {
	text, err := t.read(path.Join(at, "memory.events"))
	if err != nil {
		return 0 // nothing is bounded there
	}
	met, killed := 0, 0
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(line, " ")
		n, _ := strconv.Atoi(strings.TrimSpace(value)) // the kernel writes a number
		switch key {
		case "oom":
			met = n
		case "oom_kill":
			killed = n
		}
	}
	if met == 0 {
		return 0
	}
	return killed
}

// at is a path for the system calls, relative to the mount.
func (t *Tree) at(p string) string {
	if p = strings.TrimPrefix(p, "/"); p != "" {
		return p
	}
	return "."
}

// full is a path for a person.
func (t *Tree) full(p string) string { return path.Join(t.mount, p) }

func (t *Tree) read(p string) (string, error) { return readAt(t.dir, t.at(p)) }

func (t *Tree) write(p, text string) error {
	if err := writeAt(t.dir, t.at(p), text); err != nil {
		return &fs.PathError{Op: "write", Path: t.full(p), Err: err}
	}
	return nil
}

func ignore(err error, what unix.Errno) error {
	if errors.Is(err, what) {
		return nil
	}
	return err
}

// Named returns the cgroups that were made for that run, or for one of that number before the state directory was
// deleted.
func (t *Tree) Named(id messages.InstanceID, run int) (list []messages.Cgroup) {
	if t.Absent() != nil {
		return nil
	}
	for n := 1; n <= tries; n++ {
		fd, c, err := t.Enter(t.of(id, run, n))
		if err != nil {
			break
		}
		_ = unix.Close(fd) // nothing was written
		list = append(list, c)
	}
	return list
}
