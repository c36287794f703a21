package doctor

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"procman/messages"
)

// lookDir looks at the state directory, or at where it would be made.
func lookDir(path string) Dir {
	d := Dir{Path: path, User: os.Geteuid()}
	if path == "" {
		d.Err = errors.New("no state directory is known")
		return d
	}
	d.Looked = path
	info, err := os.Stat(d.Looked)
	d.Exists = err == nil
	for errors.Is(err, fs.ErrNotExist) && d.Looked != filepath.Dir(d.Looked) {
		d.Looked = filepath.Dir(d.Looked)
		info, err = os.Stat(d.Looked)
	}
	if err == nil && !info.IsDir() {
		err = &fs.PathError{Op: "look at", Path: d.Looked, Err: unix.ENOTDIR}
	}
	if err != nil {
		d.Err = err
		return d
	}
	d.Mode = info.Mode()
	if st, is := info.Sys().(*syscall.Stat_t); is {
		d.Owner = int(st.Uid)
	}
	var s unix.Statfs_t
	if err := unix.Statfs(d.Looked, &s); err != nil {
		d.Err = &fs.PathError{Op: "statfs", Path: d.Looked, Err: err}
		return d
	}
	d.Type = int64(s.Type) & 0xFFFFFFFF // it is signed on some architectures, and 32 bits long everywhere
	d.ReadOnly = s.Flags&unix.ST_RDONLY != 0
	free := int64(s.Bavail) * int64(s.Bsize)
	d.FreeBytes = &free
	if s.Files > 0 {
		files := int64(s.Ffree)
		d.FreeFiles = &files
	}
	d.OutputBytes = outputIn(messages.StateDir(path))
	if !d.ReadOnly {
		d.try(int64(s.Bsize))
	}
	return d
}

// try does in a temporary file what procman does with its own.
func (d *Dir) try(block int64) {
	f, err := os.CreateTemp(d.Looked, ".procman-doctor-*")
	d.Write = Trial{true, err}
	if err != nil {
		return
	}
	defer f.Close()
	defer os.Remove(f.Name())
	const blocks = 4
	block = max(4096, block)
	if _, err := f.Write(make([]byte, blocks*block)); err != nil {
		d.Write.Err = err
		return
	}
	d.Flock = tryFlock(f)
	fd := int(f.Fd())
	d.Punch = Trial{true, again(func() error {
		return unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, block)
	})}
	d.Collapse = Trial{true, again(func() error { return unix.Fallocate(fd, unix.FALLOC_FL_COLLAPSE_RANGE, 0, block) })}
}

// tryFlock takes a lock, and reports it as working if somebody else does not get it too.
func tryFlock(f *os.File) Trial {
	other, err := os.OpenFile(f.Name(), os.O_RDWR, 0)
	if err != nil {
		return Trial{}
	}
	defer other.Close()
	lock := func(f *os.File) error {
		return again(func() error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) })
	}
	if err := lock(f); err != nil {
		return Trial{true, err}
	}
	switch err := lock(other); {
	case err == nil:
		return Trial{true, errors.New("two got the same lock")}
	case !errors.Is(err, unix.EWOULDBLOCK):
		return Trial{true, err}
	}
	return Trial{Made: true}
}

func again(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// outputIn returns what the output files of a state directory occupy.
func outputIn(dir messages.StateDir) (bytes int64) {
	entries, err := os.ReadDir(dir.Instances())
	if err != nil {
		return 0 // none yet, or not for us to see
	}
	for _, e := range entries {
		id := messages.InstanceID(e.Name())
		for _, path := range []string{dir.Stdout(id), dir.Stderr(id)} {
			if info, err := os.Lstat(path); err == nil {
				if st, is := info.Sys().(*syscall.Stat_t); is {
					bytes += st.Blocks * 512
				}
			}
		}
	}
	return bytes
}
