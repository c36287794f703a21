package record

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// Names tells when paths may have come to mean something else: what is there was removed, replaced or moved, or a
// directory or link on the way to it was. What happens to the content of a file or a directory it does not tell, and a
// file system that is mounted over it is not seen. It costs nothing while nothing happens.
type Names struct {
	file    *os.File
	fd      int // of file
	watches []int
	changed chan struct{}
	ended   chan struct{}
}

const (
	renamed  = syscall.IN_ATTRIB | syscall.IN_MOVE_SELF | syscall.IN_DELETE_SELF // a link less is an attribute
	lost     = syscall.IN_UNMOUNT | syscall.IN_Q_OVERFLOW
	inFolder = syscall.IN_MOVE_SELF | syscall.IN_DELETE_SELF
)

// NewNames returns one that follows no path yet. An error says that the kernel gives none.
func NewNames() (*Names, error) {
	fd, err := syscall.InotifyInit1(syscall.IN_NONBLOCK | syscall.IN_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("inotify_init1", err)
	}
	n := &Names{file: os.NewFile(uintptr(fd), "inotify"), fd: fd, changed: make(chan struct{}, 1),
		ended: make(chan struct{})}
	go n.read()
	return n, nil
}

// Changed returns what tells that one of the paths may mean something else since Follow. Nil Names never tell.
func (n *Names) Changed() <-chan struct{} {
	if n == nil {
		return nil
	}
	return n.changed
}

// Follow has these paths watched in place of those before. An error says that some of it is not: then it is not told of
// what happens to that.
func (n *Names) Follow(paths ...string) error {
	if n == nil {
		return errors.ErrUnsupported
	}
	for _, wd := range n.watches {
		_, _ = syscall.InotifyRmWatch(n.fd, uint32(wd)) // it may be gone with what it watched
	}
	n.watches = n.watches[:0]
	var errs []error
	for _, path := range paths {
		errs = append(errs, n.follow(path))
		if real, err := filepath.EvalSymlinks(path); err == nil && real != path {
			errs = append(errs, n.follow(real))
		}
	}
	return errors.Join(errs...)
}

func (n *Names) follow(path string) error {
	mask := uint32(renamed)
	for {
		wd, err := syscall.InotifyAddWatch(n.fd, path, mask|syscall.IN_DONT_FOLLOW)
		if err != nil {
			return &os.PathError{Op: "inotify_add_watch", Path: path, Err: err}
		}
		if !slices.Contains(n.watches, wd) {
			n.watches = append(n.watches, wd)
		}
		up := filepath.Dir(path)
		if up == path {
			return nil
		}
		path, mask = up, inFolder|syscall.IN_MASK_ADD
	}
}

func (n *Names) read() {
	defer close(n.ended)
	buffer := make([]byte, 4<<10)
	for {
		size, err := n.file.Read(buffer)
		if err != nil {
			return // it was closed
		}
		for events := buffer[:size]; len(events) >= syscall.SizeofInotifyEvent; {
			if mask := binary.NativeEndian.Uint32(events[4:]); mask&(renamed|lost) != 0 {
				select {
				case n.changed <- struct{}{}:
				default:
				}
			}
			events = events[min(syscall.SizeofInotifyEvent+int(binary.NativeEndian.Uint32(events[12:])), len(events)):]
		}
	}
}

// Close ends it.
func (n *Names) Close() error {
	if n == nil {
		return nil
	}
	err := n.file.Close()
	<-n.ended
	return err
}

// Local reports whether what is on the file system of path is changed by nobody but this host, so that the kernel knows
// of every change. Of a kind that it does not know it says no.
func Local(path string) bool {
	var of syscall.Statfs_t
	if err := syscall.Statfs(path, &of); err != nil {
		return false
	}
	switch uint32(of.Type) {
	case 0xef53, 0x58465342, 0x9123683e, 0x01021994, 0x794c7630, 0x2fc12fc1, 0xf2f52010, 0x858458f6:
		return true // ext, xfs, btrfs, tmpfs, overlay, zfs, f2fs, ramfs
	}
	return false
}
