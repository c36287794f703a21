//go:build !linux

package cli

import "io"

// isTerminal does not know here, and says no: it costs the colours only.
func isTerminal(io.Writer) bool { return false }
