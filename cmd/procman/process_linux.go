package main

import "golang.org/x/sys/unix"

// process is the daemon's, seen from outside.
type process struct{ fd int } // -1: it has ended, or cannot be watched

// watchProcess watches by a pidfd: a pid could be another one's by now, and a zombie that nobody reaps keeps it.
func watchProcess(pid int) process {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return process{-1}
	}
	return process{fd}
}

func (p process) ended() bool {
	if p.fd < 0 {
		return true
	}
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLIN}}, 0)
	return err == nil && n > 0
}

func (p process) close() {
	if p.fd >= 0 {
		_ = unix.Close(p.fd) // it was opened here and is of no more use
	}
}
