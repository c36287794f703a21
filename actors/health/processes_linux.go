package health

import (
	"context"
	"strconv"
	"strings"

	"procman/actors/kernel"
)

const proc = kernel.Procfs("/proc")

// processes reads the host's process table, without tags.
func processes() (map[int]kernel.Process, error) { return proc.Table(context.Background()) }

// relatives returns the processes that belong to the run, but for its first one. That is alive: it is being probed. In
// a table without tags it is only those of its group, session and descent.
func relatives(table map[int]kernel.Process, run kernel.Run) []int {
	var pids []int
	for _, p := range kernel.Circle(table, run, true) {
		pids = append(pids, p.PID)
	}
	return pids
}

// socketFD returns the number of pid's descriptor for the socket, -1 if it has none. A process that is gone has none.
func socketFD(pid int, inode uint64) (int, error) {
	fds, err := proc.FDs(pid)
	if err != nil && !kernel.Gone(err) {
		return -1, err
	}
	for _, fd := range fds {
		if holds(pid, fd, inode) {
			return fd, nil
		}
	}
	return -1, nil
}

// sockets returns the inodes of pid's sockets.
func sockets(pid int) (map[uint64]bool, error) {
	fds, err := proc.FDs(pid)
	if err != nil && !kernel.Gone(err) {
		return nil, err
	}
	inodes := map[uint64]bool{}
	for _, fd := range fds {
		if inode, ok := socketAt(pid, fd); ok {
			inodes[inode] = true
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
	target, err := proc.FD(pid, fd)
	if err != nil {
		return 0, false
	}
	digits, ok := strings.CutPrefix(target, "socket:[")
	if !ok {
		return 0, false
	}
	inode, err = strconv.ParseUint(strings.TrimSuffix(digits, "]"), 10, 64)
	return inode, err == nil
}
