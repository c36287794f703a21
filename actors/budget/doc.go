// Package budget keeps apart what the manager needs to be in control, and what its instances use up.
//
// Invariants:
//   - Before a start there is a look whether descriptors and processes are left for it beyond what is kept for control:
//     to answer, to read output, to probe, to stop. A start for which there is no room is refused, as the host's fault,
//     before it has used anything. So control and what is controlled never compete for the last descriptor.
//   - Starts that are under way are counted as if each had all it may ever need, so that many at once fit as well.
//   - What is adopted runs already: it needs a descriptor to be held, and no more. If that would be taken out of the
//     reserve it runs on unheld, see Room, and is taken over when there is room, or when it is to be ended: for that
//     the reserve is.
//   - What has no limit, or one that cannot be read, limits nothing here: then the kernel says so in its own way, and
//     the start waits all the same.
//
// Facts that forced this (measured, Linux 6.18, Go 1.26):
//   - Go's runtime ends the program when the kernel refuses it a thread (EAGAIN at the limit of a user's processes, or
//     of a cgroup's). It never gives back a thread it has. So some are made while there is room, see Threads.
//   - accept fails with EMFILE also if nobody has called. A listener that waits is no proof of a free descriptor.
package budget
