//go:build !linux

package leash

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"time"

	"procman/messages"
	"procman/supervisor/fleet/member"
)

var errUnsupported = errors.New("a leash needs Linux: pidfds and CLOCK_BOOTTIME")

// ErrLives says that the state directory has a leash already.
var ErrLives = errors.New("the state directory has a leash")

var errSlow = errUnsupported

// New returns an error.
func New(messages.StateDir, Options) (*Leash, error) { return nil, errUnsupported }

// Living says that there is none.
func Living(messages.StateDir) (int, bool, error) { return 0, false, nil }

// Start returns an error.
func Start(messages.StateDir, string) (*exec.Cmd, error) { return nil, errUnsupported }

// HostClock returns none.
func HostClock() Clock { return nil }

// Now returns nothing.
func Now() int64 { return 0 }

type ender struct {
	boot    string
	clean   bool
	loading bool
}

func (*ender) read(time.Duration) (member.Record, error) { return member.Record{}, errUnsupported }
func (*ender) refresh(context.Context, time.Duration)    {}
func (*ender) alive(context.Context) int                 { return 0 }
func (*ender) shut(bool) bool                            { return false }
func (*ender) close()                                    {}
func (*ender) marks() int                                { return 0 }
func (*ender) found(*os.File) bool                       { return false }
func (*ender) round(context.Context, string, bool, func() bool) ([]messages.Member, bool) {
	return nil, false
}

// Look returns an error.
func Look(messages.StateDir) (Report, error) { return Report{}, errUnsupported }

// Able returns why: this is not Linux.
func Able() error { return errUnsupported }
