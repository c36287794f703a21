//go:build !linux

package output

import (
	"errors"
	"os"
)

var errNoHoles = errors.New("output files can be bounded on Linux only")

func statPath(path string) (facts, error) {
	i, err := os.Stat(path)
	if err != nil {
		return facts{}, err
	}
	return factsOf(i)
}

func statFile(f *os.File) (facts, error) {
	i, err := f.Stat()
	if err != nil {
		return facts{}, err
	}
	return factsOf(i)
}

func factsOf(i os.FileInfo) (facts, error) {
	if !i.Mode().IsRegular() {
		return facts{}, &os.PathError{Op: "follow", Path: i.Name(), Err: errors.New("not a regular file")}
	}
	return facts{Size: i.Size(), Mtime: i.ModTime().UnixMilli()}, nil
}

// Without /proc a file that was moved away is lost to us.
func openWritten(int, int) (*os.File, error) { return nil, os.ErrNotExist }

func pathOf(file *os.File) string { return file.Name() }

func holeAtHead(*os.File, int64) int64 { return 0 }

type head struct{}

func openHead(*stream) (head, error)    { return head{}, errNoHoles }
func (head) Close() error               { return nil }
func (head) block() int64               { return 4096 }
func (head) punch(from, to int64) error { return errNoHoles }
func (head) writeBack(int64) error      { return errNoHoles }
func (head) collapse(n int64) error     { return errNoHoles }

func impossible(err error) bool { return errors.Is(err, errNoHoles) }

func alive(int) bool { return false }

func deviceOf(string) device { return 0 }
