// Package api is how the daemon is spoken to from outside: HTTP and JSON over a unix socket, the server and its Go
// client.
//
// Invariants:
//   - Only the user the daemon runs as, and root, are answered: the socket has mode 0600, and the kernel is asked who
//     is at the other end of every connection. On TCP it is whoever shows the token, and asks for a host that can only
//     be this one. Who shows the token of readers, or is in the group of them (the mode is 0660 then), may ask for what
//     changes nothing. Anybody else, and they for anything else, get a 403 with its cause and are disconnected. Who
//     asks is told to the supervisor, and stands in the event log.
//   - Nobody who calls can harm the daemon. Connections, output streams, headers, bodies and times are bounded; a
//     reader who does not read is dropped, and harms nobody else. Reads never wait for the root's mailbox.
//   - Every response but a stream and the metrics is one JSON document; an error is {"error": TEXT, "code": CODE} with
//     a status to match, also for paths and methods that do not exist.
//   - A command is answered when it is decided, not when it is done. A shutdown is answered before it begins.
//
// openapi.yaml describes it all, and a test holds it to the code.
//
// Facts that forced choices: a socket is created with the mode that the umask leaves, and the umask belongs to the
// whole process; so it is bound under another name, given its mode, and renamed to its place, which also replaces the
// socket of a daemon that was killed without an instant in which there is none. The address of a unix socket holds 107
// bytes, so a longer path is refused with advice instead of an "invalid argument".
package api
