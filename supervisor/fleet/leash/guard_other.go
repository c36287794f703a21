//go:build !linux

package leash

import (
	"procman/messages"
	"procman/supervisor/fleet/member"
)

// Guard is what a daemon has of the leash of its state directory.
type Guard struct{}

// NewGuard returns an error.
func NewGuard(messages.StateDir, string) (*Guard, error) { return nil, errUnsupported }

// Boot returns nothing.
func (*Guard) Boot() string { return "" }

// Load returns an error.
func (*Guard) Load() (member.Record, error) { return member.Record{}, errUnsupported }

// Write returns an error.
func (*Guard) Write(member.Record) error { return errUnsupported }

// Fence returns an error.
func (*Guard) Fence(messages.InstanceID, Mark) error { return errUnsupported }

// Unfence returns an error.
func (*Guard) Unfence(messages.InstanceID) error { return errUnsupported }

// Marked returns an error.
func (*Guard) Marked() (map[messages.InstanceID]Mark, error) { return nil, errUnsupported }

// Enter returns an error.
func (*Guard) Enter() (func(), error) { return nil, errUnsupported }

// Ensure returns an error.
func (*Guard) Ensure(func(string)) error { return errUnsupported }

// Close does nothing.
func (*Guard) Close() error { return nil }

// Dismiss does nothing: there is none.
func Dismiss(messages.StateDir) error { return nil }
