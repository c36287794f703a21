// Command bench measures procman, the real daemon with real instances, against the limit: a C program
// (testdata/limit.c) that does nothing but start, reap, start again and probe, so that on this host and with this
// kernel nobody can be much better. Both live in the same run, in turn, with the same payload (testdata/payload.c), and
// what is printed are medians and ratios.
//
//	go run ./test/bench                                   # all measures, 1000 instances
//	go run ./test/bench -n 100,1000,10000                 # and how each grows
//	go run ./test/bench -n 1000 -only start,stop          # some, in less time
//	go run ./test/bench -procman old=/tmp/old -procman new=/tmp/new
//	go run ./test/bench -json                             # every single value
//
// Invariants:
//   - A payload says itself when it listens, on a board (board.go) in shared memory. Nobody asks it, so that whoever
//     measures takes no processor from what is measured. Its clock is CLOCK_MONOTONIC, as are those of the limit and of
//     the bench.
//   - A manager's memory and processor time are those of all processes of its executable, to the nanosecond.
//   - The daemon has its defaults, but for the period of the probes, and for stable_after: so a kill is answered at
//     once. Its log goes to a file.
//   - A life in which not everything happens that should is an error, not a figure: an instance that is started anew
//     while it should be adopted, one that outlives a stop.
//   - Whatever ends the bench but a KILL, no process and no file of it is left.
//
// What a reader in the same process pays is in `go test -run none -bench . ./test/bench`; parts of procman have
// benchmarks of their own beside them: `go test -run none -bench . ./actors/... ./supervisor/...`.
package main
