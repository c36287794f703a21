// Package etcd is the store of a fleet, see package store, on etcd, by the client of the etcd project (client/v3).
//
// It is linked into procman-fleet only, which `procman run` executes on a host that is in a fleet. Linked into procman
// the client cost every host, one without a fleet too, 11.8 MB of the binary (20.7 MB without), 6.6 MB of the daemon's
// memory (20.3 MB PSS without, 0.9 of the 6.6 its own), and every command 19 ms of 30 to start, for the initialisation
// of 72 packages.
//
// What always holds:
//   - A server is asked for its version before it is asked for anything else, on each new connection. One that is older
//     than 3.6.5 is not used: it may answer the renewal of a lease that it has revoked.
//   - What changes anything is sent to another server only if the first one has not got it for sure: no connection was
//     made, or the server said that it has no leader, which it does before it looks at the request.
//   - What may be sent twice (reads, renewals, grants) is given to the next server if one does not answer in time. The
//     connection to one that did not answer is closed, with what is under way on it: the next call makes a new one.
//   - Every call and every watch wants a server that has a leader: one that was cut off from the others answers
//     nothing.
//   - The password, the certificates and the key are read when they are needed: who replaces the files restarts
//     nothing.
//   - Nothing is left after Close: no connection, no goroutine.
//
// How the client is used, and why:
//   - One client for each server, over one connection. A client of several servers chooses by itself which one it asks,
//     and asks one whose version nobody has looked at; one whose connection ends makes another one to what may be
//     another server.
//   - It sends nothing again by itself (MaxUnaryRetries 1: its policy, "repeatable" and "nonRepeatable", is not used).
//   - KeepAliveOnce asks again without a pause as long as it gets "no leader". Here it is one attempt (once.go), and
//     who paces attempts is Store.ask. Each has a deadline: that of its caller, and Options.Patience if there is
//     another server.
//   - It is told of no user: it would authenticate anew for each stream, and KeepAliveOnce opens one for each renewal,
//     which costs the server a bcrypt each. The token is got once, and anew when a server does not know it any more
//     (token.go).
//   - A watch is a stream of the client's connection. The client's Watcher goes on by itself on a server that may be
//     cut off.
//   - It logs nothing. What is worth a line is logged here.
package etcd
