package engine_test

import (
	"testing"

	"go.uber.org/goleak"

	"procman/test/fake"
)

// TestMain makes the test binary a server, too.
func TestMain(m *testing.M) {
	fake.Server()
	fake.Unlogged()
	goleak.VerifyTestMain(m)
}
