package actors

import (
	"context"
	"syscall"
	"time"

	"procman/messages"
)

// Spawner makes processes, and finds them again.
type Spawner interface {
	// Spawn starts one process. It may take as long as an exec takes. When it returns an error, no process is left
	// behind; the error is a *messages.StartError unless ctx ended first.
	Spawn(ctx context.Context, l messages.Launch) (Process, error)
	// Clear returns an error as long as something that an earlier run left keeps a run of a from starting. It is asked
	// before anything is taken for the start: who waits takes nothing away from others. The error is a
	// *messages.StartError with FaultLocked, and says for whom is waited, unless ctx ended first.
	Clear(ctx context.Context, a messages.AppInstance) error
	// Adopt returns the process of that run of the instance, which this or an earlier manager started; with AnyRun, of
	// its newest. A process of the instance that lives is the one, whatever its run. It waits for a start that is under
	// way. The error is a *messages.GoneError if the run's process has ended, messages.ErrNoRun if it is not known to
	// have had one, and a *messages.StartError that is the host's fault if it lives and cannot be taken over, or nobody
	// can tell: with FaultNotTaken for want of room, of which a ctx of ToEnd may take what is kept for control.
	Adopt(ctx context.Context, id messages.InstanceID, run int) (Process, error)
	// Survivors returns the newest run of every instance of which one is known. It returns what could be learned even
	// beside an error.
	Survivors(ctx context.Context) ([]messages.Survivor, error)
}

// Process is one run of an instance, started or adopted.
type Process interface {
	PID() int
	Port() int
	Run() int
	StartedAt() time.Time
	SpecHash() string
	// Tag is what every process of the run carries, and no other.
	Tag() string
	// Signal sends sig to every process of the run, also after its first one has ended; with LeftoversLeave not to
	// those that are away. It never reaches a stranger that was given the same id, and never waits: those that have to
	// be looked for get it a moment later. Signalling a run that is over is no error.
	Signal(sig syscall.Signal, leftovers messages.Leftovers) error
	// Wait returns when the first process has ended. It may be called any number of times, and by several goroutines;
	// it occupies no OS thread. It has no Reason: that is for who knows what was wanted.
	Wait() messages.Exit
	// Rest returns those of the run that outlived its first process, as soon as they are others than those given, by
	// their pids. It is called after Wait; with nil it returns at once who lives. The error is that of ctx.
	Rest(ctx context.Context, than []messages.Member) ([]messages.Member, error)
}

// Worker is a Process that can tell how it uses the processor. What it says is for the gate, and need not be exact.
type Worker interface {
	// Used returns how long it has used a processor, with all of its threads. The error says that it is not to be seen.
	Used() (time.Duration, error)
	// Runs reports whether it, or one that it has started, runs at this moment or waits for a processor, and whether it
	// has started others that live.
	Runs() (runs, family bool)
}

// Sender is a Process that can be sent a signal on somebody's behalf.
type Sender interface {
	// Send sends sig to the process group of the run's first process, if that lives, and to no other: what is away is
	// not meant. The error is a *messages.GoneError if it has ended.
	Send(sig syscall.Signal) error
}

// Grouped is a Process that may have a cgroup of its own.
type Grouped interface {
	// Cgroup returns its path below the mount of the hierarchy; empty: it has none.
	Cgroup() string
}

// Cgroups makes cgroups for runs. Its methods do not wait for the manager, and none takes a descriptor for good.
type Cgroups interface {
	// Each reports whether every run gets one, and not only one of which something is to be bounded.
	Each() bool
	// Make makes one, with those bounds, and returns its path. The path is empty if none can be made and nothing is to
	// be bounded; else the error is a *messages.StartError.
	Make(id messages.InstanceID, run int, r messages.Resources) (path string, err error)
	// Starved returns how many processes the kernel has killed in it because it may have no more memory.
	Starved(path string) int
	// Remove removes it. One in which processes are stays for as long as they do.
	Remove(id messages.InstanceID, path string)
}

// Notifier is a Process that says when it has ended, so that nobody needs to wait for it.
type Notifier interface {
	Process
	// Then calls f in a goroutine of its own once Wait would return at once.
	Then(f func())
}

// Ports leases TCP ports.
type Ports interface {
	// Acquire leases a port to the instance: the one it had before if that is free, else another. An instance has one
	// lease at the most: a second call returns the first one's port. The error is a *messages.StartError.
	Acquire(id messages.InstanceID) (Lease, error)
	// Claim leases the port that a surviving process already listens on. It fails if another instance has it.
	Claim(id messages.InstanceID, port int) (Lease, error)
	// Owns reports whether the instance has a port, leased or put by for it, so that it need not wait for one.
	Owns(id messages.InstanceID) bool
	// Forget ends what the instance has: its port is free for any other. Should the instance come back before another
	// took it, it may have it again.
	Forget(id messages.InstanceID)
}

// Budget keeps room for the manager itself.
type Budget interface {
	// Admit returns when there is room for one more process; then the caller starts one and calls landed, whatever
	// became of it. The error is a *messages.StartError, unless ctx ended first.
	Admit(ctx context.Context) (landed func(), err error)
}

// Lease is the right to use a port.
type Lease interface {
	Port() int
	// Release ends the use. The port stays put by for the instance's next run until Forget, or until no other is free.
	Release()
	// Discard ends the use because the port is no good. The next Acquire gives another.
	Discard()
	// Contested reports whether somebody listens on the port. It is asked after the end of the instance's process.
	Contested() bool
}

// Mover is a Lease that can tell of a port that changed.
type Mover interface {
	// Moved returns the port that the instance had before, and why it is another one now; 0 if it had none, or has it
	// still.
	Moved() (from int, why string)
}

// HealthChecker asks an instance how it is.
type HealthChecker interface {
	// Check takes no longer than the timeout of t's policy. What goes wrong is in the Probe; Check never panics.
	Check(ctx context.Context, t messages.Target) messages.Probe
}

// BatchChecker is a HealthChecker that makes many probes at a time with little for each. Those of any other
// HealthChecker have a goroutine each.
type BatchChecker interface {
	HealthChecker
	// Begin begins a probe as Check makes it, and returns at once. done is told of it once, no later than Check would
	// return, by another goroutine, for which it must not wait. cancel breaks the probe off, if it is not over: then
	// done may still be told, and need not be.
	Begin(t messages.Target, done func(messages.Probe)) (cancel func())
}

// Outputs forwards what processes write to their output files.
type Outputs interface {
	// Begin says that a process of the instance is about to be started: what its files hold now was written by earlier
	// runs. It may look at the files, but stays no longer than a second for a disk that does not answer: then the error
	// is a *messages.StartError that says so, and the process must not be started.
	Begin(ctx context.Context, id messages.InstanceID) error
	// Follow forwards what the run of process pid writes from now on, beginning with what an earlier follower of the
	// instance left. It returns at once.
	Follow(id messages.InstanceID, run, pid int) Follower
}

// Follower is one run's output on its way.
type Follower interface {
	// Stop forwards what is there and ends. It is called once, after the end of the process or when it is left to a
	// later manager.
	Stop()
}
