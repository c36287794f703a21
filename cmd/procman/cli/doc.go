// Package cli is the command line of procman: [Main] runs one command, each of which is in a file of its own.
//
// Invariants:
//   - What a command is asked for goes to stdout, everything about it to stderr. The exit code says what came of it;
//     see the codes in exit.go.
//   - A command that is advised does what is said when it is typed there: what could be in its way is looked at first,
//     and it names the configuration and the socket that were named.
//   - A command that is given ids asks for these only; that none of them is unknown costs the whole list only if one
//     is.
//   - What goes on while the daemon is away (-f, --watch) does so by one loop, see reconnect.
//   - A disk that does not answer ends a command with its name; only the daemon waits for it.
//   - The environment is what the caller of Main says it is.
package cli
