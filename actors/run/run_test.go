package run

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"procman/messages"
)

var (
	start  = time.Unix(1_000_000, 0)
	policy = messages.AppInstance{}.WithDefaults()
	good   = Probed{messages.Probe{OK: true, Status: 200}}
	bad    = Probed{messages.Probe{Error: "status 500", At: start}}
)

func everyEvent() map[string]Event {
	return map[string]Event{
		"Launched": Launched{}, "LaunchFailed": LaunchFailed{messages.ErrNoRun}, "ProbeDue": ProbeDue{}, "Probed": good,
		"StopAsked": StopAsked{}, "GraceOver": GraceOver{}, "ProcessExited": ProcessExited{},
		"RestChanged": RestChanged{}, "PolicyChanged": PolicyChanged{policy.Health, policy.Start, policy.Stop},
	}
}

func TestEveryEventHasACellInEveryPhase(t *testing.T) {
	events := everyEvent()
	require.Len(t, table, len(events))
	require.Len(t, Events(), len(events))
	count := 0
	for _, name := range Events() {
		require.Equal(t, name, events[name].name())
		require.Len(t, table[name], len(Phases()), name)
		for _, phase := range Phases() {
			require.NotEmpty(t, Cell(name, phase), "%s in %s", name, phase)
			s := begin()
			s.Phase = phase
			if name == "ProcessExited" || name == "RestChanged" {
				s.Exit = &messages.Exit{}
			}
			next, actions := Step(s, start, events[name])
			switch Cell(name, phase) {
			case ".":
				require.Equal(t, s, next)
				require.Empty(t, actions)
			case "!":
				require.Equal(t, s, next)
				require.Equal(t, []Action{Bug{name, phase}}, actions)
			}
			count++
		}
	}
	require.Equal(t, 9*6, count)
}

func begin() State {
	app := policy
	app.InstanceID = "web"
	return Begin(&app, false)
}

// play feeds events at one instant and returns the state and the actions of the last.
func play(s State, now time.Time, events ...Event) (State, []Action) {
	var actions []Action
	for _, e := range events {
		s, actions = Step(s, now, e)
	}
	return s, actions
}

// only returns those actions that are an A.
func only[A Action](actions []Action) (of []A) {
	for _, a := range actions {
		if a, is := a.(A); is {
			of = append(of, a)
		}
	}
	return of
}

func TestALaunchIsReportedAndProbedSoon(t *testing.T) {
	s, actions := play(begin(), start, Launched{})
	require.Equal(t, Starting, s.Phase)
	require.Equal(t, []Action{ReportLaunched{}, ArmProbe{start.Add(10 * time.Millisecond)}}, actions)
}

func TestProbesWhileStartingSlowDownToASecond(t *testing.T) {
	s, _ := play(begin(), start, Launched{})
	last := time.Duration(0)
	for range 20 {
		now := s.ProbeAt
		var actions []Action
		s, actions = Step(s, now, ProbeDue{now})
		require.Equal(t, []Action{Probe{}}, actions)
		s, _ = Step(s, now, bad)
		require.GreaterOrEqual(t, s.ProbeAt.Sub(now), last)
		require.LessOrEqual(t, s.ProbeAt.Sub(now), time.Second)
		last = s.ProbeAt.Sub(now)
	}
	require.Equal(t, time.Second, last)
	require.Equal(t, Starting, s.Phase)
}

func TestTheLastProbeOfAStartComesAtTheDeadline(t *testing.T) {
	s, _ := play(begin(), start, Launched{})
	almost := s.Deadline.Add(-time.Millisecond)
	s, _ = play(s, almost, bad)
	require.Equal(t, s.Deadline, s.ProbeAt)
	_, actions := play(s, s.Deadline, ProbeDue{s.ProbeAt}, bad)
	require.Contains(t, actions, Action(ReportUnhealthy{Cause: "not healthy 1m0s after its start: status 500",
		Since: start}))
}

