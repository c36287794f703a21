package plan

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"procman/messages"
)

func TestDelaysDoubleFromInitialToMax(t *testing.T) {
	p := messages.RestartPolicy{}.WithDefaults()
	p.Jitter = 0
	var got []time.Duration
	for n := range 9 {
		got = append(got, Delay(p, n, 0.5))
	}
	s := time.Second
	require.Equal(t, []time.Duration{0, s, 2 * s, 4 * s, 8 * s, 16 * s, 32 * s, 60 * s, 60 * s}, got)
}

func TestNoDelayExceedsMaxOrItsJitter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := messages.RestartPolicy{
			Initial:    time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t, "initial")),
			Multiplier: rapid.Float64Range(1, 10).Draw(t, "multiplier"),
			Jitter:     rapid.Float64Range(0, 0.99).Draw(t, "jitter"),
		}
		p.Max = p.Initial + time.Duration(rapid.Int64Range(0, int64(24*time.Hour)).Draw(t, "above"))
		failures := rapid.IntRange(1, 1_000_000).Draw(t, "failures")
		draw := rapid.Float64Range(0, 0.999999).Draw(t, "draw")

		d := Delay(p, failures, draw)
		require.LessOrEqual(t, d, p.Max)
		require.GreaterOrEqual(t, d, time.Duration(float64(p.Initial)*(1-p.Jitter))-1)
		still := p
		still.Jitter = 0
		base := Delay(still, failures, draw)
		require.InDelta(t, float64(base), float64(d), float64(base)*p.Jitter+1)
		require.GreaterOrEqual(t, Delay(still, failures+1, draw), base, "delays never shrink")
	})
}

func TestDelaysOfManyInstancesSpread(t *testing.T) {
	quarters := [4]int{}
	for n := range 1000 {
		i := New(messages.InstanceID("web-" + time.Duration(n).String()))
		m := move{Instance: &i}
		m.Run = 1
		quarters[int(m.draw()*4)]++
	}
	for _, n := range quarters {
		require.InDelta(t, 250, n, 60, "of %v", quarters)
	}
}

func TestAttemptsAreForgottenOnlyAfterStableAfter(t *testing.T) {
	app := newApp(t, nil)
	start := time.Unix(1_000_000, 0)
	for name, c := range map[string]struct {
		healthy  time.Duration
		attempts int
		at       time.Duration
	}{
		"a nanosecond short": {app.Restart.StableAfter - 1, 4, 8 * time.Second},
		"exactly":            {app.Restart.StableAfter, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			i := New("web")
			i.Phase, i.Want, i.Have, i.Spec, i.Attempts = messages.Running, app, app, app.Spec, 3
			i.HealthySince = start
			next, _ := Step(i, start.Add(c.healthy), Exited{Exit: messages.Exit{Known: true, Code: 1}})
			require.Equal(t, c.attempts, next.Attempts)
			if c.at == 0 {
				require.Equal(t, messages.Starting, next.Phase)
				return
			}
			require.Equal(t, messages.Backoff, next.Phase)
			require.InDelta(t, float64(c.at), float64(next.DueAt.Sub(start.Add(c.healthy))), float64(c.at)/5)
		})
	}
}

func TestARestartModeDecidesWhichExitsEnd(t *testing.T) {
	for _, c := range []struct {
		mode messages.RestartMode
		code int
		want messages.Phase
	}{
		{messages.RestartAlways, 0, messages.Backoff}, {messages.RestartAlways, 1, messages.Backoff},
		{messages.RestartOnFailure, 0, messages.Stopped}, {messages.RestartOnFailure, 1, messages.Backoff},
		{messages.RestartNever, 0, messages.Stopped}, {messages.RestartNever, 1, messages.Failed},
	} {
		app := newApp(t, func(a *messages.AppInstance) { a.Restart.Mode = c.mode })
		i := New("web")
		i.Phase, i.Want, i.Have, i.Spec = messages.Starting, app, app, app.Spec
		next, _ := Step(i, time.Unix(0, 0), Exited{Exit: messages.Exit{Known: true, Code: c.code}})
		require.Equal(t, c.want, next.Phase, "%s, code %d", c.mode, c.code)
		_, again := Diff(next, app, app)
		require.False(t, again, "what was given up stays so")
	}
}

func TestMaxAttemptsGivesUp(t *testing.T) {
	app := newApp(t, func(a *messages.AppInstance) { a.Restart = messages.RestartPolicy{MaxAttempts: 2} })
	i := New("web")
	now := time.Unix(0, 0)
	i, _ = Step(i, now, Want{app})
	i, _ = Step(i, now, LaunchFailed{Err: messages.ErrNoRun})
	require.Equal(t, messages.Backoff, i.Phase)
	i, _ = Step(i, i.DueAt, Due{i.DueAt})
	i, _ = Step(i, now, LaunchFailed{Err: messages.ErrNoRun})
	require.Equal(t, messages.Failed, i.Phase)
	require.Contains(t, i.Reason, "failure 2 of 2")
}

