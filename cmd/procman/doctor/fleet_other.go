//go:build !linux

package doctor

import "errors"

// LookClock finds nothing.
func LookClock() Clock { return Clock{Err: errors.ErrUnsupported} }
