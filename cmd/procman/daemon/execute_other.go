//go:build !linux

package daemon

import "syscall"

// execute puts a program in the place of this one. What was heard by then is told to it. It returns only if that
// fails; then it is heard again.
func execute(program string, args, env []string, e signals) error {
	heard := e.shut()
	err := syscall.Exec(program, args, append(env, passed(heard)...))
	e.open()
	e.hear(heard)
	return err
}
