// Package fleet proves a fleet with the real programs: procman-fleet on three hosts, their leashes, etcd, and a network
// between them that fails. A host is a state directory and ports of its own, and, for root, a network namespace.
//
// The proof is a ledger that the instances write themselves: who they are, under which epoch they were started, when,
// and that they still live, every 20 ms, all by CLOCK_BOOTTIME. Of no instance, whether it may move or not, two
// processes ever lived at one time, and one that may not move never ran on a second host.
//
//	go test ./test/fleet                                            the directed tests, of each the first case, and two short rounds
//	PROCMAN_FLEET_ROUNDS=1 go test ./test/fleet                     every case, and one long round
//	PROCMAN_FLEET_ROUNDS=200 go test ./test/fleet -run Whatever -v  many, and how long a takeover takes
//	PROCMAN_FLEET_SEED=N go test ./test/fleet -run Whatever -v      one again
//
// A round that failed says with which PROCMAN_FLEET_STEPS it did. PROCMAN_FLEET_TTL is that of the lease, and
// PROCMAN_FLEET_BIN a directory with procman, procman-fleet and etcd, which are built otherwise.
package fleet
