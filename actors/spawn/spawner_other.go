//go:build !linux

package spawn

import (
	"context"
	"errors"
	"os"
	"time"

	"procman/actors"
	"procman/actors/cgroup"
	"procman/messages"
)

var errUnsupported = errors.New("procman's process layer needs Linux")

// Spawner exists on Linux only: elsewhere there is none, and Open says so.
type Spawner struct{}

// Open returns an error: pidfds, inherited flocks and /proc are Linux's.
func Open(messages.StateDir, Options) (*Spawner, error) { return nil, errUnsupported }

// Check returns an error.
func Check(messages.StateDir) error { return errUnsupported }

// Handover returns an error.
func (*Spawner) Handover() (*os.File, error) { return nil, errUnsupported }

// Dir returns nothing.
func (*Spawner) Dir() messages.StateDir { return "" }

// Keep returns an error.
func (*Spawner) Keep() error { return errUnsupported }

// Cgroups returns nil.
func (*Spawner) Cgroups() *cgroup.Tree { return nil }

// Close does nothing.
func (*Spawner) Close() error { return nil }

// Spawn returns an error.
func (*Spawner) Spawn(context.Context, messages.Launch) (actors.Process, error) {
	return nil, &messages.StartError{Fault: messages.FaultOther, Err: errUnsupported}
}

// Clear returns an error.
func (*Spawner) Clear(context.Context, messages.AppInstance) error {
	return &messages.StartError{Fault: messages.FaultOther, Err: errUnsupported}
}

// Adopt returns an error.
func (*Spawner) Adopt(context.Context, messages.InstanceID, int) (actors.Process, error) {
	return nil, errUnsupported
}

// RunCheck returns an error.
func (*Spawner) RunCheck(context.Context, messages.Target) (output []byte, exit messages.Exit, err error) {
	return nil, messages.Exit{}, errUnsupported
}

// Survivors returns an error.
func (*Spawner) Survivors(context.Context) ([]messages.Survivor, error) { return nil, errUnsupported }

// Remain returns an error.
func (*Spawner) Remain() (map[messages.InstanceID][]messages.Member, error) {
	return nil, errUnsupported
}

// Recall returns an error.
func (*Spawner) Recall(context.Context) ([]messages.Memory, error) { return nil, errUnsupported }

// Remember returns an error.
func (*Spawner) Remember(messages.Memory) error { return errUnsupported }

// Expunge returns an error.
func (*Spawner) Expunge(messages.InstanceID) error { return errUnsupported }

// Archived returns an error.
func (*Spawner) Archived(func(messages.InstanceID) bool) (map[messages.InstanceID]time.Time, error) {
	return nil, errUnsupported
}

// Discard returns an error.
func (*Spawner) Discard(_ context.Context, ids []messages.InstanceID) map[messages.InstanceID]error {
	failed := map[messages.InstanceID]error{}
	for _, id := range ids {
		failed[id] = errUnsupported
	}
	return failed
}

// AdoptsOrphans reports whether the kernel gives orphans to this process.
func AdoptsOrphans() bool { return false }

// Stalled returns nil: there is no state directory to wait for.
func (*Spawner) Stalled() error { return nil }
