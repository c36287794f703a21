//go:build !linux

package daemon

import "os"

// ignored returns nothing: what is ignored cannot be told here.
func ignored() []os.Signal { return nil }
