// Package runas starts a command as `process:` of its instance says: as which user and group, with which umask,
// niceness, OOM score and limits.
//
// Invariants:
//   - What is asked for holds before the first instruction of the program, or there is no process.
//   - Nothing of this process changes, at no moment: other starts, the manager's files and its limits are as ever.
//   - A command without any of it is started as by its own Start: no thread, no system call more.
//   - What can be known before the fork is: that there is such a user, and that this process may do what is asked for.
//
// Facts that forced the choices:
//   - A umask belongs to all threads of a process, unless one takes a file system context of its own: so such a command
//     is forked by a thread that is made for it and ends with it.
//   - Limits and the OOM score belong to a process, not to a thread: they are set in the child, which a trace holds at
//     the end of its exec. A program in between (sh, prlimit) would cost another exec and hide what exec has refused,
//     and a helper of our own would have to be part of whoever embeds this.
//   - If the manager is killed while the trace holds the child, the child ends by that exec's SIGTRAP: it has executed
//     nothing.
//   - What a user may read or enter only the kernel knows (ACLs, capabilities, mounts): a thread that ends with it asks
//     as that user.
package runas
