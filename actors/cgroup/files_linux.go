package cgroup

import (
	"errors"

	"golang.org/x/sys/unix"
)

// readAt reads a file of a cgroup. It is none of the os package's: a read of kernfs neither waits nor is to be waited
// for.
func readAt(dir int, name string) (string, error) {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer func() { _ = unix.Close(fd) }() // nothing was written
	text, buffer := []byte(nil), make([]byte, 512)
	for {
		// until one call leaves room: a record is written as long as there is some, and the files here have short ones
		n, err := unix.Read(fd, buffer)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return string(text), err
		case n <= 0:
			return string(text), nil
		}
		if text = append(text, buffer[:n]...); n < len(buffer) {
			return string(text), nil
		}
	}
}

// writeAt writes a file that is there, in one call as the kernel wants it.
func writeAt(dir int, name, text string) error {
	fd, err := unix.Openat(dir, name, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	_, err = unix.Write(fd, []byte(text))
	return errors.Join(err, unix.Close(fd))
}

// eachBelow calls do with the name of each directory in the one that is open.
func eachBelow(dir int, do func(name string) error) error {
	fd, err := unix.Openat(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }() // nothing was written
	var names []string
	for buffer := make([]byte, 4<<10); ; {
		n, err := unix.ReadDirent(fd, buffer)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		if n <= 0 {
			break
		}
		_, _, names = unix.ParseDirent(buffer[:n], -1, names)
	}
	var errs []error
	for _, name := range names {
		var st unix.Stat_t
		if unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR {
			errs = append(errs, do(name))
		}
	}
	return errors.Join(errs...)
}
