// Servicehost runs one WebAssembly application with a SQLite database of its own behind an HTTP port. It is a
// reference: the smallest host that keeps what is promised here.
//
//	servicehost -wasm PATH -dbPath NAME -port PORT
//
// GET /api/status is the host's own: 200 while the module is loaded and the database answers, else 503 with the cause.
// It never calls into the module and never waits for a request. Every other request is the module's: package guest says
// how.
//
// Invariants:
//   - The port is bound last, when the module has been compiled, instantiated and set up and the database answers. A
//     refused connection means "starting", a port that answers is a service that works. (Bound first, a probe would
//     hang in the backlog or learn nothing more than a refusal says. The price is that a port in use is noticed after a
//     cold compilation.)
//   - One request at a time in an instance: wasm is single-threaded. Up to four instances are made, when they are
//     needed, from one compiled module. One that traps, exits or exceeds its 30 seconds is closed and replaced; the
//     client gets a 500 or a 504, a 504 also if no instance was free in that time. An instance's memory is bounded (128
//     MiB) and never shrinks.
//   - A client that goes away does not end its request: ending a running instance means throwing it away.
//   - The database survives kill -9: WAL, synchronous=FULL. Each instance has a connection of its own. The module sees
//     that database and no other file, no socket and no environment variable: connections may attach no other database,
//     which refuses VACUUM, too.
//   - The status notices a database file that was damaged or removed, not one that was replaced by another.
//   - TERM and INT: no new connections, running requests get five seconds, then their connections are closed; the
//     database is closed, exit 0. A second one ends the process at once.
//
// Exit codes: 0 stopped as asked, 1 other, 2 usage, 3 the wasm file is missing or unusable, 4 the database cannot be
// opened, 5 the port is in use.
//
// A module's loops look at every turn whether they are to end, which makes ordinary code three times and a tight loop
// forty times slower. Without that an endless loop could not be ended and would stop the host's garbage collector and
// its status.
//
// Compiling a Go module takes one to two seconds of processor time; what comes of it is kept in -cache (default:
// .servicehost-cache beside the database), a file for each module and kind of machine, so the next start takes
// milliseconds. Any number of processes may share the directory. If many start a module for the first time, one
// compiles it and the others wait for that, at most two minutes, then they compile it for themselves. A file gets its
// name when it is whole, and has a checksum: one that is damaged is reported and made again. A directory that cannot be
// used is reported and done without. Above 2 GiB those files go that were not used for the longest time; deleting or
// replacing them is safe at any time. Changing one in its place is not: it is mapped. It holds code that will be
// executed: only the user of the process may be able to write there.
//
// Memory, with the guestbook: about 7 MB for each of many hosts, 20 MB for a single one. What can be is mapped from the
// file in the cache (on Linux), so that all hosts have it once and only if it is used: the machine code, which is four
// times as large as the module, and what an instance's memory begins with. After five seconds without a request all
// instances but one are ended and memory is given back. One thing here wazero has no public way for, to let it take
// machine code from elsewhere than its own cache, which would read it into memory of each process: see machineStore.
//
// A start whose module is in the cache takes as long as loading a Go program of this size, and as much again. Built
// with CGO_ENABLED=0 it takes a tenth less: nothing here needs C, but package net would use it. go test -bench .
// measures starts and memory.
//
// SQLite is modernc.org/sqlite, translated to Go, so the build needs no C compiler. github.com/ncruces/go-sqlite3
// measured the same in speed (12 µs per insert without fsync, 5 µs per select, 4 ms to open), memory and build time; it
// makes the program 3 MB larger.
package main
