// Command procman keeps a declared list of application instances running on this host. It is the daemon (`procman run`) and
// the command line that speaks to it.
//
// Invariants:
//   - Wiring only: what is decided is decided in the packages it wires. The parts are opened in one order and closed in
//     the reverse one.
//   - What a command is asked for goes to stdout, everything about it to stderr. The exit code says what came of it; see
//     the codes in exit.go.
//   - Nothing that happens to the daemon's stderr reaches supervision: records wait in a bounded backlog, and what finds
//     no room is counted and reported.
//   - The service manager is told everything in order, later if it must be, and nobody waits for it. What instances print
//     has a share of its own of whatever carries records: the backlog's half, and in the journal a class of priorities, so
//     that none of them silences the daemon.
//   - Any path may lie on a disk or mount that never answers. Whoever touches one notes it (touches): a command gives up with its
//     name, and a daemon, which goes on waiting, says for what, and can be told to end. What could not be written is written later
//     by itself (untilWritten).
//   - A command that is advised does what is said when it is typed there: what could be in its way is looked at first, and it
//     names the configuration and the socket that were named.
//   - However the daemon ends, processes are stopped only if that was asked for.
//   - A name is no possession: a path, a link, a socket or a working directory may mean another thing by now. What is used again
//     is looked for again and compared, and what was held goes on being used until then.
//   - Who takes over from another daemon has instances to watch: an address that it cannot have ends it no more than one that is
//     taken from it later. Who begins anew is told.
package main
