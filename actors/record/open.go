package record

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"syscall"
)

// NotRegularError says that what is at a path is no regular file. It is neither read nor written.
type NotRegularError struct {
	Path string
	Is   string // "a fifo", "a symbolic link", ...
}

func (e *NotRegularError) Error() string {
	return fmt.Sprintf("%s is %s, not a regular file; move it away", e.Path, e.Is)
}

// harmless are the flags with which to open anything neither waits nor makes a terminal ours. A regular file does not
// know them.
const harmless = syscall.O_NONBLOCK | syscall.O_NOCTTY | syscall.O_CLOEXEC

// Open is os.OpenFile for a file that procman alone writes. The error is a *NotRegularError if the path is anything but a
// regular file, a link to one included.
func Open(path string, flag int, perm fs.FileMode) (*os.File, error) {
	return open(path, flag|syscall.O_NOFOLLOW, perm, os.Lstat)
}

// OpenLinked is Open for a file that a person names, and who may name it by a link.
func OpenLinked(path string, flag int, perm fs.FileMode) (*os.File, error) {
	return open(path, flag, perm, os.Stat)
}

func open(path string, flag int, perm fs.FileMode, stat func(string) (fs.FileInfo, error)) (*os.File, error) {
	// Looked at first, because to open a device may do something; and again afterwards, because it may have been replaced.
	if info, err := stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, &NotRegularError{path, kind(info.Mode())}
	}
	f, err := os.OpenFile(path, flag|harmless, perm)
	if err != nil {
		if info, statErr := stat(path); statErr == nil && !info.Mode().IsRegular() {
			return nil, &NotRegularError{path, kind(info.Mode())}
		}
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &NotRegularError{path, kind(info.Mode())}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func kind(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "a directory"
	case m&fs.ModeSymlink != 0:
		return "a symbolic link"
	case m&fs.ModeNamedPipe != 0:
		return "a fifo"
	case m&fs.ModeSocket != 0:
		return "a socket"
	case m&fs.ModeDevice != 0:
		return "a device"
	}
	return "something else"
}

// ReadFile returns what a file that procman alone writes holds. The error is a *NotRegularError if the path is anything
// but a regular file; a file of more than limit bytes is an error too.
func ReadFile(path string, limit int64) ([]byte, error) {
	// Looked at first and again, see open. There are thousands at the start of a manager, so it makes no os.File: that would be
	// watched for events, in vain.
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return nil, &NotRegularError{path, kind(info.Mode())}
	}
	fd, err := again(func() (int, error) {
		return syscall.Open(path, syscall.O_RDONLY|syscall.O_NOFOLLOW|harmless, 0)
	})
	if err != nil {
		if info, statErr := os.Lstat(path); statErr == nil && !info.Mode().IsRegular() {
			return nil, &NotRegularError{path, kind(info.Mode())}
		}
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer syscall.Close(fd) // nothing was written
	var info syscall.Stat_t
	if err := syscall.Fstat(fd, &info); err != nil {
		return nil, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	if info.Mode&syscall.S_IFMT != syscall.S_IFREG {
		return nil, &NotRegularError{path, "something else"}
	}
	content := make([]byte, 0, min(info.Size, limit)+1)
	for int64(len(content)) <= limit {
		if len(content) == cap(content) {
			content = slices.Grow(content, 512)
		}
		n, err := again(func() (int, error) { return syscall.Read(fd, content[len(content):cap(content)]) })
		if err != nil {
			return nil, &fs.PathError{Op: "read", Path: path, Err: err}
		}
		if n == 0 {
			return content, nil
		}
		content = content[:len(content)+n]
	}
	return nil, &fs.PathError{Op: "read", Path: path, Err: &TooLargeError{limit}}
}

// again makes a system call until no signal interrupts it.
func again(call func() (int, error)) (int, error) {
	for {
		if n, err := call(); !errors.Is(err, syscall.EINTR) {
			return n, err
		}
	}
}

// ReadLinked is ReadFile for a file that a person names, and who may name it by a link.
func ReadLinked(path string, limit int64) ([]byte, error) {
	f, err := OpenLinked(path, os.O_RDONLY, 0)
	return read(f, path, limit, err)
}

// ReadAny is ReadLinked for whatever is at the path: of a pipe the whole is read, however long that takes.
func ReadAny(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	return read(f, path, limit, err)
}

func read(f *os.File, path string, limit int64, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(content)) > limit {
		return nil, &fs.PathError{Op: "read", Path: path, Err: &TooLargeError{limit}}
	}
	return content, nil
}

// TooLargeError says that a file holds more bytes than are read.
type TooLargeError struct{ Limit int64 }

func (e *TooLargeError) Error() string {
	if e.Limit >= 1<<20 {
		return fmt.Sprintf("larger than %d MiB", e.Limit>>20)
	}
	return fmt.Sprintf("larger than %d bytes", e.Limit)
}

// create makes a new file at the path, in the place of whatever is there. It never writes into what was there: that may
// be a fifo, or another name of somebody's file.
func create(path string, perm fs.FileMode) (*os.File, error) {
	f, err := createNew(path, perm)
	if !errors.Is(err, fs.ErrExist) {
		return f, err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return createNew(path, perm)
}

// createNew is os.OpenFile without the attempt to watch what is a regular file, which takes five system calls.
func createNew(path string, perm fs.FileMode) (*os.File, error) {
	for {
		fd, err := syscall.Open(path, syscall.O_WRONLY|syscall.O_CREAT|syscall.O_EXCL|syscall.O_CLOEXEC, uint32(perm.Perm()))
		switch {
		case err == nil:
			return os.NewFile(uintptr(fd), path), nil
		case !errors.Is(err, syscall.EINTR):
			return nil, &fs.PathError{Op: "open", Path: path, Err: err}
		}
	}
}
