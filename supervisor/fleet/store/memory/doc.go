// Package memory is the store of a fleet in memory, for tests: of the same contract as the real one, and deterministic.
// It can lose calls and answers, be slow, elect a leader and forget, when a test wants that.
//
// State is the store as a value, for models: nothing in it waits, and time is an argument. Server shares one between
// Clients, each of which is what one host sees of it. A Server reads time.Now, so that it lives by the fake clock of a
// testing/synctest bubble, or a clock of the test's own.
package memory
