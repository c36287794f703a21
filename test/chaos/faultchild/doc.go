// Faultchild is a servicehost that misbehaves as it is told, and keeps a ledger of its own life.
//
//	faultchild -wasm CONTROL -dbPath NAME -port PORT
//
// The file that -wasm names is its control file, see chaos.Control. The ledger is named by CHAOS_LEDGER: one line, written
// with one append, at its start, when it listens, at every signal and at its end.
//
// Invariants:
//   - It holds a lock of its own for its instance, beside the ledger, for life. Whoever finds it held says so in its start entry:
//     so an overlap of two processes is proven by the kernel, and no clock is asked.
//   - Signal handlers stand before the first line of the ledger is written.
//   - It is light: no net/http, one loop, some megabytes of memory.
package main
