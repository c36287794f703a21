package test

import (
	"strconv"
	"testing"

	"go.uber.org/goleak"

	"procman/test/fake"
)

// fewer is so many, and under -short, which is for the race detector, only short: with it each takes tens of times
// longer, and it finds nothing in a thousand that it does not find in some.
func fewer(many, short int) int {
	if testing.Short() {
		return short
	}
	return many
}

// TestMain makes the test binary a server, too: real processes for the tests that need some.
func TestMain(m *testing.M) {
	fake.Server()
	fake.Unlogged()
	goleak.VerifyTestMain(m)
}

func itoa(n int) string { return strconv.Itoa(n) }
