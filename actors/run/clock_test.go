package run

import (
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// stepped is a reading of the clocks at the same moment, with the wall clock set by so much.
func stepped(t time.Time, by time.Duration) time.Time {
	layout := (*struct {
		wall uint64 // bit 63: a monotonic reading is there; then 33 bits of seconds, 30 of nanoseconds
		mono int64
	})(unsafe.Pointer(&t))
	layout.wall += uint64(int64(by/time.Second)) << 30
	return t
}

func TestTheWallClockHastensNoProbeNoDeadlineAndNoKill(t *testing.T) {
	const year = 365 * 24 * time.Hour
	began := time.Now()
	for _, by := range []time.Duration{0, year, -year} {
		at := func(d time.Duration) time.Time { return stepped(began.Add(d), by) }
		s, _ := play(begin(), began, Launched{})
		require.False(t, s.Deadline.Before(at(60*time.Second)))
		s, actions := play(s, at(time.Second), ProbeDue{s.ProbeAt}, bad)
		require.Empty(t, only[ReportUnhealthy](actions))
		require.Equal(t, 60*time.Second, s.Deadline.Sub(began))
		s, _ = play(s, at(2*time.Second), good)
		require.Equal(t, Running, s.Phase)
		require.LessOrEqual(t, s.ProbeAt.Sub(at(2*time.Second)), policy.Health.Interval)
		s, _ = play(s, at(3*time.Second), StopAsked{Grace: 10 * time.Second})
		require.Equal(t, 13*time.Second, s.KillAt.Sub(began))
		s, actions = play(s, at(4*time.Second), StopAsked{Grace: 10 * time.Second})
		require.Empty(t, actions, "a second stop comes no later")
		_, actions = play(s, at(13*time.Second), GraceOver{s.KillAt})
		require.NotEmpty(t, only[Signal](actions))
	}
}
