package plan

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

func TestAVerdictSaysWhyWhatNextAndWhatWouldChangeIt(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := func(d time.Duration) *time.Time { t := now.Add(d); return &t }
	app := messages.AppInstance{InstanceID: "web"}.WithDefaults()
	app.Restart.Jitter = 0
	never, limited, disabled := app, app, app
	never.Restart.Mode = messages.RestartNever
	limited.Restart.MaxAttempts = 3
	disabled.Disabled = true
	failed := messages.Probe{At: now, Error: "the answer is 500"}
	crash := &messages.Exit{Code: 1, Known: true, At: now, Reason: messages.ReasonExit}

	for _, c := range []struct {
		name    string
		x       messages.Explanation
		summary string
		next    string
		change  []string // each in one of them
	}{
		{"healthy for long", messages.Explanation{Desired: &app, Status: messages.Status{Phase: messages.Running, Health: messages.Healthy, PID: 1, HealthySince: at(-time.Hour)}},
			"is running and healthy, for 1h0m0s", "it is probed every 15s; should it fail, it is started again at once", nil},
		{"healthy, not stable yet", messages.Explanation{Desired: &app, Status: messages.Status{Phase: messages.Running, Health: messages.Healthy, PID: 1, HealthySince: at(-time.Second), ConsecutiveFailures: 2}},
			"is running and healthy, for 1s", "it is probed every 15s; should it fail, it is started again after about 4s", nil},
		{"healthy, never restarted", messages.Explanation{Desired: &never, Status: messages.Status{Phase: messages.Running, Health: messages.Healthy, PID: 1, HealthySince: at(-time.Second)}},
			"is running and healthy, for 1s", "it is probed every 15s; should it fail, it stays down: restart.mode is never", nil},
		{"healthy, the last chance", messages.Explanation{Desired: &limited, Status: messages.Status{Phase: messages.Running, Health: messages.Healthy, PID: 1, HealthySince: at(-time.Second), ConsecutiveFailures: 2}},
			"is running and healthy, for 1s", "it is probed every 15s; should it fail, it is given up: that would be failure 3 of 3 in a row", nil},
		{"probes fail", messages.Explanation{Desired: &app, Probes: []messages.Probe{{OK: true}, failed, failed},
			Status: messages.Status{Phase: messages.Running, Health: messages.Healthy, PID: 1, StartedAt: at(-time.Hour), HealthySince: at(-time.Hour)}},
			"is running, but its last 2 probes failed: the answer is 500",
			"it is probed every 15s; when 3 in a row have failed it is stopped, and it is started again at once",
			[]string{"a probe that succeeds (GET /api/status answers 200 within 5s)", "`procman restart web`"}},
		{"just started", messages.Explanation{Desired: &app, Probes: []messages.Probe{failed},
			Status: messages.Status{Phase: messages.Starting, PID: 1, Port: 30001, StartedAt: at(-20 * time.Second), LastProbe: &messages.Probe{Error: "connection refused"}}},
			"has been started 20s ago, and has not answered healthy yet: connection refused",
			"it is probed until it answers 200, for another 40s at the most (start.deadline is 1m0s); then it is stopped, and it is started again after about 1s",
			[]string{"a 200 for GET /api/status on port 30001 within 5s", "start.deadline", "`procman stop web`"}},
		{"waits for its start", messages.Explanation{Desired: &app, Status: messages.Status{Phase: messages.Starting}},
			"is being started: it has no process yet", "it is started as soon as fewer than start.parallel instances are starting", []string{"`procman stop web`"}},
		{"stopping", messages.Explanation{Desired: &app, KillAt: now.Add(3 * time.Second), Status: messages.Status{Phase: messages.Stopping, PID: 1, Reason: "what should run has changed"}},
			"has been told to end: what should run has changed",
			"TERM was sent to every process of it; what has not ended in 3s gets KILL; then another is started", nil},
		{"unkillable", messages.Explanation{KillAt: now.Add(-time.Minute), Status: messages.Status{Phase: messages.Stopping, PID: 77, Reason: "not wanted"}},
			"has been told to end: not wanted",
			"KILL was sent to every process of it, and is sent again until all have ended; then it stays down",
			[]string{"`ps -o pid,stat,wchan -p 77`"}},
		{"backing off", messages.Explanation{Desired: &app, Status: messages.Status{Phase: messages.Backoff, Reason: "exited with code 1", ConsecutiveFailures: 3, NextStartAt: at(2500 * time.Millisecond), LastExit: crash}},
			"is down and waits for restart attempt 3: exited with code 1",
			"it is started again in 2.5s; should that fail, the next attempt waits about 8s (restart.max is 1m0s)",
			[]string{"`procman start web`", "an edit of its entry", "`procman stop web`"}},
		{"given up", messages.Explanation{Desired: &limited, Status: messages.Status{Phase: messages.Failed, Reason: "exited with code 1; that was failure 3 of 3"}},
			"was given up: exited with code 1; that was failure 3 of 3", "nothing: it stays down", []string{"`procman start web`", "an edit of its entry"}},
		{"held", messages.Explanation{Desired: &app, HeldBy: "uid 1000", HeldAt: now.Add(-90 * time.Second), Status: messages.Status{Phase: messages.Stopped, Held: true}},
			"is held down: stopped by uid 1000, 1m30s ago", "nothing: it stays down, also over restarts of the daemon and edits of the file", []string{"`procman start web` ends the hold"}},
		{"disabled", messages.Explanation{Desired: &disabled, Status: messages.Status{Phase: messages.Stopped}},
			"is disabled in the configuration", "nothing: it stays down", []string{"`enabled: true`"}},
		{"leaving, in doubt", messages.Explanation{Leaving: "half a file", Desired: &never, Status: messages.Status{Phase: messages.Stopped, Reason: "exited with code 0"}},
			"is stopped: exited with code 0", "nothing: it stays down; its entry has left the configuration, and it is not stopped by that: half a file",
			[]string{"`procman start web`", "an edit of its entry", "`procman reload` confirms"}},
		// Three sentences promised a start that restart.mode or max_attempts forbids.
		{"probes fail, never restarted", messages.Explanation{Desired: &never, Probes: []messages.Probe{failed}, Status: messages.Status{Phase: messages.Running, Health: messages.Healthy, PID: 1}},
			"is running, but its last probe failed: the answer is 500", "it is probed every 15s; when 3 in a row have failed it is stopped, and it stays down: restart.mode is never", nil},
		{"starting, never restarted", messages.Explanation{Desired: &never, Status: messages.Status{Phase: messages.Starting, PID: 1, Adopted: true}},
			"was started by an earlier daemon, and has not answered healthy yet",
			"it is probed until it answers 200, for 1m0s at the most; then it is stopped, and it stays down: restart.mode is never", nil},
		{"stopped as unhealthy, never restarted", messages.Explanation{Desired: &never, KillAt: now.Add(3 * time.Second), StopAs: messages.ReasonUnhealthy, Status: messages.Status{Phase: messages.Stopping, PID: 1}},
			"has been told to end", "TERM was sent to every process of it; what has not ended in 3s gets KILL; then it stays down: restart.mode is never", nil},
		{"stopped for a restart, never restarted", messages.Explanation{Desired: &never, KillAt: now.Add(3 * time.Second), StopAs: messages.ReasonStopped, Status: messages.Status{Phase: messages.Stopping, PID: 1}},
			"has been told to end", "TERM was sent to every process of it; what has not ended in 3s gets KILL; then another is started", nil},
		{"the last attempt", messages.Explanation{Desired: &limited, Status: messages.Status{Phase: messages.Backoff, ConsecutiveFailures: 2, NextStartAt: at(2500 * time.Millisecond), LastExit: crash}},
			"is down and waits for restart attempt 2", "it is started again in 2.5s; should that fail, it is given up: that would be failure 3 of 3 in a row", nil},
		{"done", messages.Explanation{Desired: &never, Status: messages.Status{Phase: messages.Stopped, Reason: "exited with code 0; restart mode is never"}},
			"is stopped: exited with code 0; restart mode is never", "nothing: it stays down", []string{"`procman start web`"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.x.Status.ID = "web"
			v := Judge(c.x, now)
			require.Equal(t, c.summary, v.Summary)
			require.Equal(t, c.next, v.Next)
			for n, want := range c.change {
				require.Contains(t, v.Change[n], want)
			}
		})
	}
	v := Judge(messages.Explanation{Desired: &app, Status: messages.Status{Phase: messages.Backoff, ConsecutiveFailures: 3, LastExit: crash}}, now)
	require.Equal(t, 3, v.Attempt)
	require.Equal(t, "it ended by itself", v.Exit)
}

// A phase or a reason that is added must not leave a reader without words.
func TestThereIsAVerdictForEveryPhaseAndEveryReason(t *testing.T) {
	for _, phase := range messages.Phases() {
		v := Judge(messages.Explanation{Status: messages.Status{ID: "web", Phase: phase}}, time.Now())
		require.NotEmpty(t, v.Summary, phase)
		require.NotEmpty(t, v.Next, phase)
		require.False(t, strings.HasSuffix(v.Summary, ": "), "%s: %q", phase, v.Summary)
	}
	said := map[string]messages.ExitReason{}
	for _, reason := range []messages.ExitReason{messages.ReasonExit, messages.ReasonSignal, messages.ReasonUnhealthy, messages.ReasonStopped,
		messages.ReasonChanged, messages.ReasonStartFailed, messages.ReasonPortConflict, messages.ReasonUnknown} {
		v := Judge(messages.Explanation{Status: messages.Status{ID: "web", Phase: messages.Stopped, LastExit: &messages.Exit{Reason: reason, Signal: "TERM"}}}, time.Now())
		require.NotEmpty(t, v.Exit)
		require.Empty(t, said[v.Exit], "two reasons have the same words")
		said[v.Exit] = reason
	}
}
