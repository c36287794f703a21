package messages

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"
)

// Launch asks for one process of an instance.
type Launch struct {
	App  AppInstance
	Run  int // the number of the run, see Status.Run
	Port int
	// Extra is further environment of the process, NAME=VALUE each, which no variable of the instance overrides. It is
	// no part of what the instance is, and of its SpecHash.
	Extra []string
	// Cgroup is that of the run, below the mount of the hierarchy; empty: it has none of its own.
	Cgroup string
}

// Survivor is what is found of an instance's last run when a manager starts.
type Survivor struct {
	ID        InstanceID
	Run       int
	PID       int
	Port      int
	StartedAt time.Time
	SpecHash  string // of what runs, see AppInstance.SpecHash
	// Unclear says why it cannot be told whether the process PID is the run; empty: it can. Then Alive is true, for it
	// is not known to have ended, but nothing is started in its place, and nothing is signalled.
	Unclear  string
	Alive    bool // it is not over; otherwise Exit says how its first process ended
	Outlived bool // its first process has ended: if Alive, others of it live
	Exit     Exit // Known only if the status could still be learned
}

// Memory is what the root remembers of an instance across its own death. Times are read back as times of this
// manager's clock: how long ago they were is kept, and after a reboot they are zero.
type Memory struct {
	ID           InstanceID
	Run          int  // the newest run
	Exited       bool // the end of Run has been counted
	Spec         string
	Rule         string // see RestartPolicy.Hash; empty: an earlier version wrote it
	Starts       int    // runs that had a process
	Counted      bool   // Run is among them
	Attempts     int    // failures since the instance was last stable
	Phase        Phase
	Reason       string     // see Status.Reason
	DueAt        time.Time  // in Backoff: when the next start is due
	HealthySince time.Time  // of Run; zero if it was not healthy
	Stop         StopPolicy // of Run; zero: not known
	StopAs       ExitReason
	KillAt       time.Time // in Stopping: when the grace period ends
	Held         bool      // see Status.Held
	HeldBy       string    // who held it
	HeldAt       time.Time // when, by the wall clock
	Rebooted     bool      // it was written before the host was started the last time; set by the reader
	LastExit     *Exit
}

// StopRun tells an instance actor to end its process: its signal, the grace period, KILL.
type StopRun StopPolicy

// SendSignal tells an instance actor to send a signal to the process group of its run. It is answered by [Signalled].
type SendSignal struct {
	Signal SignalName
	Ticket uint64 // of the answer
}

// Signalled says what came of a [SendSignal]. The error is an [ErrNotRunning] if there is no process.
type Signalled struct {
	ID     InstanceID
	Run    int
	PID    int
	Port   int
	Signal SignalName
	Ticket uint64
	Err    error
}

// GoFirst tells an instance actor that its start is to go before others, should it have to wait for its turn.
type GoFirst struct{}

// SetPolicy tells an instance actor new rules for the process that it already runs.
type SetPolicy struct {
	App    *AppInstance // the instance in full; nil: as it was
	Health HealthPolicy
	Start  StartPolicy
	Stop   StopPolicy
}

// Launched says that the process of a run exists.
type Launched struct {
	ID        InstanceID
	Run       int
	PID       int
	Port      int
	StartedAt time.Time
	SpecHash  string
	Adopted   bool   // found, not started
	PortWas   int    // the port of the runs before, if it is another one now; 0: it is the same, or the first
	PortWhy   string // why it changed, for a person
	Cgroup    string // of its own; empty: none
}

// LaunchFailed says that a run ended before it had a process.
type LaunchFailed struct {
	ID  InstanceID
	Run int
	Err error
}

// Refused says that the host, and not the instance, keeps a run from its process: it waits, and is tried again. It is
// said again when the reason has changed.
type Refused struct {
	ID  InstanceID
	Run int
	Err *StartError
}

// Probed says what a health check found.
type Probed struct {
	ID    InstanceID
	Run   int
	Probe Probe
}

