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

// Open is os.OpenFile for a file that procman alone writes. The error is a *NotRegularError if the path is anything but
// a regular file, a link to one included.
func Open(path string, flag int, perm fs.FileMode) (*os.File, error) {
	return openFile(path, flag|syscall.O_NOFOLLOW, perm)
}

// OpenLinked is Open for a file that a person names, and who may name it by a link.
func OpenLinked(path string, flag int, perm fs.FileMode) (*os.File, error) {
	return openFile(path, flag, perm)
}

func openFile(path string, flag int, perm fs.FileMode) (f *os.File, err error) {
	made, err := careful(path, flag, func(flag int) (err error) {
		f, err = os.OpenFile(path, flag|harmless, perm)
		return err
	})
	if err != nil || made {
		return f, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		s := stat{*info.Sys().(*syscall.Stat_t)}
		err = &NotRegularError{path, s.kind()}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// OpenBare is Open without the attempt to watch what is a regular file: it returns the descriptor, which the caller
// closes.
func OpenBare(path string, flag int, perm fs.FileMode) (fd int, err error) {
	fd, _, err = openBare(path, flag|syscall.O_NOFOLLOW, perm)
	return fd, err
}

// openBare returns the descriptor, and the size of the file.
func openBare(path string, flag int, perm fs.FileMode) (fd int, size int64, err error) {
	made, err := careful(path, flag, func(flag int) error {
		err := again(func() (err error) {
			fd, err = syscall.Open(path, flag|harmless, uint32(perm.Perm()))
			return err
		})
		return pathError("open", path, err)
	})
	switch {
	case err != nil:
		return -1, 0, err
	case made:
		return fd, 0, nil
	}
	var s stat
	err = again(func() error { return syscall.Fstat(fd, &s.Stat_t) })
	switch {
	case err != nil:
		err = pathError("stat", path, err)
	case !s.regular():
		err = &NotRegularError{path, s.kind()}
	default:
		return fd, s.Size, nil
	}
	return -1, 0, errors.Join(err, syscall.Close(fd))
}

// careful opens what was a regular file a moment ago, for to open a device may do something. What was opened is to be
// looked at again, for it may have been replaced, unless it was made: one that is there is opened without the wish to
// make one, of which some file systems that take nothing at the moment would make us wait, and one that is not is made
// by us or by nobody.
func careful(path string, flag int, open func(flag int) error) (made bool, err error) {
	const tries = 3 // of a file that others make and remove
	for n := 1; ; n++ {
		s, err := lookAt(path, flag)
		how := flag
		switch {
		case err == nil && !s.regular():
			return false, &NotRegularError{path, s.kind()}
		case errors.Is(err, fs.ErrNotExist) && flag&os.O_CREATE == 0:
			return false, pathError("open", path, err)
		case flag&os.O_CREATE == 0 || flag&os.O_EXCL != 0:
			n = tries
		case err == nil:
			how &^= os.O_CREATE
		case errors.Is(err, fs.ErrNotExist) && flag&syscall.O_NOFOLLOW != 0: // through a link it may be made elsewhere
			how |= os.O_EXCL
		}
		if err = open(how); err == nil {
			return how&os.O_EXCL != 0, nil
		}
		if n < tries && (errors.Is(err, fs.ErrNotExist) && how&os.O_CREATE == 0 || errors.Is(err, fs.ErrExist)) {
			continue
		}
		if s, statErr := lookAt(path, flag); statErr == nil && !s.regular() {
			return false, &NotRegularError{path, s.kind()}
		}
		return false, err
	}
}

func pathError(op, path string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: path, Err: err}
}

// stat is what the kernel says of a file.
type stat struct{ syscall.Stat_t }

// lookAt follows a link unless the flags of an open say that it must not.
func lookAt(path string, flag int) (s stat, err error) {
	look := syscall.Stat
	if flag&syscall.O_NOFOLLOW != 0 {
		look = syscall.Lstat
	}
	err = again(func() error { return look(path, &s.Stat_t) })
	return s, err
}

func (s *stat) regular() bool { return s.Mode&syscall.S_IFMT == syscall.S_IFREG }

func (s *stat) kind() string {
	switch s.Mode & syscall.S_IFMT {
	case syscall.S_IFDIR:
		return "a directory"
	case syscall.S_IFLNK:
		return "a symbolic link"
	case syscall.S_IFIFO:
		return "a fifo"
	case syscall.S_IFSOCK:
		return "a socket"
	case syscall.S_IFBLK, syscall.S_IFCHR:
		return "a device"
	}
	return "something else"
}

// again calls the function until no signal has interrupted it.
func again(call func() error) error {
	for {
		if err := call(); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// ReadFile returns what a file that procman alone writes holds. The error is a *NotRegularError if the path is anything
// but a regular file; a file of more than limit bytes is an error too.
func ReadFile(path string, limit int64) ([]byte, error) {
	return readFile(path, syscall.O_NOFOLLOW, limit)
}

// ReadLinked is ReadFile for a file that a person names, and who may name it by a link.
func ReadLinked(path string, limit int64) ([]byte, error) { return readFile(path, 0, limit) }

// readFile makes bare system calls: many small files are read, and a *os.File would try to watch each of them.
func readFile(path string, flag int, limit int64) (content []byte, err error) {
	fd, size, err := openBare(path, flag|os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = syscall.Close(fd) }() // nothing was written
	content = make([]byte, 0, min(max(size, 0), limit)+1)
	for int64(len(content)) <= limit {
		if len(content) == cap(content) {
			content = slices.Grow(content, cap(content))
		}
		n := 0
		if err := again(func() (err error) {
			n, err = syscall.Read(fd, content[len(content):cap(content)])
			return err
		}); err != nil {
			return nil, pathError("read", path, err)
		}
		content = content[:len(content)+n]
		// What is in /proc has no size, and ends where nothing comes.
		if got := int64(len(content)); n == 0 || got == size && got <= limit {
			return content, nil
		}
	}
	return nil, &fs.PathError{Op: "read", Path: path, Err: &TooLargeError{limit}}
}

// ReadAny is ReadLinked for whatever is at the path: of a pipe the whole is read, however long that takes.
func ReadAny(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
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
func create(path string, perm fs.FileMode) (fd int, err error) {
	fd, err = createNew(path, perm)
	if !errors.Is(err, fs.ErrExist) {
		return fd, err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return -1, err
	}
	return createNew(path, perm)
}

func createNew(path string, perm fs.FileMode) (fd int, err error) {
	err = again(func() (err error) {
		fd, err = syscall.Open(path, syscall.O_WRONLY|syscall.O_CREAT|syscall.O_EXCL|syscall.O_CLOEXEC,
			uint32(perm.Perm()))
		return err
	})
	return fd, pathError("open", path, err)
}

// writeAll writes to a file that create has made.
func writeAll(fd int, path string, content []byte) error {
	for len(content) > 0 {
		n := 0
		if err := again(func() (err error) {
			n, err = syscall.Write(fd, content)
			return err
		}); err != nil {
			return pathError("write", path, err)
		}
		content = content[n:]
	}
	return nil
}
