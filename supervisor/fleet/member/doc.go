// Package member is the pure core of a host's life in a fleet: when it is a member, and until when what is fenced may
// run on it.
//
// Invariants:
//   - Step(state, now, event) returns the new state and the actions to carry out. There is no clock, no file, no
//     goroutine in here. now and all times are CLOCK_BOOTTIME, so that a host that slept has not stood still.
//   - Every pair of event and phase has a cell in the table. "." is expected and ignored, "!" cannot happen: it
//     changes nothing and is reported as a bug. What time alone has ended is ended before an event is looked at.
//   - The deadline is T0 + 99 % of the TTL, T0 being the now of the step that asked for the renewal: before it was
//     sent. The answer's own time counts nowhere. So the deadline is never later than the end of the lease, as long
//     as the store's clock goes no more than 1 % faster than the host's.
//   - A renewal counts once its record is on disk: what the leash reads is never later than what a renewal allows,
//     and what this state says is never later than what the leash reads. A full disk is a renewal that was not
//     answered.
//   - A renewal counts only while a leash lives. Nothing is started without one.
//   - A successor goes on with the record of its predecessor and extends nothing: of another boot, too old, void or
//     missing, it is worth nothing, and then what is fenced is ended before a lease is asked for.
//   - A lease that can be renewed has never ended, so nobody has taken anything over: a host comes back from Yielding
//     and from Fenced with the incarnation that it had.
//   - Nothing is given back, not an assignment and not the lease, before a void record is on disk: a request may
//     arrive after the death of who sent it, and would take from under its successor what that goes on with. For the
//     same reason a lease that is given up is not revoked; it ends by itself.
//   - Only Leave gives back. A host that may not run what is fenced, and has a leash and a disk, keeps the lease and
//     comes back; one that has not lets the lease end, so that others take over.
//
// # The schedule
//
// After T0 of the newest renewal that counts, with fleet.ttl 9s and fleet.grace 1500ms (NewSchedule has the formulas):
//
//	renewals every 2 s | 4 s suspect | 6 s fenced instances leave the list, TERM | 7.5 s KILL by the root |
//	8.5 s KILL by the leash | 8.91 s deadline | 9 s the lease ends, others take over
//
// # How the shell drives it
//
// One actor owns the State. It reads BOOTTIME, calls Step, carries out the actions in their order, and keeps one
// timer (Arm).
//
//   - Begin(boot id, schedule), then LeashUp or LeashGone (is the leash's flock held?), then Loaded. A fenced
//     survivor whose run names another incarnation than the record makes the record worth nothing: give Loaded an
//     empty one.
//   - Grant, Renew, Register, Release, Revoke are requests of their own, each answered by one event, with a timeout
//     of Schedule.Suspect, none waiting for another. LeaseLost is the store's own "no such lease" and nothing else: a
//     timeout, a refused connection or a store without a leader is RenewFailed. Register is the transaction
//     "host/NAME does not exist: create it with the incarnation, under the lease", or finds it with that incarnation,
//     then a linearizable read of the assignments; with another incarnation it is NameTaken. That is also what a
//     watch says that sees such a key.
//   - Persist goes to one writer, which writes in order. A write that hangs is not given up: it may happen yet, and
//     the next one after it. Persisted is durable: fsync of the file and of the directory.
//   - Admit and End change the list that the provider pushes: what is fenced is on it while Lists. End.By is for the
//     root: the grace of a stop is what is left until then. Down{Round} is answered once nothing fenced lives or is
//     being started; if that is so already, at once.
//   - A start asks MayStart right before the fork, with a BOOTTIME read there, and holds the leash's start lock
//     (shared, not inherited) from before the question until the run is on record. The leash takes that lock
//     exclusively when it kills; if it cannot, it kills the daemon as well: one that was frozen between question and
//     fork would start without a lease an hour later. The model finds that.
//   - Whether a fenced process is started needs, beside MayStart, an assignment that this process has claimed itself
//     (place.Run's Start): a release that its predecessor sent may still be under way, and is overtaken by the new
//     epoch.
//   - The leash reads the record when it is woken and sleeps until its KillAt. A record that is missing, void,
//     unreadable or of another boot means now. From KillAt on it kills every fenced run it finds, again and again,
//     until the record says otherwise. As a void record moves KillAt forward, it looks at least every second.
//   - Detach is the last event of a daemon that ends and leaves all as it is; the record stays. Leave: go on until
//     Gone.
//   - Next may be set to another schedule between two steps. A lease keeps that under which it was granted, also over
//     a restart.
//
// What it cannot do: a daemon and a leash that stop at the same moment with the host going on (a VM that is paused)
// are fenced by no clock of their own.
//
// # The table
//
//	| event | new | out | joining | in | suspect | yielding | fenced | leaving | gone |
//	|---|---|---|---|---|---|---|---|---|---|
//	| Loaded | resume; else end survivors; else join | ! | ! | ! | ! | ! | ! | ! | . |
//	| LeashUp | note | note, join | note | note | note | note | note | note | . |
//	| LeashGone | note | start another | start another, count no answer | start another, count no answer | start another, count no answer | start another, count no answer | -> out | start another, count no answer | . |
//	| Granted | ! | . | persist | . | . | . | . | . | . |
//	| GrantFailed | ! | . | -> out, join later | . | . | . | . | . | . |
//	| Renewed | ! | . | persist | persist | persist | persist | persist | persist, until all is down | . |
//	| RenewFailed | ! | . | note | note | note | note | note | note | . |
//	| LeaseLost | ! | . | -> out | void, end now -> yielding | void, end now -> yielding | void, end now | -> out | void, end now | . |
//	| Persisted | ! | note | count, register | count, register | count, register -> in | count, admit -> in | count, admit -> in | count; a void one: release | . |
//	| PersistFailed | ! | note | say | say | say | say | -> out, join later | say; a void one: -> gone | . |
//	| Registered | ! | . | admit -> in | starts are allowed | starts are allowed | note | note | . | . |
//	| RegisterFailed | ! | . | say, again after a renewal | say, again after a renewal | say, again after a renewal | . | . | . | . |
//	| NameTaken | ! | . | say, again after a renewal | void, end now -> yielding | void, end now -> yielding | void, end now | -> out | void, end now | . |
//	| Tick | . | start a leash; ask for a lease -> joining | renew; in vain for too long -> out | renew; -> suspect; end -> yielding | renew; end -> yielding | renew; say what is overdue | renew; the disk does not answer -> out | renew; press on; say what is overdue; go on without an answer | . |
//	| Down | . | . | . | . | . | -> fenced; without a lease -> out | . | void; without a lease -> gone | . |
//	| Leave | -> gone | -> gone | void -> leaving | end all -> leaving | end all -> leaving | end all -> leaving | end all -> leaving | . | . |
//	| Released | . | . | . | . | . | . | . | revoke | . |
//	| Revoked | . | . | . | . | . | . | . | -> gone | . |
//	| Detach | -> gone | -> gone | -> gone | say when the leash kills -> gone | say when the leash kills -> gone | say when the leash kills -> gone | -> gone | say when the leash kills -> gone | . |
package member