// Ready says that a run answered healthy for the first time.
type Ready struct {
	ID  InstanceID
	Run int
}

// Unhealthy says that a run failed too many health checks in a row, or missed its start deadline. It is said once.
type Unhealthy struct {
	ID       InstanceID
	Run      int
	Cause    string
	Since    time.Time // the first of the failures in a row
	Conflict bool      // somebody else answers on its port
}

// Lingers says that a run is not over yet, though it is at its end: its first process has ended and others of it live,
// or there is a process that KILL does not end.
type Lingers struct {
	ID     InstanceID
	Run    int
	Exit   *Exit    // of the first process; nil: it lives
	Rest   []Member // those beside the first process that live
	Killed bool     // KILL was sent
	Stuck  bool     // and that some time ago
}

// Exited says that the run is over: no process of it lives, but for those that were left on purpose.
type Exited struct {
	ID   InstanceID
	Run  int
	Exit Exit // of its first process
	Rest Rest
	// PortFree: somebody else answered on its port, and after its end nobody does.
	PortFree bool
	// Conflict: it never became healthy, and after its end somebody else listens on its port.
	Conflict bool
}

// Member is a process of a run beside its first one.
type Member struct {
	PID  int
	Name string // what it calls itself, at most 15 bytes of anything
	Away bool   // it has left the session and the process group of the run
}

// Members describes processes for a person.
func Members(list []Member) string {
	const shown = 5
	var b strings.Builder
	for n, m := range list {
		if n == shown {
			fmt.Fprintf(&b, " and %d more", len(list)-shown)
			break
		}
		if n > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "pid %d (%s)", m.PID, m.printable())
	}
	return b.String()
}

func (m Member) printable() string {
	return strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) || r == utf8.RuneError {
			return '?'
		}
		return r
	}, m.Name)
}

// Rest is what became of the processes of a run that outlived its first one.
type Rest struct {
	Killed  int      // so many were sent KILL
	AtOnce  bool     // when the first had ended by itself; else when the grace was over
	Left    []Member // left on purpose
	Starved int      // so many of the run were killed by the kernel, because its cgroup may have no more memory
}

