// Command etcd is an etcd for tests and for the demonstration of a fleet: one member or three in one process, on
// loopback addresses, with their data where it is told. It is a module of its own, so that no server is in the graph of
// procman's.
//
//	cd test/etcd && go build -o etcd . && ./etcd -dir DIR -port 2379 [-members 3]
//
// It prints a line with the endpoints, separated by commas, when it serves, and ends with SIGTERM, SIGINT or when its
// stdin ends, if that is a pipe.
package main