// F137: a policy is applied to the process that runs, also while it starts.
func TestAChangedStartDeadlineCountsFromTheStartThatIsUnderWay(t *testing.T) {
	with := func(d time.Duration) PolicyChanged {
		return PolicyChanged{policy.Health, messages.StartPolicy{Deadline: d}, policy.Stop}
	}
	s, _ := play(begin(), start, Launched{})
	s, _ = play(s, start.Add(50*time.Second), with(90*time.Second))
	require.Equal(t, start.Add(90*time.Second), s.Deadline)
	s, actions := play(s, start.Add(89*time.Second), bad)
	require.Empty(t, only[ReportUnhealthy](actions), "more time")
	_, actions = play(s, start.Add(90*time.Second), bad)
	require.Len(t, only[ReportUnhealthy](actions), 1)

	s, _ = play(s, start.Add(60*time.Second), with(10*time.Second))
	_, actions = play(s, start.Add(60*time.Second), bad)
	require.Len(t, only[ReportUnhealthy](actions), 1, "less time")

	s, _ = play(begin(), start, with(90*time.Second))
	s, _ = play(s, start.Add(time.Hour), Launched{})
	require.Equal(t, start.Add(time.Hour+90*time.Second), s.Deadline, "before there is a process: once, not twice")
}

// A host that was paused, or a manager that was stopped, wakes up with every timer late.
func TestTimeThatPassedWhileTheManagerStoodStillIsNoFailure(t *testing.T) {
	t.Run("starting, between two probes", func(t *testing.T) {
		s, _ := play(begin(), start, Launched{})
		woken := s.ProbeAt.Add(8 * time.Hour)
		s, actions := play(s, woken, ProbeDue{s.ProbeAt}, bad)
		require.Empty(t, only[ReportUnhealthy](actions))
		require.Equal(t, start.Add(8*time.Hour+policy.Start.Deadline), s.Deadline, "all that is left of the deadline")
		_, actions = play(s, s.Deadline, bad)
		require.Len(t, only[ReportUnhealthy](actions), 1)
	})
	t.Run("starting, with a probe out", func(t *testing.T) {
		s, _ := play(begin(), start, Launched{})
		asked := s.ProbeAt
		s, _ = play(s, asked, ProbeDue{asked})
		woken := asked.Add(8 * time.Hour)
		s, actions := play(s, woken, Probed{messages.Probe{Error: "not probed", Void: true, At: asked}})
		require.Empty(t, only[ReportUnhealthy](actions))
		_, actions = play(s, woken.Add(time.Second), bad)
		require.Empty(t, only[ReportUnhealthy](actions))
	})
	t.Run("running", func(t *testing.T) {
		s, _ := play(begin(), start, Launched{}, good, bad)
		woken := s.ProbeAt.Add(8 * time.Hour)
		s, actions := play(s, woken, ProbeDue{s.ProbeAt}, bad)
		require.Empty(t, only[ReportUnhealthy](actions), "one probe that failed is one")
		require.Equal(t, woken.Add(policy.Health.Interval), s.ProbeAt, "and no burst of those that were missed")
	})
	t.Run("a little late is late", func(t *testing.T) {
		s, _ := play(begin(), start, Launched{})
		deadline := s.Deadline
		s, _ = play(s, s.ProbeAt.Add(time.Second), ProbeDue{s.ProbeAt}, bad)
		require.Equal(t, deadline, s.Deadline)
	})
}

func TestAnAdoptedRunThatWasReadyIsJudgedLikeARunningOne(t *testing.T) {
	s := begin()
	s.Ready = true
	s, actions := play(s, start, Launched{})
	require.Equal(t, Running, s.Phase)
	require.Equal(t, []Action{ReportLaunched{}, Probe{}}, actions)
	s, actions = play(s, start, bad, bad)
	require.Empty(t, only[ReportUnhealthy](actions))
	require.Equal(t, 2, s.Failures)
}

