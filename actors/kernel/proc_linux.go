package kernel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Procfs is the directory where the kernel shows its processes.
type Procfs string

func (p Procfs) file(pid int, name string) string {
	return string(p) + "/" + strconv.Itoa(pid) + "/" + name
}

// Gone reports whether err says that there is no such process, or none that is shown: hidepid shows no process of
// another user. A pidfd tells which.
func Gone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) }

// Stat returns what the kernel says of the process; see Gone.
func (p Procfs) Stat(pid int) (Stat, error) {
	return p.StatInto(pid, make([]byte, 1<<10))
}

// StatInto is Stat with a buffer of the caller's, which must have room for a line.
func (p Procfs) StatInto(pid int, buffer []byte) (Stat, error) {
	line, err := p.read(pid, "stat", buffer)
	if err != nil {
		return Stat{}, err
	}
	s, err := ParseStat(line)
	if err != nil {
		return Stat{}, fmt.Errorf("%s: %w", p.file(pid, "stat"), err)
	}
	return s, nil
}

// maxEnviron is more than Linux lets an environment have by default.
const maxEnviron = 8 << 20

// Environ returns the environment of the process. That of a zombie is empty.
func (p Procfs) Environ(pid int) (Environ, error) {
	for size := 4 << 10; ; size *= 8 {
		text, err := p.read(pid, "environ", make([]byte, min(size, maxEnviron)))
		if err != nil {
			return nil, &fs.PathError{Op: "read", Path: p.file(pid, "environ"), Err: err}
		}
		if len(text) < size {
			return text, nil
		}
	}
}

