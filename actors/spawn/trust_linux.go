package spawn

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"procman/messages"
)

// ErrUntrusted says that somebody else could have put into the state directory what a manager would believe, and write
// through, with its own rights.
var ErrUntrusted = errors.New("the state directory is not this user's alone")

// trust looks at whose the state directory is, and what in it records and output are kept in.
func trust(dir messages.StateDir) error {
	paths := []string{string(dir), dir.Instances()}
	entries, err := os.ReadDir(dir.Instances())
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() || e.Type()&fs.ModeSymlink != 0 {
			paths = append(paths, dir.Instance(messages.InstanceID(e.Name())))
		}
	}
	for _, path := range paths {
		if err := trustDir(path, os.Geteuid()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// trustDir looks at one directory, links to it followed: one that leads to a directory of this user's own is his
// choice.
func trustDir(path string, uid int) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	s, is := info.Sys().(*syscall.Stat_t)
	if !is || !info.IsDir() {
		return nil
	}
	mode := info.Mode().Perm()
	switch {
	case int(s.Uid) != uid && s.Uid != 0:
		return fmt.Errorf("%w: %s belongs to uid %d, and this is uid %d: run procman as uid %d, or `chown -R %d %s` "+
			"after a look at what is in it",
			ErrUntrusted, path, s.Uid, uid, s.Uid, uid, path)
	// A group of its own, as many systems give each user, has nobody else in it; that of root's files is another
	// matter.
	case mode&0o002 != 0, uid == 0 && mode&0o020 != 0 && s.Gid != 0:
		return fmt.Errorf("%w: others can write to %s, mode %04o: `chmod go-w %s` after a look at what is in it",
			ErrUntrusted, path, mode, path)
	}
	return nil
}