func TestUnhealthyIsReportedOnceAtTheThreshold(t *testing.T) {
	s, _ := play(begin(), start, Launched{}, good)
	reports := 0
	for n := range 10 {
		var actions []Action
		s, actions = Step(s, start, bad)
		for _, u := range only[ReportUnhealthy](actions) {
			reports++
			require.Equal(t, 2, n)
			require.Equal(t, start, u.Since)
		}
	}
	require.Equal(t, 1, reports)
}

func TestAProbeThatWasNotMadeIsNoFailure(t *testing.T) {
	void := Probed{messages.Probe{Void: true, Error: "not probed: no file descriptor left"}}
	s, _ := play(begin(), start, Launched{}, good, bad, bad)
	s, actions := play(s, start, void, void, void)
	require.Equal(t, 2, s.Failures)
	require.Equal(t, []Action{ArmProbe{start.Add(policy.Health.Interval)}}, actions)
	require.False(t, s.ProbeAt.IsZero(), "it is tried again")
	late, _ := play(begin(), start, Launched{})
	_, actions = play(late, late.Deadline.Add(time.Hour), void)
	for _, a := range actions {
		_, is := a.(ReportUnhealthy)
		require.False(t, is)
	}
}

func TestAnImpostorOnThePortIsReportedAtOnce(t *testing.T) {
	_, actions := play(begin(), start, Launched{},
		Probed{messages.Probe{Error: "answered by pid 7", Conflict: true, At: start}})
	require.Contains(t, actions, Action(ReportUnhealthy{Cause: "answered by pid 7", Since: start, Conflict: true}))
}

func TestAnOldTimerIsNotTheTimer(t *testing.T) {
	s, _ := play(begin(), start, Launched{}, good, bad)
	old := s.ProbeAt
	health := policy.Health
	health.Interval = time.Minute
	s, _ = play(s, start, PolicyChanged{health, policy.Start, policy.Stop})
	_, actions := play(s, start, ProbeDue{old})
	require.Empty(t, actions)
	_, actions = play(s, start, ProbeDue{s.ProbeAt})
	require.Equal(t, []Action{Probe{}}, actions)
}

func TestAStopBeforeThereIsAProcessCancelsOrEndsIt(t *testing.T) {
	s, actions := play(begin(), start, StopAsked{Grace: time.Second})
	require.Equal(t, []Action{Cancel{}}, actions)
	_, actions = play(s, start, LaunchFailed{messages.ErrNoRun})
	require.Equal(t, []Action{Release{Err: messages.ErrNoRun}}, actions)
	s, actions = play(s, start, Launched{})
	require.Equal(t, Stopping, s.Phase)
	require.Equal(t, []Action{ReportLaunched{}, Signal{Signal: syscall.SIGTERM}, Signal{Signal: syscall.SIGCONT},
		ArmGrace{start.Add(time.Second)}}, actions)
}

func TestAfterTheGraceKillIsRepeated(t *testing.T) {
	s, _ := play(begin(), start, Launched{}, good, StopAsked{Grace: time.Second})
	for range 3 {
		at := s.KillAt
		var actions []Action
		s, actions = Step(s, at, GraceOver{at})
		require.Equal(t, []Action{Signal{Signal: syscall.SIGKILL}, ArmGrace{at.Add(5 * time.Second)}}, actions[:2])
		require.Equal(t, Killing, s.Phase)
	}
}

func TestASecondStopOnlyShortensTheGrace(t *testing.T) {
	s, _ := play(begin(), start, Launched{}, StopAsked{Grace: 10 * time.Second})
	s, actions := play(s, start, StopAsked{Grace: time.Minute})
	require.Empty(t, actions)
	_, actions = play(s, start, StopAsked{Grace: time.Second})
	require.Equal(t, []Action{ArmGrace{start.Add(time.Second)}}, actions)
}

