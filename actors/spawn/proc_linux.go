package spawn

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"procman/messages"
)

// procfs is the directory where the kernel shows its processes.
type procfs string

func (p procfs) file(pid int, name string) string {
	return string(p) + "/" + strconv.Itoa(pid) + "/" + name
}

// stat is what /proc/PID/stat says of a process.
type stat struct {
	state   byte
	group   int
	session int
	start   uint64 // ticks since the host was started
	status  uint32 // how it ended, as wait tells it; meaningful while it is a zombie
}

func (p procfs) stat(pid int) (stat, error) {
	line, err := os.ReadFile(p.file(pid, "stat"))
	if err != nil {
		return stat{}, err
	}
	s, err := parseStat(line)
	if err != nil {
		return stat{}, fmt.Errorf("%s: %w", p.file(pid, "stat"), err)
	}
	return s, nil
}

func parseStat(line []byte) (stat, error) {
	// The name of the program stands in parentheses and may hold anything, parentheses and newlines too.
	_, rest, ok := bytes.Cut(line[max(0, bytes.LastIndexByte(line, ')')):], []byte(") "))
	fields := strings.Fields(string(rest))
	if !ok || len(fields) < 50 {
		return stat{}, errors.New("not the form the kernel gives")
	}
	var errs [4]error
	number := func(n int, err *error) int64 { // n as in proc(5)
		v, e := strconv.ParseInt(fields[n-3], 10, 64)
		*err = e
		return v
	}
	s := stat{state: fields[0][0]}
	s.group, s.session = int(number(5, &errs[0])), int(number(6, &errs[1]))
	s.start, s.status = uint64(number(22, &errs[2])), uint32(number(52, &errs[3]))
	return s, errors.Join(errs[:]...)
}

// zombie reports whether the process has ended and waits to be reaped.
func (s stat) zombie() bool { return s.state == 'Z' || s.state == 'X' }

// leads reports whether the process began the session, as every process that procman starts does.
func (s stat) leads(pid int) bool { return s.group == pid && s.session == pid }

// environ is the environment a process was started with, as the kernel shows it.
type environ []byte

// maxEnviron is more than Linux lets an environment have by default.
const maxEnviron = 8 << 20

func (p procfs) environ(pid int) (environ, error) {
	f, err := os.Open(p.file(pid, "environ"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxEnviron))
}

func (e environ) lookup(name string) (string, bool) {
	for rest := []byte(e); len(rest) > 0; {
		var entry []byte
		entry, rest, _ = bytes.Cut(rest, []byte{0})
		if len(entry) > len(name) && entry[len(name)] == '=' && string(entry[:len(name)]) == name {
			return string(entry[len(name)+1:]), true
		}
	}
	return "", false
}

// tags are the marks procman puts into the environment of its processes.
type tags struct {
	dir, tag, spec string
	id             messages.InstanceID
	run, port      int
}

func (e environ) tags() tags {
	text := func(name string) string { s, _ := e.lookup(name); return s }
	number := func(name string) int {
		n, err := strconv.Atoi(text(name))
		if err != nil || n < 0 {
			return 0 // somebody else's variable, or one that was tampered with: it is not known
		}
		return n
	}
	return tags{
		dir: text(EnvStateDir), tag: text(EnvTag), spec: text(EnvSpec), id: messages.InstanceID(text(EnvInstance)),
		run: number(EnvRun), port: number("PORT"),
	}
}

// sighting is a process with tags of ours.
type sighting struct {
	pid int
	stat
	tags
}

// scan looks at every process once and returns those tagged with the state directory, by instance.
func (p procfs) scan(ctx context.Context, dir messages.StateDir) (map[messages.InstanceID][]sighting, error) {
	d, err := os.Open(string(p))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	seen := map[messages.InstanceID][]sighting{}
	mark := []byte(EnvStateDir + "=" + string(dir))
	buffer := make([]byte, 64<<10)
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if err := ctx.Err(); err != nil {
			return seen, err
		}
		if s, ok := p.sight(pid, mark, buffer); ok && s.dir == string(dir) && s.id.Validate() == nil {
			seen[s.id] = append(seen[s.id], s)
		}
	}
	return seen, nil
}

// sight looks at one process. That it cannot be looked at is no error: it has ended, or it is another user's.
func (p procfs) sight(pid int, mark, buffer []byte) (sighting, bool) {
	// Bare system calls: this is done for every process of the host, and os.Open would try to watch each file.
	fd, err := unix.Open(p.file(pid, "environ"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return sighting{}, false
	}
	n, err := readFull(fd, buffer)
	_ = unix.Close(fd)
	if err != nil || n < len(buffer) && !bytes.Contains(buffer[:n], mark) {
		return sighting{}, false
	}
	env := environ(buffer[:n])
	if n == len(buffer) {
		if env, err = p.environ(pid); err != nil {
			return sighting{}, false
		}
	}
	st, err := p.stat(pid)
	if err != nil {
		return sighting{}, false
	}
	return sighting{pid: pid, stat: st, tags: env.tags()}, true
}

func readFull(fd int, buffer []byte) (int, error) {
	n := 0
	for n < len(buffer) {
		m, err := unix.Read(fd, buffer[n:])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || m == 0 {
			return n, err
		}
		n += m
	}
	return n, nil
}

// holders returns the processes that have the file open. It looks at every descriptor of the host: not for every day.
func (p procfs) holders(path string) []int {
	var pids []int
	entries, err := os.ReadDir(string(p))
	if err != nil {
		return nil // who holds it is a help to a person, no more
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err == nil && pid != os.Getpid() && p.holds(pid, path) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func (p procfs) holds(pid int, path string) bool {
	dir := p.file(pid, "fd")
	fds, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	for _, fd := range fds {
		if target, err := os.Readlink(filepath.Join(dir, fd.Name())); err == nil && target == path {
			return true
		}
	}
	return false
}

// hasLock reports whether the process holds, as descriptor 3, the very file that path names now.
func (p procfs) hasLock(pid int, path string) bool {
	// The link is compared by name first: to follow one that leads elsewhere could block on a dead file system.
	link := p.file(pid, "fd/"+strconv.Itoa(lockFD))
	target, err := os.Readlink(link)
	if err != nil || filepath.Base(target) != filepath.Base(path) {
		return false
	}
	theirs, err := os.Stat(link)
	if err != nil {
		return false
	}
	ours, err := os.Stat(path)
	return err == nil && os.SameFile(theirs, ours)
}

// gone reports whether err says that there is no such process.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH)
}
