//go:build !linux

package record

import "errors"

// Names would tell when paths have come to mean something else. Only Linux tells.
type Names struct{}

// NewNames returns an error that says so.
func NewNames() (*Names, error) { return nil, errors.ErrUnsupported }

// Changed returns nil.
func (*Names) Changed() <-chan struct{} { return nil }

// Follow returns an error that says so.
func (*Names) Follow(...string) error { return errors.ErrUnsupported }

// Close does nothing.
func (*Names) Close() error { return nil }

// Local says no: it is not known.
func Local(string) bool { return false }