func TestWhateverHappensAProcessThatWasAskedToStopIsKilledAndItsEndIsReportedOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, now := begin(), start
		launched, watched, releases, unhealthy := false, false, 0, 0
		feed := func(e Event) {
			var actions []Action
			s, actions = Step(s, now, e)
			for _, a := range actions {
				switch a.(type) {
				case Watch:
					watched = true
				case Unwatch:
					watched = false
				case Release:
					releases++
				case ReportUnhealthy:
					unhealthy++
				case Bug:
					t.Fatalf("%T in %s", e, s.Phase)
				}
			}
		}
		for range rapid.IntRange(0, 60).Draw(t, "events") {
			now = now.Add(time.Duration(rapid.IntRange(0, 20000).Draw(t, "ms")) * time.Millisecond)
			switch what := rapid.IntRange(0, 5).Draw(t, "what"); {
			case what == 0 && !launched:
				launched = true
				feed(Launched{})
			case what == 1 && s.Probing:
				feed(good)
			case what == 2 && (s.Probing || s.Watched):
				feed(bad)
			case what == 3 && !s.ProbeAt.IsZero():
				feed(ProbeDue{s.ProbeAt})
			case what == 4:
				feed(PolicyChanged{policy.Health, policy.Start, policy.Stop})
			case what == 5 && rapid.IntRange(0, 9).Draw(t, "stop") == 0:
				feed(StopAsked{Grace: time.Second})
			}
			require.True(t, s.Phase != Running || s.Probing || s.Watched || !s.ProbeAt.IsZero(),
				"a running process is always about to be probed")
			require.False(t, s.Watched && (s.Phase != Running || s.Probing || !s.ProbeAt.IsZero()), "and in one way")
			require.Equal(t, s.Watched, watched, "and whoever carries that out knows")
		}
		if !launched {
			feed(Launched{})
		}
		feed(StopAsked{Grace: time.Second})
		if s.Phase == Stopping {
			feed(GraceOver{s.KillAt})
		}
		require.Equal(t, Killing, s.Phase)
		feed(ProcessExited{})
		require.Equal(t, 1, releases)
		require.Equal(t, Exited, s.Phase)
	})
}

func TestARunWhoseChecksAreOnlyReportedIsProbedOnAndReportedOnce(t *testing.T) {
	s := begin()
	report := *s.Health
	report.Check = &messages.HealthCheck{OnFailure: messages.FailureReport}
	s.Health = &report
	reports := func(actions []Action) (n int) {
		for _, a := range actions {
			if _, is := a.(ReportUnhealthy); is {
				n++
			}
		}
		return n
	}
	s, _ = play(s, start, Launched{})
	late := start.Add(s.Start.Deadline)
	s.ProbeAt = late
	s, actions := play(s, late, ProbeDue{s.ProbeAt}, bad)
	require.Equal(t, 1, reports(actions))
	for range 3 {
		require.Equal(t, late.Add(s.Health.Interval), s.ProbeAt, "it is probed on at the pace of one that runs")
		late = s.ProbeAt
		s, actions = play(s, late, ProbeDue{s.ProbeAt}, bad)
		require.Zero(t, reports(actions), "that is said once")
	}
	s, actions = play(s, late, ProbeDue{s.ProbeAt}, good)
	require.Contains(t, actions, ReportReady{})

	s, actions = play(s, late, bad, ProbeDue{late.Add(s.Health.Interval)},
		bad, ProbeDue{late.Add(s.Health.Interval)}, bad)
	require.Equal(t, 1, reports(actions), "after health.failures")
	s, actions = play(s, late, ProbeDue{s.ProbeAt}, bad)
	require.Zero(t, reports(actions))

	restart := *s.Health
	restart.Check = nil
	s, _ = play(s, late, PolicyChanged{restart, s.Start, messages.StopPolicy{}})
	_, actions = play(s, late, ProbeDue{s.ProbeAt}, bad)
	require.Equal(t, 1, reports(actions), "an edit that has it restarted acts on what goes on failing")
}
