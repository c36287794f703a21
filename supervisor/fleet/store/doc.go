// Package store is what a fleet needs of the store that its hosts share, in values: leases, linearizable reads,
// transactions and watches. Package etcd has it from etcd, package memory in memory, and package storetest holds both
// to one contract.
//
// What always holds of a Store:
//   - A read is linearizable: it shows whatever had been acknowledged to anybody before it began.
//   - A transaction happens as a whole, at one revision, or not at all. Revisions grow with every change of any key, by
//     one.
//   - A call that ends without an answer is ErrUnavailable, and what it asked for may have happened, or may happen yet:
//     who needs to know reads. Nothing that changes anything is sent a second time by itself.
//   - A lease lasts for its TTL at least, counted from when the store took the Grant or the last KeepAlive, which is
//     after the call began. So who measures before he calls never believes in a lease for longer than the store does.
//     What is bound to it goes in one change, later than that or with Revoke.
//   - A watch tells every change after the revision it was given, in order and once, or ends and says that it cannot.
//   - Every call ends with its context at the latest. A call that was given none with a deadline may wait for ever.
package store
