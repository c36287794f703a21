//go:build !linux

package daemon

import "syscall"

// takeStderr makes the daemon's stderr that of its guard, to which the daemon has listened until now.
func takeStderr() error {
	defer syscall.Close(guardStderr)
	for _, fd := range []int{1, 2} {
		if err := syscall.Dup2(guardStderr, fd); err != nil {
			return err
		}
	}
	return nil
}
