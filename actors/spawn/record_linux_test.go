package spawn

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"procman/actors/kernel"
)

func TestAProcessWasStartedSoLongAgo(t *testing.T) {
	t.Parallel()
	own, err := kernel.Procfs("/proc").Stat(os.Getpid())
	require.NoError(t, err)
	require.WithinRange(t, sinceBoot(own.Start), time.Now().Add(-time.Hour), time.Now().Add(time.Second))
}

func TestATimeSurvivesInTheRecordOfThisBoot(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64().Draw(t, "offset"))
		c := readClock()
		at := c.now.Add(d)
		later := clock{now: c.now.Add(5 * time.Second), mono: c.mono + int64(5*time.Second)}
		got := later.time(c.nanos(at))
		if d.Abs() < 100*365*24*time.Hour {
			require.Equal(t, at.UnixNano(), got.UnixNano())
		}
	})
	c := readClock()
	require.Nil(t, c.nanos(time.Time{}))
	require.True(t, c.time(nil).IsZero())
}
