package api

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"
)

// ErrSocketInUse says that somebody answers on the socket.
var ErrSocketInUse = errors.New("another program answers on the socket")

// beside is the suffix under which a socket is made before it takes its place.
const beside = ".new"

// maxPath is the longest path, in bytes, that a unix socket can have here on every system, the suffix beside taken off.
const maxPath = 103 - len(beside)

// Listen makes a unix socket at path with mode 0600. The socket of a dead daemon is replaced; one that somebody answers
// on is not (ErrSocketInUse), and neither is any other kind of file. The path must be no longer than 99 bytes. Closing
// the listener removes the socket.
func Listen(path string) (net.Listener, error) { return ListenFor(path, nil) }

// ListenFor is Listen, but whoever is in the group may connect too, if it is not nil: the mode is 0660 then.
func ListenFor(path string, group *int) (net.Listener, error) {
	if err := Vacant(path); err != nil {
		return nil, err
	}
	l, err := bind(path, group)
	if (errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)) && os.Remove(path) == nil {
		// Nobody listens at the one that was there, and a file system without a free inode has one now.
		l, err = bind(path, group)
	}
	if err != nil {
		return nil, fmt.Errorf("the socket %s cannot be made: %w", path, err)
	}
	return l, nil
}

// Held reports whether the path of a listener made by Listen still means its socket. One that was removed or replaced
// cannot be reached any more.
func Held(l net.Listener) bool {
	s, is := l.(*socket)
	if !is {
		return true
	}
	there, err := os.Lstat(s.path)
	return err == nil && os.SameFile(there, s.made)
}

// Vacant reports why Listen could not make a socket at the path: it is too long, or somebody or something is there. It
// does not look at the directory.
func Vacant(path string) error {
	if len(path) > maxPath {
		return fmt.Errorf("the path of the socket has %d bytes, and at most %d can be used; set socket in the "+
			"configuration to a shorter path: %s", len(path), maxPath, path)
	}
	there, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("the socket cannot be made: %w", err)
	case there.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s is not a socket and is in the way of one; remove it, or set socket in the "+
			"configuration to another path", path)
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err != nil {
		return nil // nobody there
	}
	return errors.Join(fmt.Errorf("%w: %s", ErrSocketInUse, path), conn.Close())
}

func bind(path string, group *int) (net.Listener, error) {
	if err := os.Remove(path + beside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path + beside, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // it would remove the other name
	err = os.Chmod(path+beside, 0o600)
	if err == nil && group != nil {
		if err = os.Chown(path+beside, -1, *group); err == nil {
			err = os.Chmod(path+beside, 0o660)
		}
	}
	if err == nil {
		err = os.Rename(path+beside, path)
	}
	var made fs.FileInfo
	if err == nil {
		made, err = os.Lstat(path)
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return &socket{UnixListener: l, path: path, made: made}, nil
}

// socket is a listener that removes its file, if that is still its own.
type socket struct {
	*net.UnixListener
	path string
	made fs.FileInfo
}

func (s *socket) Close() error {
	var err error
	if there, lerr := os.Lstat(s.path); lerr == nil && os.SameFile(there, s.made) {
		err = os.Remove(s.path)
	}
	return errors.Join(err, s.UnixListener.Close())
}