func TestTheExitsThatArePartOfThePolicyDecide(t *testing.T) {
	code := func(n int) messages.Exit { return messages.Exit{Known: true, Code: n} }
	killed := func(s string) messages.Exit { return messages.Exit{Known: true, Code: -1, Signal: s} }
	for _, c := range []struct {
		mode           messages.RestartMode
		success, final messages.WordList
		exit           messages.Exit
		want           messages.Phase
	}{
		{messages.RestartOnFailure, "0 3 TERM", "", code(3), messages.Stopped},
		{messages.RestartOnFailure, "0 3 SIGTERM", "", killed("TERM"), messages.Stopped},
		{messages.RestartOnFailure, "3", "", code(0), messages.Backoff},
		{messages.RestartOnFailure, "0 3", "", messages.Exit{Code: 3}, messages.Backoff}, // it is not known
		{messages.RestartAlways, "0 3", "", code(3), messages.Backoff},
		{messages.RestartNever, "0 3", "", code(3), messages.Stopped},
		{messages.RestartAlways, "0", "78 KILL", code(78), messages.Failed},
		{messages.RestartAlways, "0", "78 KILL", killed("KILL"), messages.Failed},
		{messages.RestartAlways, "0", "78 KILL", code(77), messages.Backoff},
		{messages.RestartOnFailure, "0 78", "78", code(78), messages.Failed},
		{messages.RestartAlways, "0", "0", code(0), messages.Failed},
	} {
		app := newApp(t, func(a *messages.AppInstance) {
			a.Restart.Mode, a.Restart.Success, a.Restart.Final = c.mode, c.success, c.final
		})
		i := New("web")
		i.Phase, i.Want, i.Have, i.Spec = messages.Running, app, app, app.Spec
		i.HealthySince = time.Unix(0, 0).Add(-time.Hour) // also what was stable is not started again then
		next, _ := Step(i, time.Unix(0, 0), Exited{Exit: c.exit})
		if c.want == messages.Backoff {
			require.Equal(t, messages.Starting, next.Phase, "%+v: after it was stable, at once", c)
			continue
		}
		require.Equal(t, c.want, next.Phase, "%+v", c)
		if c.final.HasExit(c.exit) {
			require.Contains(t, next.Reason, "restart.final", "%+v", c)
		}
		_, again := Diff(next, app, app)
		require.False(t, again, "what was given up stays so")
	}
}

func TestAStopByProcmanIsNoExitThatIsFinal(t *testing.T) {
	app := newApp(t, func(a *messages.AppInstance) { a.Restart.Final = "TERM KILL" })
	i := New("web")
	i.Phase, i.Want, i.Have, i.Spec, i.PID = messages.Running, app, app, app.Spec, 7
	now := time.Unix(0, 0)
	i, _ = Step(i, now, Unhealthy{Cause: "3 probes failed", Since: now})
	i, _ = Step(i, now, Exited{Exit: messages.Exit{Known: true, Code: -1, Signal: "TERM"}})
	require.Equal(t, messages.Backoff, i.Phase)
}

func TestAnInstanceWhoseChecksAreOnlyReportedIsNotTouched(t *testing.T) {
	app := newApp(t, func(a *messages.AppInstance) {
		a.Health.Check = &messages.HealthCheck{OnFailure: messages.FailureReport}
	})
	start := time.Unix(1_000_000, 0)
	for _, phase := range []messages.Phase{messages.Starting, messages.Running} {
		for _, conflict := range []bool{false, true} {
			i := New("web")
			i.Phase, i.Want, i.Have, i.Spec, i.Attempts, i.Run, i.PID = phase, app, app, app.Spec, 2, 7, 4121
			if phase == messages.Running {
				i.HealthySince, i.Health = start.Add(-time.Hour), messages.Healthy
			}
			sick, actions := Step(i, start, Unhealthy{Cause: "3 probes failed", Since: start.Add(-time.Minute),
				Conflict: conflict})
			require.Equal(t, phase, sick.Phase)
			require.Equal(t, messages.NotHealthy, sick.Health)
			require.Equal(t, "3 probes failed", sick.Reason)
			require.Len(t, actions, 1, "it is told, and nothing else is done")
			require.IsType(t, Tell{}, actions[0])

			if phase == messages.Running {
				well, actions := Step(sick, start.Add(time.Minute), Probed{Probe: messages.Probe{OK: true}})
				require.Equal(t, messages.Healthy, well.Health)
				require.Empty(t, well.Reason)
				require.Equal(t, start.Add(time.Minute), well.HealthySince)
				require.Equal(t, messages.InstanceReady, messages.Event(actions[0].(Tell)).What)
				again, actions := Step(well, start.Add(2*time.Minute), Probed{Probe: messages.Probe{OK: true}})
				require.Equal(t, start.Add(time.Minute), again.HealthySince)
				require.Empty(t, actions, "it is told once")
			}
		}
	}
}
