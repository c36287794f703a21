//go:build !linux

package daemon

import (
	"errors"
	"syscall"
	"time"
)

// Process is the daemon's, seen from outside.
type Process struct{ pid int }

func WatchProcess(pid int) Process { return Process{pid} }

func (p Process) Ended() bool { return errors.Is(syscall.Kill(p.pid, 0), syscall.ESRCH) }

func (Process) Remains() bool { return false } // not known here

func (Process) Close() {}

// outcome waits until the process has ended. How is not known.
func (p Process) outcome() (how syscall.WaitStatus, known bool) {
	for !p.Ended() {
		time.Sleep(10 * time.Millisecond)
	}
	return 0, false
}
