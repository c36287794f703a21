// Package command runs a bounded command for the manager: for a while, with some output, and with the end of its whole
// group.
//
// Invariants:
//   - When [Run] has returned, nothing of the command's process group lives. Who has made a session of his own has left
//     it, and is not ended.
//   - The group is signalled only while its number cannot be another's: its leader is waited for, and reaped after the
//     last signal.
//   - The command dies with the manager, by whatever cause that ends: the kernel kills it with the thread that has
//     started it, so that thread waits for it. What the command itself has started and not ended may live on then.
//   - Nobody waits for the command: its input lies in a pipe before it starts, its output is read to the end whatever
//     is kept of it.
//   - What a command of a health check needs of this, which package spawn forks and waits for without a thread of its
//     own, is the same: [Alone], [Head] and [KillGroup].
//   - It is no instance: its environment is what the caller says, and the caller passes no tags.
package command
