package run

import (
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"procman/messages"
)

var (
	worker = messages.Member{PID: 7, Name: "worker"}
	helper = messages.Member{PID: 8, Name: "helper", Away: true}
	clean  = messages.Exit{Known: true, Reason: messages.ReasonExit}
)

func term(l messages.Leftovers) []Action {
	return []Action{Signal{syscall.SIGTERM, l}, Signal{syscall.SIGCONT, l}}
}

func TestWorkersThatOutliveTheFirstProcessKeepWhatIsLeftOfTheGrace(t *testing.T) { // F105
	s, actions := play(begin(), start, Launched{},
		good, StopAsked{Grace: 20 * time.Second, Leftovers: messages.LeftoversEnd})
	require.Equal(t, slices.Concat([]Action{Unwatch{}}, term(messages.LeftoversEnd),
		[]Action{ArmGrace{start.Add(20 * time.Second)}}), actions)
	rest := []messages.Member{worker, helper}
	s, actions = play(s, start.Add(time.Second), ProcessExited{clean, rest})
	require.Equal(t, Stopping, s.Phase)
	require.Equal(t, start.Add(20*time.Second), s.KillAt, "the grace is one for all")
	require.Equal(t, []Action{ReportLingers{Exit: &clean, Rest: rest}}, actions, "and nobody is signalled")

	ended, actions := play(s, start.Add(5*time.Second), RestChanged{})
	require.Equal(t, Exited, ended.Phase)
	require.Equal(t, []Action{Release{Exit: clean}}, actions)

	s, actions = play(s, s.KillAt, GraceOver{s.KillAt})
	require.Equal(t, Signal{syscall.SIGKILL, messages.LeftoversEnd}, actions[0])
	_, actions = play(s, s.KillAt, RestChanged{})
	require.Equal(t, []Action{Release{Exit: clean, Rest: messages.Rest{Killed: 2}}}, actions,
		"that it was forced is said")
}

func TestWhatOutlivesAProcessThatEndedByItselfIsKilledAtOnceAndThatIsSaid(t *testing.T) { // F105
	for _, events := range [][]Event{{Launched{}}, {Launched{}, good}} {
		s, _ := play(begin(), start, events...)
		s, actions := play(s, start, ProcessExited{clean, []messages.Member{worker}})
		require.Equal(t, Killing, s.Phase)
		if len(events) > 1 { // it was well
			require.Equal(t, Unwatch{}, actions[0])
			actions = actions[1:]
		}
		require.Equal(t, []Action{
			Signal{syscall.SIGKILL, messages.LeftoversEnd}, ArmGrace{start.Add(killAgain)},
			ReportLingers{Exit: &clean, Rest: []messages.Member{worker}, Killed: true},
		}, actions)
		_, actions = play(s, start, RestChanged{})
		require.Equal(t, []Action{Release{
			Exit: clean, Young: len(events) == 1, Rest: messages.Rest{Killed: 1, AtOnce: true},
		}}, actions)
	}
}

func TestWhatIsAwayIsLeftByPolicyAndNamedAndTheRestIsNot(t *testing.T) { // F106
	s, actions := play(begin(), start, Launched{},
		good, StopAsked{Grace: time.Second, Leftovers: messages.LeftoversLeave})
	require.Equal(t, term(messages.LeftoversLeave), actions[1:3])
	s, _ = play(s, start, ProcessExited{clean, []messages.Member{worker, helper}})
	require.Equal(t, Stopping, s.Phase, "a worker in the session is waited for")
	s, actions = play(s, start, RestChanged{[]messages.Member{helper}})
	require.Equal(t, Exited, s.Phase)
	require.Equal(t, []Action{Release{Exit: clean, Rest: messages.Rest{Left: []messages.Member{helper}}}}, actions)

	app := policy
	app.Stop.Leftovers = messages.LeftoversLeave
	crashed, _ := play(Begin(&app, false), start, Launched{}, good)
	_, actions = play(crashed, start, ProcessExited{clean, []messages.Member{helper}})
	require.Equal(t, []Action{Unwatch{}, Release{Exit: clean, Rest: messages.Rest{Left: []messages.Member{helper}}}},
		actions)
}

func TestAPolicyForLeftoversIsAppliedToTheRunThatLives(t *testing.T) {
	s, _ := play(begin(), start, Launched{}, good)
	stop := policy.Stop
	stop.Leftovers = messages.LeftoversLeave
	s, _ = play(s, start, PolicyChanged{policy.Health, policy.Start, stop})
	_, actions := play(s, start, ProcessExited{clean, []messages.Member{helper}})
	require.Equal(t, []Action{Unwatch{}, Release{Exit: clean, Rest: messages.Rest{Left: []messages.Member{helper}}}},
		actions)
}

func TestAProcessThatKillDoesNotEndIsReportedOnceAndNeverTakenForEnded(t *testing.T) { // FAULTS 42
	s, _ := play(begin(), start, Launched{}, good, StopAsked{Grace: time.Second})
	reports := 0
	for range 10 {
		var actions []Action
		s, actions = Step(s, s.KillAt, GraceOver{s.KillAt})
		require.Equal(t, Killing, s.Phase)
		for _, l := range only[ReportLingers](actions) {
			require.True(t, l.Stuck)
			require.Nil(t, l.Exit, "it has not ended")
			reports++
		}
	}
	require.Equal(t, 1, reports)
}

// A run is over exactly once, and not before all that must end have.
func TestARunIsNeverOverWhileSomebodyOfItLives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now, s := start, begin()
		s, _ = play(s, now, Launched{}, good)
		leftovers := rapid.SampledFrom([]messages.Leftovers{messages.LeftoversEnd, messages.LeftoversLeave}).Draw(t,
			"leftovers")
		members := func() (rest []messages.Member) {
			for n := range rapid.IntRange(0, 3).Draw(t, "members") {
				rest = append(rest, messages.Member{PID: 10 + n, Away: rapid.Bool().Draw(t, "away")})
			}
			return rest
		}
		releases := 0
		feed := func(e Event) {
			var actions []Action
			s, actions = Step(s, now, e)
			for _, a := range actions {
				switch a := a.(type) {
				case Release:
					releases++
					require.NotNil(t, s.Exit)
					require.Empty(t, s.bound())
				case Signal:
					require.NotZero(t, a.Signal)
				case Bug:
					t.Fatalf("%T in %s", e, s.Phase)
				}
			}
		}
		if rapid.Bool().Draw(t, "asked") {
			feed(StopAsked{Grace: time.Second, Leftovers: leftovers})
		} else {
			stop := policy.Stop
			stop.Leftovers = leftovers
			feed(PolicyChanged{policy.Health, policy.Start, stop})
		}
		if rapid.Bool().Draw(t, "grace over first") && s.Phase == Stopping {
			now = s.KillAt
			feed(GraceOver{now})
		}
		feed(ProcessExited{clean, members()})
		for range rapid.IntRange(0, 5).Draw(t, "looks") {
			if s.Phase != Exited && rapid.Bool().Draw(t, "time") {
				now = s.KillAt
				feed(GraceOver{now})
			}
			if s.Phase != Exited {
				feed(RestChanged{members()})
			}
		}
		if s.Phase != Exited {
			feed(RestChanged{})
		}
		require.Equal(t, 1, releases)
	})
}

func (s State) bound() []messages.Member { return (&move{State: s}).bound() }