// PIDs returns the processes there are.
func (p Procfs) PIDs() ([]int, error) {
	names, err := Entries(string(p))
	if err != nil {
		return nil, err
	}
	pids := make([]int, 0, len(names))
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// Table reads the process table, without tags. What ends meanwhile is left out.
func (p Procfs) Table(ctx context.Context) (map[int]Process, error) {
	pids, err := p.PIDs()
	if err != nil {
		return nil, err
	}
	table := make(map[int]Process, len(pids))
	buffer := make([]byte, 4<<10)
	for _, pid := range pids {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		line, err := p.read(pid, "stat", buffer)
		if err != nil {
			continue
		}
		if st, err := ParseStat(line); err == nil {
			table[pid] = Process{PID: pid, Stat: st}
		}
	}
	return table, nil
}

// TaggedTable is Table with the tags of those that show any.
func (p Procfs) TaggedTable(ctx context.Context) (map[int]Process, error) {
	table, err := p.Table(ctx)
	if err != nil {
		return nil, err
	}
	tagged, err := p.Tagged(ctx, nil)
	if err != nil {
		return nil, err
	}
	for _, x := range tagged {
		table[x.PID] = x
	}
	return table, nil
}

// Tagged looks at every process once and returns those that show tags of procman, of whatever state directory, also of
// a check. That one cannot be looked at is no error: it has ended, or it is another user's. Those that are known are
// left out; nil: none is.
func (p Procfs) Tagged(ctx context.Context, known func(pid int) bool) ([]Process, error) {
	pids, err := p.PIDs()
	if err != nil {
		return nil, err
	}
	var found []Process
	buffer := make([]byte, 64<<10)
	for _, pid := range pids {
		if err := ctx.Err(); err != nil {
			return found, err
		}
		if known != nil && known(pid) {
			continue
		}
		if x, ok := p.tagged(pid, buffer); ok {
			found = append(found, x)
		}
	}
	return found, nil
}

func (p Procfs) tagged(pid int, buffer []byte) (Process, bool) {
	text, err := p.read(pid, "environ", buffer)
	if err != nil || len(text) < len(buffer) && !bytes.Contains(text, []byte(EnvTag+"=")) &&
		!bytes.Contains(text, []byte(EnvCheck+"=")) {
		return Process{}, false
	}
	env := Environ(text)
	if len(text) == len(buffer) {
		if env, err = p.Environ(pid); err != nil {
			return Process{}, false
		}
	}
	tags := env.Tags()
	if tags.Tag == "" && tags.Check == "" {
		return Process{}, false
	}
	st, err := p.Stat(pid)
	if err != nil {
		return Process{}, false
	}
	return Process{PID: pid, Stat: st, Tags: tags}, true
}

// TagsOf returns the tags that the process shows; none if it cannot be looked at.
func (p Procfs) TagsOf(pid int, buffer []byte) Tags {
	x, _ := p.tagged(pid, buffer)
	return x.Tags
}

// Grouped returns those of the table that are in the cgroup v2 of the process with that pid, or in one below it.
func (p Procfs) Grouped(table map[int]Process, pid int) map[int]bool {
	own := p.cgroup(pid)
	if own == "" {
		return nil
	}
	in := map[int]bool{}
	for other := range table {
		if at := p.cgroup(other); at == own || strings.HasPrefix(at, own+"/") {
			in[other] = true
		}
	}
	return in
}

// cgroup returns the path of the process's cgroup v2; empty: that cannot be learned.
func (p Procfs) cgroup(pid int) string {
	text, _ := os.ReadFile(p.file(pid, "cgroup")) // of one that is gone
	for line := range strings.Lines(string(text)) {
		if at, is := strings.CutPrefix(line, "0::"); is {
			return strings.TrimSuffix(at, "\n")
		}
	}
	return ""
}

// CommandLine returns the arguments of the process as it shows them: a program may write over them.
func (p Procfs) CommandLine(pid int) ([]string, error) {
	text, err := os.ReadFile(p.file(pid, "cmdline"))
	if err != nil {
		return nil, err
	}
	return strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00"), nil
}

// LastPID returns the number that the newest process or thread was given. Numbers are given in turn: after the greatest
// begins the smallest that is free.
func (p Procfs) LastPID() (int, error) { return p.number("sys/kernel/ns_last_pid") }

// PIDs end before this one.
func (p Procfs) MaxPID() (int, error) { return p.number("sys/kernel/pid_max") }

// Forks returns how many processes and threads the host has made since it was started.
func (p Procfs) Forks() (uint64, error) {
	// interrupts of many processors come first
	text, err := ReadInto(filepath.Join(string(p), "stat"), make([]byte, 64<<10))
	if err != nil {
		return 0, err
	}
	_, rest, _ := bytes.Cut(text, []byte("\nprocesses "))
	line, _, _ := bytes.Cut(rest, []byte{'\n'})
	return strconv.ParseUint(string(line), 10, 64)
}

// Self reports whether the directory shows this process by the number that it has for itself: it may be that of another
// namespace of processes.
func (p Procfs) Self() bool {
	target, err := os.Readlink(filepath.Join(string(p), "self"))
	return err == nil && target == strconv.Itoa(os.Getpid())
}

func (p Procfs) number(name string) (int, error) {
	text, err := readTo(filepath.Join(string(p), name), make([]byte, 32), true)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(bytes.TrimSpace(text)))
}

// read fills the buffer from a file of the process.
func (p Procfs) read(pid int, name string, buffer []byte) ([]byte, error) {
	return readTo(p.file(pid, name), buffer, name == "stat")
}

// ReadInto fills the buffer from a file. Bare system calls: this is done for every process of the host, and os.Open
// would try to watch each file.
func ReadInto(path string, buffer []byte) ([]byte, error) { return readTo(path, buffer, false) }

// readTo is ReadInto; of what is one line, and comes whole, it asks not for what comes after.
func readTo(path string, buffer []byte, line bool) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	for errors.Is(err, unix.EINTR) { // not in /proc, but a program may lie anywhere
		fd, err = unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(fd) }() // nothing was written
	n := 0
	for n < len(buffer) {
		m, err := unix.Read(fd, buffer[n:])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if m == 0 {
			break
		}
		n += m
		if line && buffer[n-1] == '\n' {
			break
		}
	}
	return buffer[:n], nil
}

// Threads reports whether a zombie is none but for its first thread: others of it live.
func (p Procfs) Threads(pid int) bool {
	tasks, err := Entries(p.file(pid, "task"))
	return err == nil && len(tasks) > 1
}

// FDs returns the descriptors of the process; see Gone.
func (p Procfs) FDs(pid int) ([]int, error) {
	names, err := Entries(p.file(pid, "fd"))
	fds := make([]int, 0, len(names))
	for _, name := range names {
		if fd, err := strconv.Atoi(name); err == nil {
			fds = append(fds, fd)
		}
	}
	return fds, err
}

