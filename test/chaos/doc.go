// Package chaos proves that procman can be killed at any instant: it judges what was observed of a manager and its
// processes, and its tests make the real daemon die, under churn, hundreds of times.
//
// Invariants, each a function that says how it was violated:
//   - I1 [NeverTwo]: no two processes of an instance live at once.
//   - I2 [Converged]: every desired instance comes to exactly one healthy process, of its newest specification.
//   - I3 [NothingElse], [NothingLeft]: nothing lives that is not desired, and nothing of a run that is over.
//   - I4 [PortsApart]: processes that live at once have different ports.
//   - I5 [Undisturbed]: a process that nobody touched is the same one after any death of the manager.
//   - I6 [FileWhole], [ForwardedWhole]: of the numbered lines that a run wrote none is missing, none is torn. None
//     stands twice in the file, and in the forwarded log only where a new manager took over.
//   - I7 [BystandersUnharmed]: no signal reaches a process that is not managed, and none is adopted.
//   - I8 [Settled]: what the daemon uses of its host returns to where it was.
//   - I9 [RestartsAgree]: the restarts that are shown are those that happened.
//   - I10 [NoZombies]: no child of the daemon stays unreaped for a second.
//
// The package itself is pure: values in, violations out. What it judges comes from elsewhere than from procman: every
// process of [the faultchild] keeps a ledger of its own life, and the tests watch every process through a pidfd. That a
// process overlaps with another of its instance is found by itself, with a lock that procman knows nothing of.
//
// In `go test ./...` the killer makes 8 rounds. More:
//
//	PROCMAN_CHAOS_ROUNDS=500            rounds of the killer
//	PROCMAN_CHAOS_INSTANCES=50          instances it begins with
//	PROCMAN_CHAOS_FAILPOINT_ROUNDS=50   deaths at each fail point
//	PROCMAN_CHAOS_CONTESTS=50           times that two daemons are started at once
//	PROCMAN_CHAOS_CHURN=500             rounds of changes under one daemon, whose descriptors, threads and memory are counted
//	PROCMAN_SOAK=10m                    how long crashes, edits, reloads, upgrades and readers are gone on with, see TestASoak
//	go test ./test/chaos -run Random -chaos.seed=N    the plan of seed N again
//
// A plan says what is changed at which moment of a round, and when the daemon is killed; how the host's scheduler plays
// it is another matter. A test that fails leaves the logs of its daemons and the ledger in a file that it names.
//
// [the faultchild]: https://pkg.go.dev/procman/test/chaos/faultchild
package chaos
