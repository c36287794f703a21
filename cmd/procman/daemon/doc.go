// Package daemon is the process that keeps instances running: the parts of a daemon, opened in one order and closed in
// the reverse one, and how one daemon makes room for the next. [Options.Run] is all of it; the rest of what is exported
// is for those who look for a daemon, or for what one has left.
//
// Invariants:
//   - Wiring only: what is decided is decided in the packages that it wires.
//   - However the daemon ends, processes are stopped only if that was asked for.
//   - Nothing that happens to its stderr reaches supervision: records wait in a bounded backlog, and what finds no room
//     is counted and reported. What instances print has one half of it, so that none of them silences the daemon.
//   - Any path may lie on a disk or mount that never answers. Whoever touches one notes it ([PendingIO]): a command
//     gives up with its name, and a daemon, which goes on waiting, says for what, and can be told to end. What could
//     not be written is written later by itself (untilWritten).
//   - A name is no possession: a path, a link, a socket or a working directory may mean another thing by now. What is
//     used again is looked for again and compared, and what was held goes on being used until then.
//   - Who takes over from another daemon has instances to watch: an address that it cannot have ends it no more than
//     one that is taken from it later. Who begins anew is told.
//   - What one program leaves to the next goes through variables and descriptors of its own, which no child gets.
package daemon
