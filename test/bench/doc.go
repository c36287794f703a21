// Package bench measures the real daemon with many real children: how long until all are healthy, what the daemon costs
// while nothing happens, and how long it takes to find them again after kill -9.
//
//	go test ./test/bench -run '^$' -bench . -benchtime 1x
//
// PROCMAN_BENCH_INSTANCES is the number of children (default 100), PROCMAN_BENCH_IDLE how long the daemon is watched
// while nothing happens (default 10s). Nothing here asserts a time.
package bench
