//go:build !linux

package main

import (
	"errors"
	"syscall"
)

// process is the daemon's, seen from outside.
type process struct{ pid int }

func watchProcess(pid int) process { return process{pid} }

func (p process) ended() bool { return errors.Is(syscall.Kill(p.pid, 0), syscall.ESRCH) }

func (process) close() {}