// Text says so in words that follow "exited with code 0"; it is empty if there is nothing to say.
func (r Rest) Text(grace time.Duration) string {
	s := ""
	if r.Killed > 0 {
		s = fmt.Sprintf("; %d other %s of it %s killed", r.Killed, plural(r.Killed, "process", "processes"),
			plural(r.Killed, "was", "were"))
		if !r.AtOnce {
			s += fmt.Sprintf(" after the grace of %v", grace)
		}
	}
	if r.Starved > 0 {
		s += fmt.Sprintf("; the kernel killed %d %s of it for want of memory within resources.memory", r.Starved,
			plural(r.Starved, "process", "processes"))
	}
	if len(r.Left) > 0 {
		s += "; leaves " + Members(r.Left)
	}
	return s
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// StartFault classifies why a process could not be started.
type StartFault string

// The start faults.
const (
	FaultExecutableMissing StartFault = "executable missing"
	FaultNotExecutable     StartFault = "not executable"      // permissions, or a directory
	FaultWrongFormat       StartFault = "wrong format"        // another architecture, or no program at all
	FaultInterpreter       StartFault = "interpreter missing" // of a script
	FaultWasmMissing       StartFault = "wasm file missing"
	FaultProcess           StartFault = "process: cannot be met"       // no such user, or not allowed here
	FaultBounds            StartFault = "resources: cannot be bounded" // no cgroup, or not with that controller
	FaultEnvFile           StartFault = "env file unusable"
	FaultDirMissing        StartFault = "directory missing"
	FaultBusy              StartFault = "executable is being written" // ETXTBSY
	FaultResources         StartFault = "out of resources"            // EAGAIN, ENOMEM, EMFILE, ENFILE
	// a process of the instance, or a grandchild, lives
	FaultLocked  StartFault = "still locked"
	FaultUnclear StartFault = "cannot tell" // whether a process that lives is the instance's
	// the instance's process lives, and there is no room to hold it
	FaultNotTaken  StartFault = "not taken over"
	FaultElsewhere StartFault = "runs elsewhere" // under another state directory
	FaultNoPort    StartFault = "no free port"
	FaultStateDir  StartFault = "state directory unusable"
	FaultStalled   StartFault = "file system does not answer"
	// at this moment: the instance is another host's, or the lease has no time left
	FaultFleet StartFault = "not allowed by the fleet"
	FaultOther StartFault = "start failed"
)

// Host reports whether the fault is not the instance's: something that the host has runs short, or somebody keeps it.
// Such a start waits until there is room, and that is no failed attempt.
func (f StartFault) Host() bool {
	switch f {
	case FaultResources, FaultNoPort, FaultLocked, FaultUnclear, FaultNotTaken, FaultElsewhere, FaultStateDir,
		FaultStalled, FaultBusy, FaultFleet:
		return true
	}
	return false
}

// HostFault returns the StartError in err if it is the host's fault, and else nil.
func HostFault(err error) *StartError {
	var start *StartError
	if errors.As(err, &start) && start.Fault.Host() {
		return start
	}
	return nil
}

// StartError is why a process could not be started. No process was left behind.
type StartError struct {
	Fault StartFault
	Path  string // the file or directory concerned, if one is
	Err   error  // the cause; may be nil
	Help  string // what to do about it; may be empty
}

func (e *StartError) Error() string {
	s := string(e.Fault)
	if e.Path != "" {
		s += ": " + e.Path
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	if e.Help != "" {
		s += "; " + e.Help
	}
	return s
}

func (e *StartError) Unwrap() error { return e.Err }

// GoneError is the answer to adopting a run whose process has already ended.
type GoneError struct{ Exit Exit }

func (e *GoneError) Error() string { return "the process has ended: " + e.Exit.String() }

// ErrNoRun is the answer to adopting an instance of which no run is known.
var ErrNoRun = errors.New("no run of this instance is known")

// KeptError says why what an instance left is not removed, though the instance is known no more.
type KeptError struct {
	ID  InstanceID
	Why string // as in "pid 7 (sleep) lives"
}

func (e *KeptError) Error() string {
	return fmt.Sprintf("what %q left is kept: %s", string(e.ID), e.Why)
}

// Pruned is what became of what an instance left that is known no more.
type Pruned struct {
	ID   InstanceID `json:"id"`
	Kept string     `json:"kept"` // why it was not removed; empty: it was
}

// UnsavedError says that what was asked for is done, and that it could not be made durable: a crash of the manager
// would forget it. It is tried again until it is written.
type UnsavedError struct {
	ID   InstanceID
	Done string // stopped, started
	Err  error
}

func (e *UnsavedError) Error() string {
	return fmt.Sprintf("%s, but this could not be written (%s): a crash of the daemon would forget it", e.Done,
		Cause(e.Err))
}

func (e *UnsavedError) Unwrap() error { return e.Err }

// Cause returns what an error of a file says without the file: "no space left on device".
func Cause(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return err.Error()
}

// ErrUnknownInstance is the answer to a request about an instance that is not in the desired list.
type ErrUnknownInstance struct{ ID InstanceID }

func (e ErrUnknownInstance) Error() string { return fmt.Sprintf("no such instance: %q", string(e.ID)) }

// ErrDisabled is the answer to starting an instance that the desired list has disabled.
type ErrDisabled struct{ ID InstanceID }

func (e ErrDisabled) Error() string {
	return fmt.Sprintf("instance %q is disabled in the configuration; enable it there", string(e.ID))
}

// ErrNotRunning is the answer to a request about the process of an instance that has none.
type ErrNotRunning struct {
	ID    InstanceID
	Phase Phase
}

func (e ErrNotRunning) Error() string {
	return fmt.Sprintf("instance %q is %s: it has no process", string(e.ID), e.Phase)
}
