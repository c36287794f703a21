// Package run is the pure core of an instance actor: what one process needs next, from its launch to its end.
//
// Invariants:
//   - Step(state, now, event) returns the new state and the actions to carry out; no clock, no I/O, no goroutine.
//   - Every pair of event and phase has a cell in the table. "." is expected and ignored, "!" cannot happen: it changes
//     nothing and is reported as a bug.
//   - While a process is starting it is probed at once and fast, and refused probes are no failures before the start
//     deadline. Once it runs, Failures failures in a row make it unhealthy, and that is reported once.
//   - A stop is TERM (then CONT, for a process that was stopped), the grace period, KILL, and KILL again: each to the
//     whole group. Nothing ends a stop but the end of the process.
//   - A timer that fires late is no failure, and neither is a probe that could not be made: only one that was made and
//     failed is. What a start loses while the manager stood still is added to its deadline.
//   - A policy counts from the moment it is told, also for a start under way: see policyChanged before adding a field that
//     something was computed from.
//
// # The table
//
//	| event | new | starting | running | stopping | killing | exited |
//	|---|---|---|---|---|---|---|
//	| Launched | report, probe soon | ! | ! | ! | ! | ! |
//	| LaunchFailed | report | ! | ! | ! | ! | ! |
//	| ProbeDue | ! | probe | probe | . | . | . |
//	| Probed | ! | 200: report ready -> running; else probe again, after the deadline report unhealthy | 200: forget failures; else count, at the threshold report unhealthy | . | . | . |
//	| StopAsked | cancel, or TERM once launched | TERM, CONT, arm grace | TERM, CONT, arm grace | shorten grace | . | . |
//	| GraceOver | ! | ! | ! | KILL, arm again | KILL again | . |
//	| ProcessExited | ! | release, report | release, report | release, report | release, report | ! |
//	| PolicyChanged | use | use | use, probe at the new pace | . | . | . |
package run
