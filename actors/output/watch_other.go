//go:build !linux

package output

import "errors"

// watch is inotify's place; elsewhere files are looked at in intervals.
type watch struct{}

func newWatch(func(*spool), func()) (*watch, error) {
	return nil, errors.New("output files can be watched on Linux only")
}

func (*watch) arm(*stream) error { return errors.ErrUnsupported }
func (*watch) disarm(*stream)    {}
func (*watch) Close() error      { return nil }
