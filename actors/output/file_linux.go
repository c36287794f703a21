package output

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"procman/actors/record"
)

const statxMask = unix.STATX_TYPE | unix.STATX_INO | unix.STATX_SIZE | unix.STATX_MTIME | unix.STATX_BTIME |
	unix.STATX_BLOCKS

func statPath(path string) (fileInfo, error) {
	return statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW) // a link is not what was made there
}

func statFile(f *os.File) (fileInfo, error) {
	return statx(int(f.Fd()), "", unix.AT_EMPTY_PATH)
}

// deviceOf returns the number of the file system that a path is on, 0 if that cannot be learned; none says that nothing
// is there.
func deviceOf(path string) (device uint64, none bool) {
	var s unix.Stat_t
	if err := unix.Stat(path, &s); err != nil {
		return 0, errors.Is(err, unix.ENOENT)
	}
	return uint64(s.Dev), false
}

func statx(dir int, path string, flags int) (fileInfo, error) {
	var s unix.Statx_t
	if err := unix.Statx(dir, path, flags, statxMask, &s); err != nil {
		return fileInfo{}, &os.PathError{Op: "statx", Path: path, Err: err}
	}
	if s.Mode&unix.S_IFMT != unix.S_IFREG {
		return fileInfo{}, &os.PathError{Op: "follow", Path: path, Err: errors.New("not a regular file")}
	}
	f := fileInfo{Inode: s.Ino, Size: int64(s.Size), Allocated: int64(s.Blocks) * 512,
		Mtime: s.Mtime.Sec*1000 + int64(s.Mtime.Nsec)/1e6}
	if s.Mask&unix.STATX_BTIME != 0 {
		f.Born = s.Btime.Sec*1e9 + int64(s.Btime.Nsec)
	}
	return f, nil
}

// openWritten opens for reading what a process writes to as its descriptor fd, whatever its name is by now.
func openWritten(pid, fd int) (*os.File, error) {
	return record.OpenLinked(fmt.Sprintf("/proc/%d/fd/%d", pid, fd), os.O_RDONLY, 0)
}

// pathOf is a path of an open file for as long as it is open.
func pathOf(file *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", file.Fd()) }

// holeAtHead returns how many bytes of a file of that size, which is open unless that is 0, are a hole at its head.
// Where that cannot be learned it is 0, which errs towards repeating.
func holeAtHead(f *os.File, size int64) int64 {
	if size == 0 {
		return 0
	}
	at, err := unix.Seek(int(f.Fd()), 0, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO):
		return size
	case err != nil:
		return 0
	}
	return min(at, size)
}

// blockSize returns the unit, in bytes, in which the file system can take away.
func blockSize(f *os.File) int64 {
	var s unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &s); err != nil || s.Bsize < 512 || s.Bsize > 16<<20 {
		return 64 << 10
	}
	return max(4096, s.Bsize)
}

// punchHole makes a hole from one byte to another. No offset changes.
func punchHole(f *os.File, from, to int64) error {
	return retried(func() error {
		return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, from, to-from)
	})
}

// writeBack writes what follows byte n to the disk. Collapse does that while it holds the writer off; done before it,
// there is little left to wait for.
func writeBack(f *os.File, n int64) error {
	return unix.SyncFileRange(int(f.Fd()), n, 0,
		unix.SYNC_FILE_RANGE_WAIT_BEFORE|unix.SYNC_FILE_RANGE_WRITE|unix.SYNC_FILE_RANGE_WAIT_AFTER)
}

// collapse cuts the first n bytes out of the file: what follows them moves to its beginning. A concurrent append is
// done before it or after it.
func collapse(f *os.File, n int64) error {
	return retried(func() error { return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_COLLAPSE_RANGE, 0, n) })
}

func retried(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// impossible reports whether the file system will never do what it was asked.
func impossible(err error) bool {
	return errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS)
}

// alive reports whether a process has the id.
func alive(pid int) bool {
	return pid > 0 && !errors.Is(unix.Kill(pid, 0), unix.ESRCH)
}
