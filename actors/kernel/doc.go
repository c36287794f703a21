// Package kernel is the one place that reads processes out of /proc and asks the kernel for sockets, and the one place
// that says whose processes are.
//
// Invariants:
//   - Judge and Circle are pure: they know nothing but the evidence they are given. Adoption, upgrade, health, stop,
//     shutdown and doctor ask them, so that what one of them calls ours is ours to all.
//   - Identity has three answers: ours, a stranger, cannot tell. That nothing proves a process ours is no proof that
//     ours has ended: a program may clear its environment, close every descriptor, change its user, or live where /proc
//     does not show it. In doubt nobody starts another, nobody signals, and it is said which process is meant.
//   - To belong to a run is not to be its process: a helper carries the tag, may have a session of its own and even the
//     lock. The process of a run is told by its pid on record, or by what its lock says.
//   - What was read of a pid is true of whatever has that pid now. Who acts on it opens a pidfd first and compares
//     after.
package kernel
