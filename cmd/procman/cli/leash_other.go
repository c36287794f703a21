//go:build !linux

package cli

import (
	"fmt"
	"io"
)

// guard says that there is no leash here.
func guard(_ []string, stderr io.Writer) int {
	fmt.Fprintln(stderr, "procman: a leash needs Linux")
	return exitFailed
}
