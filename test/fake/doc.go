// Package fake stands in for the world outside a supervisor: processes, ports, probes, a desired list and a memory that
// a test holds in its hand. It is for procman's own tests and for those of a program that embeds procman.
//
// Invariants:
//   - Each fake keeps its contract: a second live process of one instance, a shared port or a signal to a process that
//     is gone fails the test.
//   - Nothing in here needs real time. A [World] belongs into a testing/synctest bubble, where hours pass in
//     milliseconds.
//   - Processes outlive the supervisor, as real ones do: [World.KillManager] and [World.StartManager] are how adoption
//     is tested.
package fake
