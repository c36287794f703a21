package test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"procman/test/fake"
)

func TestACrashedInstanceComesBackAfterItsBackoff(t *testing.T) { // 5.2 Restarting
	synctest.Test(t, func(t *testing.T) {
		w := fake.NewWorld(t, fake.Backoff(2*time.Second))
		w.Want("web", "db")
		first := w.Process("web")
		w.Answer(first, nil)
		first.Exit(1)
		w.Pass(2*time.Second - 1)
		require.Equal(t, 1, w.Spawns("web"), "not a nanosecond early")
		w.Pass(1)
		require.Equal(t, 2, w.Spawns("web"))
		require.Equal(t, 1, w.Spawns("db"), "siblings are not disturbed")
	})
}
