package health

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// process is one line of the host's process table.
type process struct {
	pid, parent, group, session int
	name                        string
}

// processes reads the process table. What ends meanwhile is left out.
func processes() (map[int]process, error) {
	names, err := entries("/proc")
	if err != nil {
		return nil, err
	}
	table := make(map[int]process, len(names))
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + name + "/stat")
		if err != nil {
			continue
		}
		if p, ok := parseStat(stat); ok {
			p.pid = pid
			table[pid] = p
		}
	}
	return table, nil
}

// parseStat reads "PID (NAME) STATE PARENT GROUP SESSION …". The name may hold anything, also a parenthesis.
func parseStat(stat []byte) (p process, ok bool) {
	from, to := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if from < 0 || to < from {
		return p, false
	}
	p.name = string(stat[from+1 : to])
	f := bytes.Fields(stat[to+1:])
	if len(f) < 4 {
		return p, false
	}
	for i, field := range []*int{&p.parent, &p.group, &p.session} {
		n, err := strconv.Atoi(string(f[i+1]))
		if err != nil {
			return p, false
		}
		*field = n
	}
	return p, true
}

// relatives returns the processes of leader's group and session, and its descendants; itself is not among them.
func relatives(table map[int]process, leader int) []int {
	var pids []int
	for pid, p := range table {
		if pid != leader && (p.group == leader || p.session == leader || descends(table, p, leader)) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func descends(table map[int]process, p process, from int) bool {
	// The table is no snapshot, so a loop in it is possible; a real line of descent is no longer than this.
	for range 100 {
		if p.parent == from {
			return true
		}
		up, ok := table[p.parent]
		if !ok || p.parent <= 1 {
			return false
		}
		p = up
	}
	return false
}

// socketFD returns the number of pid's descriptor for the socket, -1 if it has none. A process that is gone has none.
func socketFD(pid int, inode uint64) (int, error) {
	dir := "/proc/" + strconv.Itoa(pid) + "/fd"
	names, err := entries(dir)
	if err != nil {
		return -1, gone(err)
	}
	for _, name := range names {
		if fd, err := strconv.Atoi(name); err == nil && holds(pid, fd, inode) {
			return fd, nil
		}
	}
	return -1, nil
}

// sockets returns the inodes of pid's sockets.
func sockets(pid int) (map[uint64]bool, error) {
	names, err := entries("/proc/" + strconv.Itoa(pid) + "/fd")
	if err != nil {
		return nil, gone(err)
	}
	inodes := map[uint64]bool{}
	for _, name := range names {
		if fd, err := strconv.Atoi(name); err == nil {
			if inode, ok := socketAt(pid, fd); ok {
				inodes[inode] = true
			}
		}
	}
	return inodes, nil
}

func holds(pid, fd int, inode uint64) bool {
	at, ok := socketAt(pid, fd)
	return ok && at == inode
}

// socketAt returns the inode of the socket that is pid's descriptor fd.
func socketAt(pid, fd int) (inode uint64, ok bool) {
	var link [40]byte
	n, err := unix.Readlink("/proc/"+strconv.Itoa(pid)+"/fd/"+strconv.Itoa(fd), link[:])
	if err != nil {
		return 0, false
	}
	digits, ok := strings.CutPrefix(string(link[:n]), "socket:[")
	if !ok {
		return 0, false
	}
	inode, err = strconv.ParseUint(strings.TrimSuffix(digits, "]"), 10, 64)
	return inode, err == nil
}

func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

// entries returns the names in a directory. What could be read is returned beside an error.
func entries(dir string) (names []string, err error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	names, err = d.Readdirnames(-1)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return names, err
}
