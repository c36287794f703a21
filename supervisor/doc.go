// Package supervisor holds the root of the supervision tree: it compares the desired list with what runs, spawns one
// instance actor for each instance, and applies the restart policy. Supervisor is the handle an embedding program holds.
//
// Invariants:
//   - What to do is decided in supervisor/plan; the root carries it out. After every event it compares wish and fact again.
//   - State belongs to the root actor alone. Reads (Status, Lookup) take a snapshot and never wait for its mailbox.
//   - Before a predecessor's survivors are known nothing is started, and before the first good list nothing is stopped.
//     A provider's error means "unknown", never "none".
//   - A report counts only if it comes from the instance's current actor. Only the root stops an instance actor, after
//     reading its last report; an actor that ends without one is lost, and its process is adopted by another.
//   - Stopping the root never stops a process. Only an instance that is not wanted is stopped.
package supervisor
