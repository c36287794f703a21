// Package fleet is a host of a fleet: it keeps the instances of a list that many hosts share running here that are this
// host's, and nowhere twice.
//
// Invariants:
//   - One actor owns all that is known of the fleet. It decides by two pure cores, member (may what is fenced run here,
//     and until when) and place (which instances are whose), and carries out what they say. It never blocks: the store,
//     the disk and the leash are asked beside it, each question with an end.
//   - Every start of an instance of the fleet passes the gate: it is on this host's list, under the epoch that the list
//     was made of; what is fenced also needs a lease with time left, a leash, its mark on disk and the start lock, in
//     the order deadline, leash, mark, question, fork.
//   - Nothing is given back while anything of it lives here or is being started. What lives is told by the spawner and
//     by the root's own transitions, what is being started by the gate; whoever leaves the list is refused before he is
//     looked at.
//   - What is this host's is on disk, one file an instance, before it is on the list. So a daemon that begins while the
//     store does not answer goes on with what it had: what may not move for ever, what is fenced until the deadline of
//     its predecessor.
//   - The list is given to the supervisor once what survived is known, and not before: what lives would be taken for
//     what nobody wants.
//   - What the host's own configuration lists is none of the fleet's business, and neither is in doubt because of the
//     other.
//   - A text of the list that this host cannot read changes nothing of what runs.
//
// The store is package store's, the leash package leash's. The daemon wires them: Open, then a supervisor of Provider,
// Spawner and Observer; Leave before a shutdown, Detach before a daemon ends that leaves its instances running, Close.
package fleet
