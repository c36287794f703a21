// Package events keeps the event log: who did what, why and when, in a bounded file that outlives the daemon.
//
// Invariants:
//   - No lock that whoever tells of an event takes is held over a call to a file system: a disk that stalls stalls the
//     writer and readers, and nobody else.
//   - Whoever tells of an event never waits: events are queued, and one goroutine writes what waits with one write.
//     What finds no room, or cannot be written, is counted, and an event "events lost" says so as soon as there is one
//     again.
//   - A line is an event: JSON, with its cursor first. Cursors only grow, also over restarts of the daemon, over a log
//     that was deleted, and over a torn or damaged one; they may leave numbers out.
//   - A reader who comes back with the last cursor it has seen misses nothing and sees nothing twice. If what came
//     after it is gone, an event "events lost" says so.
//   - When the file has grown beyond its bound, its newest half takes its place by a rename. Readers go on in the
//     file that they have opened to its end, and then in the new one: they never hold up the writer.
//   - Lines that are no events are passed over. No damage to the file keeps the daemon from running.
//
// Nothing is synced: the page cache outlives the daemon, and after a crash of the host the last seconds may be missing.
package events
