// Package leash ends what a host of a fleet may not run any more, whether its daemon lives or not.
//
// A fenced run is one that another host starts when this one's lease is over. The daemon writes by when it must have ended: the
// Deadline. The leash is a process of its own, one for a state directory, that sleeps until then. It is the same binary, and
// knows nothing of the fleet, of etcd or of the configuration.
//
// What always holds:
//   - A Deadline is in CLOCK_BOOTTIME, which goes on while the host sleeps and which nobody sets. It moves only when it is written, and
//     one that could not be written, or of which half was, leaves the one before in force, which is earlier.
//   - No Deadline that can be read, one of another boot, or one that says it was asked for later than now, is one that has passed.
//   - An instance is fenced from Fence to Unfence. Fence comes before its process is started and Unfence after nothing of
//     it lives. That its mark cannot be read makes it no less fenced. A process that shows EnvFence is fenced without a mark, too:
//     the state directory may be gone.
//   - At the deadline everything of a fenced run is sent KILL: its process by its record and its pidfd, its group, and what
//     belongs to it, see kernel.Circle; then what shows the tags of such a run. Strangers are not. It looks again until nobody is
//     left, and as long as marks are there it looks at what is started later: a daemon that was frozen on its way to a fork
//     finishes it when it wakes.
//   - The disk may never answer. The processes are told by what they show without it, and nothing that is done to them waits for it.
//   - What was ended is written down, see Ending, and the leash goes on living. It dies by KILL; TERM it obeys when it guards
//     nobody.
//
// Facts: the file of the deadline is written over in place, every two seconds, in one of two halves in turn. So a disk that is full
// stops no renewal, and nothing has to be made or renamed. Between deadlines the leash wakes once, to find it moved.
package leash
