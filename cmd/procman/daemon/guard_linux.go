package daemon

import "golang.org/x/sys/unix"

// takeStderr makes the daemon's stderr that of its guard, to which the daemon has listened until now.
func takeStderr() error {
	defer unix.Close(guardStderr)
	for _, fd := range []int{1, 2} {
		if err := unix.Dup3(guardStderr, fd, 0); err != nil {
			return err
		}
	}
	return nil
}
