// Package etcd is the store of a fleet, see package store, on etcd.
//
// It speaks etcd's gRPC interface (v3) by itself: a few messages of it, over the HTTP/2 of the standard library. The client
// of the etcd project (3.7.3) was measured first. Linked into procman it cost every host, one without a fleet too, 11.8 MB of
// the binary (20.7 MB without), 6.6 MB of the daemon's memory (20.3 MB PSS without, 0.9 of the 6.6 its own), and every command
// 19 ms of 30 to start, for the initialisation of 72 packages. It also authenticates anew for each renewal of a lease, and
// renews without a pause while there is no leader. The module in test/etcd holds this package to the contract against
// etcd's own server.
//
// What always holds:
//   - A server is asked for its version before it is asked for anything else, on each new connection. One that is older
//     than 3.6.5 is not used: it may answer the renewal of a lease that it has revoked.
//   - What changes anything is sent to another server only if the first one has not got it for sure: no connection was made, or
//     the server said that it has no leader, which it does before it looks at the request.
//   - What may be sent twice (reads, renewals, grants) is given to the next server if one does not answer in time. The connection to
//     one that did not answer is not trusted again: the next call makes a new one.
//   - The password, the certificates and the key are read when they are needed: who replaces the files restarts nothing.
//   - Nothing is left after Close: no connection, no goroutine.
package etcd
