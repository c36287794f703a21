//go:build !linux

package cgroup

import (
	"errors"
	"log/slog"

	"procman/messages"
)

// Tree exists on Linux only: elsewhere there are no cgroups, and it says so.
type Tree struct{}

var errUnsupported = errors.New("cgroups are Linux's")

// Open finds nothing.
func Open(messages.StateDir, *slog.Logger) *Tree { return &Tree{} }

// Report is what a process can do with cgroups.
type Report struct {
	Absent      error
	Base        string
	Controllers []string
	Refuses     map[string]string
}

// Examine says that there are none.
func Examine(int) Report { return Report{Absent: errUnsupported} }

// Close does nothing.
func (*Tree) Close() error { return nil }

// Absent says that there are none.
func (*Tree) Absent() error { return errUnsupported }

// Each returns false.
func (*Tree) Each() bool { return false }

// Make returns an error if something is to be bounded.
func (*Tree) Make(_ messages.InstanceID, _ int, r messages.Resources) (string, error) {
	if len(bounds(r)) == 0 {
		return "", nil
	}
	return "", &messages.StartError{Fault: messages.FaultBounds, Err: errUnsupported}
}

// Starved returns 0.
func (*Tree) Starved(string) int { return 0 }

// Remove does nothing.
func (*Tree) Remove(messages.InstanceID, string) {}

// Vacate returns false.
func (*Tree) Vacate(messages.Cgroup) bool { return false }
