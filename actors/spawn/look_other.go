//go:build !linux

package spawn

import (
	"context"

	"procman/messages"
)

// Look returns an error.
func Look(context.Context, messages.StateDir) ([]Trace, error) { return nil, errUnsupported }

// Owner returns 0.
func Owner(messages.StateDir) int { return 0 }

// Elsewhere returns an error.
func Elsewhere(context.Context, messages.StateDir, []*messages.AppInstance) ([]Foreign, error) {
	return nil, errUnsupported
}
