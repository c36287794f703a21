// Package systemd tells a service manager how a daemon is, and has it keep process handles from one daemon to the next.
//
// Invariants:
//   - Nobody waits for the service manager: messages wait in a [Queue], in their order, and are told later if it must
//     be.
//   - What a [Notifier] tells follows from what the service manager has been told and how the daemon is now, see
//     daemonState.
//   - A sign of life is given only while the root actor answers: a manager that supervises nothing is to be replaced.
//   - What instances print has a class of priorities of its own in the journal, so that none of them silences the
//     daemon.
//   - The variables of a service manager are for this process only; no child gets them. Without a service manager
//     everything here does nothing.
package systemd
