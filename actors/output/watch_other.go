//go:build !linux

package output

import "errors"

// watch is inotify's place; elsewhere files are looked at in intervals.
type watch struct{}

func newWatch(*Outputs) (*watch, error) {
	return nil, errors.New("output files can be watched on Linux only")
}

func (*watch) arm(*tail) error  { return errors.ErrUnsupported }
func (*watch) armed(*tail) bool { return false }
func (*watch) disarm(*tail)     {}
func (*watch) Close() error     { return nil }
