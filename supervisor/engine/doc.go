// Package engine runs instances inside a host program: it opens the real parts that a [supervisor.Supervisor] is made
// of, with good defaults, and closes them after it. procman's own daemon is such a program.
//
//   - Processes outlive the engine: Close leaves them running, and the next engine on the same state directory adopts
//     them. Shutdown ends them.
//   - The parts are closed in reverse order, and none before the supervisor has ended.
//   - Two engines in one process are two managers: each needs a state directory and a range of ports of its own.
//   - An embedder pays for what runs instances and for nothing else: no YAML, no command line, no metrics.
package engine
