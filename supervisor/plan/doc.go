// Package plan is the pure core of the root: which process of an instance should exist now, and when the next one
// starts.
//
// Invariants:
//   - Step(instance, now, event) returns the new instance and the actions to carry out. The same input gives the same
//     output: there is no clock, no randomness, no file, no goroutine in here. Jitter is drawn from a hash of instance
//     and run, so that instances spread and a story replays.
//   - Every pair of event and phase has a cell in the table. "." is expected and ignored, "!" cannot happen: it changes
//     nothing and is reported as a bug.
//   - The wish (Want) stands beside the fact (Phase). Diff compares them after every event, so a missed edge heals.
//   - At most one process of an instance exists or is being started, and no live process is forgotten: the model test
//     walks every reachable state.
//   - An attempt is spent by a fault of the instance only. What the host lacks, or somebody on it keeps
//     (messages.StartFault.Host), is waited for within the run, whatever the restart policy.
//   - A restart delay is decided in one place: retry, in policy.go.
//
// # The table
//
//	| event | stopped | starting | running | stopping | backoff | failed |
//	|---|---|---|---|---|---|---|
//	| Want | launch | keep, or stop(changed) | keep, or stop(changed) | remember | launch | launch |
//	| Unwant | forget | stop(stopped) | stop(stopped) | want nothing | forget (an orphan: adopt, stop) | forget |
//	| Survivor | restore: adopt, wait or stay | ! | ! | ! | ! | ! |
//	| Launched | ! | note pid and port | ! | note pid and port | ! | ! |
//	| Refused | ! | wait, and say for what | ! | . | ! | ! |
//	| LaunchFailed | ! | retry | ! | finish | ! | ! |
//	| Ready | ! | -> running | . | . | ! | ! |
//	| Probed | ! | note | note | . | ! | ! |
//	| Unhealthy | ! | stop(unhealthy), or only tell | stop(unhealthy), or only tell | . | ! | ! |
//	| Lingers | ! | stop(exit) | stop(exit) | note who lives | ! | ! |
//	| Exited | ! | retry | retry | finish | ! | ! |
//	| Lost | ! | orphan: adopt | orphan: adopt | orphan: adopt, stop | ! | ! |
//	| Due | . | . | forgive failures, if stable | . | launch, if at the time armed | . |
//	| Retry | launch, if wanted | go first, if it waits | . | launch at its end | launch | launch |
//	| Restart | launch, if wanted | stop(stopped), launch at its end | stop(stopped), launch at its end | launch at its end | launch | launch |
package plan
