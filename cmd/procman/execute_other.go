//go:build !linux

package main

import "syscall"

// execute puts a program in the place of this one. What the ears have heard by then is told to it. It returns only if that
// fails; then the ears hear it again.
func execute(program string, args, env []string, e ears) error {
	heard := e.shut()
	err := syscall.Exec(program, args, append(env, passed(heard)...))
	e.open()
	e.hear(heard)
	return err
}