// Link returns what a link of the process leads to: "exe", "cwd".
func (p Procfs) Link(pid int, name string) (string, error) { return os.Readlink(p.file(pid, name)) }

// FD returns what the descriptor of the process is, as the kernel names it: a path, "socket:[inode]".
func (p Procfs) FD(pid, fd int) (string, error) {
	var link [256]byte // on the stack: a greater one makes that of each who asks grow
	n, err := unix.Readlink(p.fd(pid, fd), link[:])
	if err == nil && n == len(link) {
		long := make([]byte, unix.PathMax)
		n, err = unix.Readlink(p.fd(pid, fd), long)
		return string(long[:max(n, 0)]), err
	}
	if err != nil {
		return "", err
	}
	return string(link[:n]), nil
}

func (p Procfs) fd(pid, fd int) string { return p.file(pid, "fd/"+strconv.Itoa(fd)) }

// Writes reports whether the descriptor of the process was opened to write.
func (p Procfs) Writes(pid, fd int) bool {
	info, err := os.Lstat(p.fd(pid, fd))
	return err == nil && info.Mode()&0o200 != 0
}

// HasOpen reports whether descriptor fd of the process is the very file that path names now. An error says that it
// cannot be learned.
func (p Procfs) HasOpen(pid, fd int, path string) (bool, error) {
	// The link is compared by name first: to follow one that leads elsewhere could block on a dead file system.
	target, err := p.FD(pid, fd)
	if Gone(err) {
		return false, nil
	}
	if err != nil || filepath.Base(target) != filepath.Base(path) {
		return false, err
	}
	theirs, err := os.Stat(p.fd(pid, fd))
	if err != nil {
		return false, err
	}
	ours, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(theirs, ours), err
}

// Locks reports whether the open file behind the descriptor of the process holds a flock, as Linux tells it.
func (p Procfs) Locks(pid, fd int, buffer []byte) bool {
	text, err := p.read(pid, "fdinfo/"+strconv.Itoa(fd), buffer)
	return err == nil && bytes.Contains(text, []byte("FLOCK"))
}

// earlyFDs is how many of a process's descriptors are asked for without a list of all, which may be thousands: what is
// held for long was mostly opened early.
const earlyFDs = 16

// Holds reports whether the process has the path open at any descriptor, by its name.
func (p Procfs) Holds(pid int, path string) bool {
	for fd := range earlyFDs {
		if target, err := p.FD(pid, fd); err == nil && target == path {
			return true
		}
	}
	fds, err := p.FDs(pid)
	if err != nil {
		return false
	}
	for _, fd := range fds {
		if target, err := p.FD(pid, fd); err == nil && target == path {
			return true
		}
	}
	return false
}

// Holders returns the processes, but for this one, that have the path open. It looks at every descriptor of the host:
// not for every day.
func (p Procfs) Holders(path string) []int {
	pids, err := p.PIDs()
	if err != nil {
		return nil // who holds it is a help to a person, no more
	}
	var holders []int
	for _, pid := range pids {
		if pid != os.Getpid() && p.Holds(pid, path) {
			holders = append(holders, pid)
		}
	}
	return holders
}

// Entries returns the names in a directory. What could be read is returned beside an error. Bare system calls, see
// ReadInto.
func Entries(dir string) (names []string, err error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	defer func() { _ = unix.Close(fd) }() // nothing was written
	buffer := make([]byte, 4<<10)
	for {
		n, err := unix.ReadDirent(fd, buffer)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return names, &fs.PathError{Op: "readdirent", Path: dir, Err: err}
		case n <= 0:
			return names, nil
		}
		_, _, names = unix.ParseDirent(buffer[:n], -1, names)
	}
}

// OpenFD opens the regular file that is the descriptor of the process, also if it has no name any more.
func (p Procfs) OpenFD(pid, fd, flag int) (*os.File, error) {
	f, err := os.OpenFile(p.fd(pid, fd), flag|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, fs.ErrInvalid, f.Close())
	}
	return f, nil
}
