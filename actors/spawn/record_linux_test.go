package spawn

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestAStatOfAnyProgramNameIsRead(t *testing.T) {
	rest := " S 1 77 78 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 9 10 11 1 1 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 256\n"
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.String().Draw(t, "name")
		s, err := parseStat([]byte("42 (" + name + ")" + rest))
		require.NoError(t, err)
		require.Equal(t, stat{state: 'S', group: 77, session: 78, start: 987654, status: 256}, s)
		_, err = parseStat([]byte(name))
		require.Error(t, err)
	})
	own, err := procfs("/proc").stat(os.Getpid())
	require.NoError(t, err)
	require.WithinRange(t, sinceBoot(own.start), time.Now().Add(-time.Hour), time.Now().Add(time.Second))
}

func TestATimeSurvivesInTheRecordOfThisBoot(t *testing.T) {
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
