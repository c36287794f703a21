//go:build !linux

package command

import (
	"os/exec"
	"syscall"
)

// Alone returns the attributes with a session of its own. That it ends with this process is nothing that this system
// can do.
func Alone(of *syscall.SysProcAttr) *syscall.SysProcAttr {
	var a syscall.SysProcAttr
	if of != nil {
		a = *of
	}
	a.Setsid = true
	return &a
}

// end waits for the command, and ends what is left of its group. Its number could be another's by then: this system
// cannot wait for a process without reaping it.
func (g *group) end(cmd *exec.Cmd) error {
	err := cmd.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.killLocked()
	g.reaped = true
	return err
}
