package member

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestTheDefaultScheduleIsTheOneThatIsPromised(t *testing.T) {
	s, err := NewSchedule(9*sec, 1500*time.Millisecond)
	require.NoError(t, err)
	require.Equal(t, Schedule{
		TTL: 9 * sec, Grace: 1500 * time.Millisecond, Renew: 2 * sec, Suspect: 4 * sec, Yield: 6 * sec,
		Kill: 8500 * time.Millisecond, Deadline: 8910 * time.Millisecond,
	}, s)
}

func TestAScheduleThatDoesNotFitIsRefusedWithOneThatDoes(t *testing.T) {
	for _, c := range []struct {
		ttl, grace time.Duration
		want       string
	}{
		{4 * sec, 1500 * time.Millisecond, "fleet.ttl 4s leaves no time to renew the lease beside fleet.grace 1.5s: " +
			"set fleet.ttl to 5s or more, or fleet.grace to 1s or less"},
		{9 * sec, 10 * sec, "fleet.ttl 9s leaves no time to renew the lease beside fleet.grace 10s: " +
			"set fleet.ttl to 14s or more, or fleet.grace to 6s or less"},
		{2 * sec,
			0, "fleet.ttl 2s leaves no time to renew the lease beside fleet.grace 0s: set fleet.ttl to 3s or more"},
		{9500 * time.Millisecond, sec, "fleet.ttl is 9.5s: a lease is counted in whole seconds, say 10s"},
		{0, 1500 * time.Millisecond, "fleet.ttl is 0s: it must be at least 5s"},
		{9 * sec, -sec, "fleet.grace is -1s: it cannot be negative; 0s is KILL at once"},
	} {
		_, err := NewSchedule(c.ttl, c.grace)
		require.EqualError(t, err, c.want)
	}
}

func TestWhatAScheduleIsAdvisedToBeFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		grace := time.Duration(rapid.Int64Range(0, int64(5*time.Minute)).Draw(t, "grace"))
		shortest := least(grace)
		s, err := NewSchedule(shortest, grace)
		require.NoError(t, err)
		_, err = NewSchedule(shortest-sec, grace)
		require.Error(t, err)

		ttl := time.Duration(rapid.Int64Range(1, 600).Draw(t, "ttl")) * sec
		if s, err = NewSchedule(ttl, grace); err != nil {
			return
		}
		for _, pair := range [][2]time.Duration{
			{leastRenew - 1, s.Renew}, {s.Renew, s.Suspect}, {s.Suspect, s.Yield},
			{s.Yield + s.Grace + settling - 1, s.Kill},
			{s.Kill, s.Deadline}, {s.Deadline, s.TTL},
		} {
			require.Less(t, pair[0], pair[1], "%+v", s)
		}
		require.GreaterOrEqual(t, s.Yield, renewals*s.Renew)
	})
}
