// Faultchild is a servicehost that misbehaves as it is told, and keeps a ledger of its own life.
//
//	faultchild -wasm CONTROL -dbPath NAME -port PORT [HABIT ...]
//	faultchild PORT [HABIT ...]
//
// The file that -wasm names is its control file, see chaos.Control, and the habits are chaos.Habits. The second form
// needs neither a control file nor a ledger: it is for a look by hand. The ledger is named by CHAOS_LEDGER: one line,
// written with one append, at its start, when it listens, at every signal and at its end.
//
// Invariants:
//   - It holds a lock of its own for its instance, beside the ledger, for life. Whoever finds it held says so in its
//     start entry: so an overlap of two processes is proven by the kernel, and no clock is asked. The processes that
//     its habits start inherit that lock: a worker that drains is the run as much as its master was, and a next run
//     beside it is one too many.
//   - Signal handlers stand before the first line of the ledger is written.
//   - It is light: no net/http, one loop, some megabytes of memory.
package main
