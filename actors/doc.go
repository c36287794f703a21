// Package actors holds the actor that owns one run of one process: its exec.Cmd, its health checks, and what else a run
// holds.
//
// Invariants:
//   - An actor's life is one run. It is named <root>/<InstanceID>@<run>, so nothing meant for an old run reaches a new
//     one.
//   - It reports facts upward and decides nothing about restarts: that is the root's, in supervisor/plan.
//   - Stopping the actor never stops the process. Only messages.StopRun does.
//   - What a run holds beside its process is a Resource: its slot in the gate, room in the manager, its output, its
//     cgroup, its port. It is acquired before the process exists, in the order of World.resources, attached to the
//     process, or taken over with one that was found, and released in the reverse order. A start that comes to nothing
//     gives back all it had.
//   - What a release finds out is in the report of the run's end. So the report comes after it; but before what may
//     have to wait for a disk: that is held until the end was told, and is acquired before what is not.
//   - An actor that ends without its run leaves the run its port, and lets go of what belongs to nobody but the actor.
//     Whoever comes second, the start or the end of the actor, sees to that.
//   - A start that the host has no room for waits in the actor, see Waits: it is the same run, and no attempt.
//   - While an instance is well its probes are made on the Rounds of all: one timer, one batch for those that are due
//     together, and no message: what is found is in Recent, where a status is read from. The actor is told of the first
//     that is not good.
//   - Receive never blocks: starting, probing and waiting happen in goroutines that the actor ends with itself. The
//     mailboxes of all actors are worked off by as many goroutines as there are processors.
//   - A start comes to the gate first, and has no goroutine while it waits there for its turn.
//
// What a run does is decided by the pure core in actors/run; the edges of the world (spawn, output, health, port) are
// leaves that implement the interfaces declared here.
package actors
