// Package supervisor holds the root of the supervision tree: it compares the desired list with what runs, spawns one
// instance actor for each instance, and applies the restart policy. Supervisor is the handle an embedding program
// holds.
//
// Invariants:
//   - What to do is decided in supervisor/plan; the root carries it out. After every event it compares wish and fact
//     again.
//   - State belongs to the root actor alone. Reads (Status, Lookup) take a snapshot and never wait for its mailbox.
//   - Before a predecessor's survivors are known nothing is started, and before the first good list nothing is stopped.
//     A provider's error means "unknown", never "none". What is missing from a list that nobody has confirmed may be
//     missing because the list is not whole ([Drafter]).
//   - To be absent is not to be forgotten: a hold outlives the absence of its entry from the list.
//   - A report counts only if it comes from the instance's current actor. Only the root stops an instance actor, after
//     reading its last report; an actor that ends without one is lost, and its process is adopted by another.
//   - Done first, written afterwards: no deed, no report and no end waits for a disk. What could not be made durable is
//     said, and tried again until it is; what an asker gave up is not done later.
//   - What an instance wrote outlives it by Config.Keep: who is in the list, held or remembered has not left it, and
//     whether anything lives is for the Archive to say, see Prune.
//   - Told afterwards: the log, observers and the event stream hear of a deed once everything that the same cause asks
//     for is done, from one place. Nothing hangs on a listener: one that panics harms nobody.
//   - There is one decider. What is said of what will happen is supervisor/explain's, which asks supervisor/plan on a
//     copy.
//   - Stopping the root never stops a process. Only an instance that is not wanted is stopped.
//
// # Recovery
//
// A panic in an instance actor, a panic in the root and kill -9 of the manager are one case with one way out: find the
// process, adopt it. Processes do not depend on the manager for anything, so nothing is lost while there is none. A
// manager that starts
//
//  1. takes the lock on the state directory (a second manager ends with exit code 75),
//  2. reads the record of every instance's last run and what the root remembered (restarts, a delay under way, a hold),
//     and looks at all processes of the host: a live one counts, whatever its record says,
//  3. has each survivor adopted: same pid, port, start time, counters; a stop under way goes on with what is left of
//     its grace,
//  4. counts what has died meanwhile as an exit, with the status if the kernel still knew it, else as unknown,
//  5. asks the provider for the list, and only then stops what is not wanted, restarts what has changed and starts what
//     is missing.
//
// Survivors keep their ports before any new lease is given. What cannot be read is reported and costs a counter at
// most.
package supervisor
