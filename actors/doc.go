// Package actors holds the actor that owns one run of one process: its exec.Cmd, its port lease and its health ticker.
//
// Invariants:
//   - An actor's life is one run. It is named <root>/<InstanceID>@<run>, so nothing meant for an old run reaches a new one.
//   - It reports facts upward and decides nothing about restarts: that is the root's, in supervisor/plan.
//   - Stopping the actor never stops the process. Only messages.StopRun does.
//   - A start that the host has no room for waits in the actor, see Waits: it is the same run, and no attempt.
//   - Receive never blocks: starting, probing and waiting happen in goroutines that the actor ends with itself.
//
// What a run does is decided by the pure core in actors/run; the edges of the world (spawn, output, health, port) are
// leaves that implement the interfaces declared here.
package actors
