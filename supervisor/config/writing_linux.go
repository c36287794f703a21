package config

import (
	"errors"

	"golang.org/x/sys/unix"
)

// beingWritten reports whether some process has the file open for writing. The kernel knows: it grants no read lease on
// such a file. One that it grants is given back in the same moment; whoever opens the file for writing between waits
// that long. Where leases cannot be had (another user's file, some file systems) the answer is no.
func beingWritten(path string) bool {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer func() { _ = unix.Close(fd) }() // nothing was written by it
	_, err = unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_RDLCK)
	if err == nil {
		_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_UNLCK) // Close would do it as well
	}
	return errors.Is(err, unix.EAGAIN)
}
