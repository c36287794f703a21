package spawn

import (
	"errors"
	"log/slog"
	"os"

	"procman/actors"
	"procman/actors/kernel"
	"procman/messages"
)

// Options are what a Spawner may be told. The zero value is good.
type Options struct {
	Logger *slog.Logger  // nil: nothing is logged
	Env    []string      // the names of the manager's variables that are passed on to children; nil: DefaultEnv
	Proc   string        // where procfs is mounted; empty: /proc
	BootID func() string // what tells this boot of the host from any other; nil: the kernel's boot_id

	// Orphans: reap what the kernel gives to this process as pid 1 or subreaper, see AdoptsOrphans. Whoever else in
	// this process starts children must wait for each from its start on.
	Orphans bool

	// Cgroups: where this process may divide its cgroup, see package cgroup, a run may have one of its own.
	Cgroups bool

	// Room returns nil if a process may be taken over, and else why not: what is held of each takes a descriptor. nil:
	// it may.
	Room func() error

	// Lock is the locked lock file that an earlier Spawner of this process handed over, see Spawner.Handover; the new
	// one closes it in the end. nil: the lock is taken.
	Lock *os.File
	// Store keeps the handles of live processes somewhere where they outlive this process; nil: nowhere. Stored are
	// those that an earlier manager put there, by their names. By them the exit status of a process is known that ended
	// while no manager lived. A nil file is a handle that is kept there and was not handed to this process. What no
	// process of ours has is removed once the survivors are known.
	Store  FDStore
	Stored map[string]*os.File
}

// FDStore keeps descriptors over the death of the process: the service manager's file descriptor store. Its methods do
// not wait for it, and what they were called for is done in the order of the calls.
type FDStore interface {
	Put(name string, fd uintptr) error
	Remove(name string) error
}

// DefaultEnv names the variables of the manager that a process gets if Options.Env names none.
func DefaultEnv() []string {
	return []string{"PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR"}
}

// The variables every process gets, beside PORT. They stay in the environment of what it starts.
const (
	EnvInstance = kernel.EnvInstance
	EnvRun      = kernel.EnvRun      // the number of the run
	EnvTag      = kernel.EnvTag      // 128 random bits of this run
	EnvSpec     = kernel.EnvSpec     // AppInstance.SpecHash
	EnvStateDir = kernel.EnvStateDir // absolute, symlinks resolved
)

var (
	// ErrInUse says that another manager has the state directory.
	ErrInUse = errors.New("another manager uses the state directory")
	// ErrClosed is the answer of a Spawner after Close.
	ErrClosed = errors.New("the spawner is closed")
)

var _ actors.Spawner = (*Spawner)(nil)

// Trace is what records and processes tell of one instance to somebody who only looks.
type Trace struct {
	ID       messages.InstanceID
	Survivor *messages.Survivor // nil: no run is on record, and no process lives
	Memory   *messages.Memory   // nil: nothing is remembered
}

// Foreign is a live process of an instance that was started under another state directory.
type Foreign struct {
	ID      messages.InstanceID
	PID     int
	Dir     messages.StateDir
	Manager int    // the pid of the manager that has Dir; 0: none that is visible here
	Socket  string // where that manager answers; empty: not where one usually does
}
