package daemon

import (
	"syscall"

	"procman/actors/kernel"
)

// Process is the daemon's, seen from outside.
type Process struct {
	fd  *kernel.Pidfd // nil: it has ended, or cannot be watched
	pid int
}

// WatchProcess watches by a pidfd: a pid could be another one's by now, and a zombie that nobody reaps keeps it.
func WatchProcess(pid int) Process {
	fd, err := kernel.OpenPidfd(pid)
	if err != nil {
		return Process{nil, pid}
	}
	return Process{fd, pid}
}

func (p Process) Ended() bool { return p.fd == nil || p.fd.Ended() }

// Remains reports whether the process has ended itself, but not all of its threads have: one waits in the kernel.
func (p Process) Remains() bool {
	if p.fd == nil {
		return false
	}
	st, err := kernel.Procfs("/proc").Stat(p.pid)
	return err == nil && st.Zombie() && !p.Ended()
}

func (p Process) Close() {
	if p.fd != nil {
		p.fd.Close()
	}
}

// outcome waits until the process has ended, and returns how; known is false if whoever waited for it was quicker than
// this, and the kernel tells nobody else (before Linux 6.15).
func (p Process) outcome() (how syscall.WaitStatus, known bool) {
	if p.fd == nil || p.fd.Wait() != nil {
		return 0, false
	}
	if st, err := kernel.Procfs("/proc").Stat(p.pid); err == nil && st.State == 'Z' {
		return syscall.WaitStatus(st.Status), true
	}
	how, err := p.fd.Status()
	return how, err == nil
}
