// Package leash ends what a host of a fleet may not run any more, whether its daemon lives or not.
//
// A fenced run is one that another host starts when this one's lease is over. The daemon writes by when it must have
// ended: the record of its lease, see member.Record. The leash is a process of its own, one for a state directory, that
// sleeps until then. It is the same binary, and knows nothing of the fleet, of etcd or of the configuration. Guard is
// what the daemon has of all this.
//
// What always holds:
//   - A deadline is in CLOCK_BOOTTIME, which goes on while the host sleeps and which nobody sets. It moves only when it
//     is written, and one that could not be written, or of which half was, leaves the one before in force, which is
//     earlier.
//   - No deadline that can be read, one of another boot, a void one, or one that says it was asked for later than now,
//     is one that has passed.
//   - An instance is fenced from Fence to Unfence. Fence comes before its process is started and Unfence after nothing
//     of it lives. That its mark cannot be read makes it no less fenced. A process that shows EnvFence is fenced
//     without a mark, too: the state directory may be gone.
//   - At the deadline everything of a fenced run is sent KILL: its process by its record and its pidfd, its group, and
//     what belongs to it, see kernel.Circle; then what shows the tags of such a run. Strangers are not. It looks again
//     until nobody is left.
//   - Nothing fenced is begun after the deadline, also not by a daemon that was frozen between the question whether it
//     may and the fork. A start holds the start lock, shared, from before the question until it is on record
//     (Guard.Enter). The leash takes it for itself, for an instant: whoever asks after that is told no. From whom it
//     does not get it within half of what is left until others may start, that daemon it ends: the very process that
//     has written itself into the lock, and no other.
//   - As long as marks are there it looks at what is started all the same, five times a second: by a child of such a
//     daemon that hangs in its exec. Once no start is under way that is only who has executed no program yet; at all
//     others it looks every ten seconds.
//   - The disk may never answer. The processes are told by what they show without it, and nothing that is done to them
//     waits for it.
//   - What was ended is written down, see Ending, and the leash goes on living. It dies by KILL; TERM it obeys when it
//     guards nobody, and so it goes by itself when the state directory was removed: nobody can find it any more.
//
// Facts: the file of the deadline is written over in place, every two seconds, in one of two halves in turn. So a disk
// that is full stops no renewal, and nothing has to be made or renamed. The leash looks at it every second, as a void
// record moves the end forward. As pid 1 of a container a daemon is not ended by anybody in there: if it is frozen,
// only the last of the above holds.
package leash
