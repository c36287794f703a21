// Package place is the pure core of a fleet's placing: which host claims which instance, what it gives up, and why an
// instance is where it is.
//
// Invariants:
//   - No leader, no scheduler: each host computes by itself what it claims. Of hosts with the same view no two claim
//     the same instance, and what one of them has room for is claimed in the end. With different views the condition
//     of the transaction (Claim) lets at most one through: it names the epoch that it replaces, and the incarnation
//     that must be gone.
//   - An instance without a valid assignment is open: one that is not assigned, or one that may move and whose host's
//     incarnation is gone. Of the hosts that are fit (member, labels, room, not being drained, not just joined) one
//     has the turn: first the one where it was, if that is back, then by rendezvous hash of instance and host, the
//     next after a pause.
//   - Nothing moves because a host joins. What is assigned stays, until its host is lost, drained, or asked to
//     rebalance.
//   - The loss of a host costs each other host the work of what was assigned there, not of the whole list.
//   - No host claims more than it has room for, whatever it has seen of others: its claims under way count. Scarce
//     room goes first to what asks for labels.
//   - An instance that may not move is placed once. From then on it is bound to its host, also while that is dead: it
//     waits. Only its host takes it over from an earlier incarnation of itself, full or not, whatever its labels say
//     by now.
//   - Whether others may take over is what the assignment says (Bound), not what the list says by now: a host in a
//     partition may not have heard that what it runs unfenced may move. It says so itself, by a claim, before the
//     edit counts.
//   - A drain gives up what may move, once it is down, and others claim it at once. What may not move is stopped,
//     stays assigned, and waits there for the undrain: Why says so (Held).
//   - Nothing that is fenced is started on an assignment that this process has not written itself: a release of its
//     predecessor's, or one of its own whose end is not known, may be under way. It is claimed again, which changes
//     the epoch (Run.Start, Decide).
//   - What is neither fenced nor bound goes on until another has it (fence: none is "at least once").
//   - The hashes are the same in every version.
//
// # How the shell drives it
//
// One actor owns the Fleet. It fills it from a linearizable read (members that are there already with Since 0), then
// from a watch: SetMember, SetSpec, SetAssignment and their removals, in the order of their revisions. After a change
// and at Decision.Next it calls Decide, carries out claims and releases as transactions, at the pace it likes, and
// reports each: Claimed with the new epoch, RemoveAssignment with the revision, or Refused, also when the outcome is
// not known. What is read after an unknown outcome comes as SetAssignment, as ever. down, of Decide, is what the root
// says: nothing of the instance lives or is being started. Runs is the list that the provider pushes, together with
// member.State.Lists. After a watch that was compacted: a new Fleet, filled anew, once what is under way is answered;
// what lives goes on, as it does over a restart. Whether a run is fenced is what its own record says, not the list.
// Nobody deletes the assignment of another host's: delete takes the spec from the list, and the host gives up what it
// has once that is down.
//
// # Figures
//
// A million instances on a thousand hosts (go test -bench . -benchtime 10x, one core of a busy host): the loss of a
// host 0.1 to 0.3 ms, of half of the hosts at once 90 ms; the first decision over a million unassigned instances 80 to
// 160 ms, since a host looks at seven others, most of the time, to know that it is not the first; Why 0.5 ms; a
// decision when nothing has changed 10 µs. 152 B an instance, with a name of 17 letters.
package place
