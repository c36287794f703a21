package run

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"procman/messages"
)

func TestARunThatIsWellIsWatchedAndNobodyHearsOfItUntilItIsNot(t *testing.T) {
	s, actions := play(begin(), start, Launched{}, good)
	require.Equal(t, Running, s.Phase)
	require.Equal(t, []Action{ReportProbed(good), ReportReady{}, Watch{scheduleOf("web", policy.Health.Interval)}},
		actions)

	s, actions = play(s, start, bad)
	require.Equal(t, []Action{Unwatch{}, ReportProbed(bad), ArmProbe{start.Add(policy.Health.Interval)}}, actions)
	s, actions = play(s, start, ProbeDue{s.ProbeAt}, bad)
	require.Equal(t, []Action{ArmProbe{start.Add(policy.Health.Interval)}}, actions, "that it is as before is not told")
	_, actions = play(s, start, ProbeDue{s.ProbeAt}, good)
	require.Equal(t, []Action{ReportProbed(good), Watch{scheduleOf("web", policy.Health.Interval)}}, actions)
}

func TestAStartIsHeardOfWhenItIsWell(t *testing.T) {
	s, actions := play(begin(), start, Launched{}, bad, bad)
	require.Empty(t, only[ReportProbed](actions))
	_, actions = play(s, start, good)
	require.Len(t, only[ReportProbed](actions), 1)
}

func TestAnAdoptedRunIsWatchedOnceItIsKnownToBeWell(t *testing.T) {
	s := begin()
	s.Ready = true
	s, _ = play(s, start, Launched{})
	well, actions := play(s, start, good)
	require.True(t, well.Watched)
	require.Len(t, only[ReportProbed](actions), 1)
	sick, actions := play(s, start, bad)
	require.False(t, sick.Watched)
	require.WithinRange(t, only[ArmProbe](actions)[0].At, start, start.Add(policy.Health.Interval),
		"spread over the interval")
}

func TestAPolicyIsAppliedToTheWatch(t *testing.T) {
	s, _ := play(begin(), start, Launched{}, good)
	health := policy.Health
	health.Interval = time.Minute
	_, actions := play(s, start, PolicyChanged{health, policy.Start, policy.Stop})
	require.Equal(t, []Action{Watch{scheduleOf("web", time.Minute)}}, actions)
}

func TestAWatchEndsWithTheRunAndWithAStop(t *testing.T) {
	for _, e := range []Event{StopAsked{Grace: time.Second}, ProcessExited{Exit: clean}} {
		s, _ := play(begin(), start, Launched{}, good)
		s, actions := play(s, start, e)
		require.False(t, s.Watched)
		require.Len(t, only[Unwatch](actions), 1)
	}
}

// The probe that is told of may have been made for a watch that was replaced meanwhile.
func TestThereIsNoWatchBesideATimer(t *testing.T) {
	s, _ := play(begin(), start, Launched{}, good, PolicyChanged{policy.Health, policy.Start, policy.Stop})
	s, actions := play(s, start, bad)
	require.False(t, s.Watched)
	require.Equal(t, Unwatch{}, actions[0])
}

func TestASteadyProbeComesOnceInEveryIntervalAndInTheSameSlotOfIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		every := time.Duration(rapid.Int64Range(int64(time.Millisecond), int64(2*time.Hour)).Draw(t, "every"))
		s := Schedule{Every: every, Share: rapid.Float64Range(0, 0.9999).Draw(t, "share")}
		now := start.Add(time.Duration(rapid.Int64Range(-int64(time.Hour), int64(100*time.Hour)).Draw(t, "now")))
		width, period := s.slots()
		require.LessOrEqual(t, period, max(every, finest), "no less often than asked for")
		require.True(t, every < slots*finest || float64(period) > float64(every)*(1-1./slots), "and hardly more often")
		at := s.First(start, now)
		require.True(t, at.After(now) && at.Sub(now) <= period, "soon")
		require.Zero(t, at.Sub(start)%width, "in a slot that others share")
		took := time.Duration(rapid.Int64Range(0, int64(period)/2-1).Draw(t, "took"))
		require.Equal(t, period, s.Next(start, at.Add(took)).Sub(at), "a slow one delays nothing")
		late := time.Duration(rapid.Int64Range(0, int64(10*period)).Draw(t, "late"))
		next := s.Next(start, at.Add(late))
		require.Zero(t, next.Sub(at)%period, "in its slot, however late it was")
		require.Greater(t, next.Sub(at.Add(late)), period/2-1, "and never two in a row")
	})
}

func TestSlotsOfAllIntervalsBeginTogether(t *testing.T) {
	for every, width := range map[time.Duration]time.Duration{
		time.Millisecond: finest, time.Second: time.Second / 32, 10 * time.Second: time.Second / 2,
		15 * time.Second: time.Second / 2,
		time.Minute:      2 * time.Second, time.Hour: 128 * time.Second,
	} {
		got, _ := Schedule{Every: every}.slots()
		require.Equal(t, width, got, every.String())
	}
}

func TestEverySlotHoldsAFairShare(t *testing.T) {
	const instances = 1000
	each := map[time.Duration]int{}
	for n := range instances {
		s := scheduleOf(messages.InstanceID(fmt.Sprintf("web-%d", n)), 10*time.Second)
		each[s.First(start, start).Sub(start)]++
	}
	require.Len(t, each, 20)
	for slot, n := range each {
		require.InDelta(t, 50, n, 25, slot.String())
	}
}

func TestWhoseTheListenerIsIsProvedOnceAMinuteAtTheLeast(t *testing.T) {
	for _, every := range []time.Duration{time.Second, 10 * time.Second, 15 * time.Second, 45 * time.Second,
		time.Minute, time.Hour} {
		s := Schedule{Every: every}
		require.True(t, s.Proves(time.Time{}, start), "the first")
		proved := start
		for n := 1; n <= 200; n++ {
			now := start.Add(time.Duration(n) * every)
			require.LessOrEqual(t, now.Sub(proved), max(time.Minute, every))
			if s.Proves(proved, now) {
				require.GreaterOrEqual(t, now.Sub(proved), time.Minute/2, "and hardly more often")
				proved = now
			}
		}
	}
}

func TestTheProbesThatWereMissedDoNotComeAllAtOnce(t *testing.T) {
	s := scheduleOf("web", 10*time.Second)
	due := s.First(start, start)
	require.False(t, s.Missed(due, due.Add(time.Second)), "a busy machine")
	require.True(t, s.Missed(due, due.Add(time.Minute)), "one that stood still")
}
