// Package run is the pure core of an instance actor: what one process needs next, from its launch to its end.
//
// Invariants:
//   - Step(state, now, event) returns the new state and the actions to carry out; no clock, no I/O, no goroutine.
//   - Every pair of event and phase has a cell in the table. "." is expected and ignored, "!" cannot happen: it changes
//     nothing and is reported as a bug.
//   - While a process is starting it is probed at once and fast, and refused probes are no failures before the start
//     deadline. Once it runs, Failures failures in a row make it unhealthy, and that is reported once.
//   - While it is well it is probed steadily, by a Schedule, and nobody hears of it: not this core, until a probe is
//     not good, and not the root, which is told when good turns into bad or bad into good. What it is not well any more
//     for is probed on a timer of its own, an interval after the probe before.
//   - A run is its first process and all that belong to it (kernel.Circle). A stop is stop.signal, mostly TERM (then
//     CONT, for a process that was stopped), the grace period, KILL, and KILL again: each to all of them. Those that
//     outlive the first one keep what is left of the grace. Nothing ends a run but the end of all, except that what has
//     begun a session of its own may be left by policy, and then that is said.
//   - A first process that ends by itself takes the others with it, and that is said.
//   - A timer that fires late is no failure, and neither is a probe that could not be made: only one that was made and
//     failed is. What a start loses while the manager stood still is added to its deadline.
//   - A policy counts from the moment it is told, also for a start under way: see policyChanged before adding a field
//     that something was computed from.
//
// # The table
//
//	| event | new | starting | running | stopping | killing | exited |
//	|---|---|---|---|---|---|---|
//	| Launched | report, probe soon | ! | ! | ! | ! | ! |
//	| LaunchFailed | report | ! | ! | ! | ! | ! |
//	| ProbeDue | ! | probe | probe | . | . | . |
//	| Probed | ! | healthy: report ready, watch -> running; else probe again, after the deadline report unhealthy | healthy: forget failures, watch; else count, probe again, at the threshold report unhealthy | . | . | . |
//	| StopAsked | cancel, or stop.signal once launched | stop.signal, CONT, arm grace | stop.signal, CONT, arm grace | shorten grace | . | . |
//	| GraceOver | ! | ! | ! | KILL, arm again | KILL again | . |
//	| ProcessExited | ! | release, report; KILL first what outlives it | release, report; KILL first what outlives it | release, report, once nobody outlives it | release, report, once nobody outlives it; KILL | ! |
//	| RestChanged | ! | ! | ! | release, report, once nobody is left | release, report, once nobody is left | . |
//	| PolicyChanged | use | use | use, watch at the new pace | . | . | . |
package run
