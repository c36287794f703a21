package test

import (
	"strconv"
	"testing"

	"go.uber.org/goleak"

	"procman/test/fake"
)

// TestMain makes the test binary a server, too: real processes for the tests that need some.
func TestMain(m *testing.M) {
	fake.Server()
	fake.Unlogged()
	goleak.VerifyTestMain(m)
}

func itoa(n int) string { return strconv.Itoa(n) }
