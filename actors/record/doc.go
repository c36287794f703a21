// Package record keeps small files below a directory that outlives us: sealed, replaced as a whole, read with doubt.
// And it opens what somebody else may have replaced, and waits for file systems that may never answer.
//
// Invariants:
//   - A record is the old one or the new one, whenever we die. One that is torn, cut, of another kind or another
//     version is an error, never a value.
//   - What we open is a regular file, or the error says what it is: to open a fifo waits for ever, a device does
//     something, and through a link root writes where somebody else wants it to. A new file is made beside the old one,
//     never written into one that was there.
//   - A file system may stall in the kernel for any time, and no flag of open, no signal and no deadline ends that. So
//     nobody on the way to a deed or to a report (a TERM, a death, an answer) waits for a disk: he hands that to a
//     Disk, which gives up waiting, and bounds how many threads a stalled file system can hold.
package record
