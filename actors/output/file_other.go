//go:build !linux

package output

import (
	"errors"
	"os"
)

var errNoHoles = errors.New("output files can be bounded on Linux only")

func statPath(path string) (fileInfo, error) {
	i, err := os.Stat(path)
	if err != nil {
		return fileInfo{}, err
	}
	return infoOf(i)
}

func statFile(f *os.File) (fileInfo, error) {
	i, err := f.Stat()
	if err != nil {
		return fileInfo{}, err
	}
	return infoOf(i)
}

func infoOf(i os.FileInfo) (fileInfo, error) {
	if !i.Mode().IsRegular() {
		return fileInfo{}, &os.PathError{Op: "follow", Path: i.Name(), Err: errors.New("not a regular file")}
	}
	return fileInfo{Size: i.Size(), Allocated: i.Size(), Mtime: i.ModTime().UnixMilli()}, nil
}

// Without /proc a file that was moved away is lost to us.
func openWritten(int, int) (*os.File, error) { return nil, os.ErrNotExist }

func pathOf(file *os.File) string { return file.Name() }

func holeAtHead(*os.File, int64) int64 { return 0 }

func blockSize(*os.File) int64                   { return 4096 }
func punchHole(f *os.File, from, to int64) error { return errNoHoles }
func writeBack(*os.File, int64) error            { return errNoHoles }
func collapse(*os.File, int64) error             { return errNoHoles }

func impossible(err error) bool { return errors.Is(err, errNoHoles) }

func alive(int) bool { return false }

func deviceOf(string) (device uint64, none bool) { return 0, false }
