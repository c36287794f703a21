package command

import (
	"errors"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// Alone returns the attributes with a session of its own, and an end with this process.
func Alone(of *syscall.SysProcAttr) *syscall.SysProcAttr {
	var a syscall.SysProcAttr
	if of != nil {
		a = *of
	}
	a.Setsid, a.Pdeathsig = true, syscall.SIGKILL
	return &a
}

// end waits for the command, ends what is left of its group, and then lets its number go.
func (g *group) end(cmd *exec.Cmd) error {
	await(g.pid)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.killLocked()
	g.reaped = true
	return cmd.Wait()
}

// await returns when the process has ended, and leaves it unreaped.
func await(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}
