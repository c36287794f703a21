package explain

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
	"procman/supervisor/plan"
)

func TestAVerdictSaysWhyWhatNextAndWhatWouldChangeIt(t *testing.T) {
	app := func(change func(*messages.AppInstance)) *plan.App {
		a := messages.AppInstance{InstanceID: "web"}.WithDefaults()
		a.WasmPath, a.DbName, a.Restart.Jitter = "a.wasm", "a.db", 0
		if change != nil {
			change(&a)
		}
		made, err := plan.NewApp(a)
		require.NoError(t, err)
		return made
	}
	always := app(nil)
	never := app(func(a *messages.AppInstance) { a.Restart.Mode = messages.RestartNever })
	onFailure := app(func(a *messages.AppInstance) { a.Restart.Mode = messages.RestartOnFailure })
	limited := app(func(a *messages.AppInstance) { a.Restart.MaxAttempts = 3 })
	once := app(func(a *messages.AppInstance) { a.Restart.MaxAttempts = 1 })
	reported := app(func(a *messages.AppInstance) {
		a.Health.Kind, a.Health.Check = messages.HealthTCP, &messages.HealthCheck{OnFailure: messages.FailureReport}
	})
	asked := app(func(a *messages.AppInstance) {
		a.Health.Kind, a.Health.Check = messages.HealthCommand,
			&messages.HealthCheck{Command: []string{"redis-cli", "-p", "{port}", "ping"}}
	})
	status := app(func(a *messages.AppInstance) {
		a.Health.Check = &messages.HealthCheck{Method: "HEAD", Status: "204 300-399", Scheme: messages.SchemeHTTPS}
	})
	final := app(func(a *messages.AppInstance) { a.Restart.Final = "1 KILL" })
	finalElse := app(func(a *messages.AppInstance) { a.Restart.Final = "78 KILL" })
	disabled := app(func(a *messages.AppInstance) { a.Disabled = true })
	other := app(func(a *messages.AppInstance) { a.WasmPath = "b.wasm" })
	refused := plan.Probed{Probe: messages.Probe{Error: "connection refused"}}
	failed := plan.Probed{Probe: messages.Probe{Error: "the answer is 500"}}
	ok := plan.Probed{Probe: messages.Probe{OK: true}}
	done := plan.Exited{Exit: messages.Exit{Known: true}}
	launched, ready, unhealthy := plan.Launched{}, plan.Ready{},
		plan.Unhealthy{Cause: "3 probes failed", Since: now.Add(-30 * time.Second)}
	// crashes are so many failed runs, each launched as soon as it is due.
	crashes := func(app *plan.App, n int, then ...at) View {
		var story []at
		for range n {
			story = append(story, at{-time.Hour, launched}, at{-time.Hour, exit}, at{-time.Hour, plan.Retry{}})
		}
		v := seen(app, story...)
		v.Attempts = n // what an operator started is no failure behind another
		f := v.future(now)
		for _, s := range then {
			f.at = now.Add(s.when)
			if l, is := s.e.(plan.Launched); is {
				l.PID, l.Port, l.SpecHash, l.StartedAt = 1, 30001, f.Spec, f.at
				s.e = l
			}
			f = f.then(s.e)
		}
		return f.View
	}
	with := func(v View, change func(*View)) View { change(&v); return v }

	for _, c := range []struct {
		name    string
		v       View
		summary string
		next    string
		change  []string // each in one of them
	}{
		{"healthy for long", seen(always, at{-2 * time.Hour, launched}, at{-time.Hour, ready}),
			"is running and healthy, for 1h0m0s", "it is probed every 15s; should it fail, it is started again at once",
			nil},
		{"healthy, not stable yet", crashes(always, 2, at{-time.Minute, launched}, at{-time.Second, ready}),
			"is running and healthy, for 1s", "it is probed every 15s; should it fail, it is started again after 4s",
			nil},
		{"healthy, never restarted", seen(never, at{-time.Minute, launched}, at{-time.Second, ready}),
			"is running and healthy, for 1s", "it is probed every 15s; should it fail, it stays down: restart.mode " +
				"is never", nil},
		{"healthy, an exit that would be final", seen(final, at{-2 * time.Hour, launched}, at{-time.Hour, ready}),
			"is running and healthy, for 1h0m0s", "it is probed every 15s; should it fail, it stays down if it has " +
				"exited with code 1: restart.final is [1, KILL]", nil},
		{"healthy, another that would be", seen(finalElse, at{-2 * time.Hour, launched}, at{-time.Hour, ready}),
			"is running and healthy, for 1h0m0s", "it is probed every 15s; should it fail, it is started again at " +
				"once; not after 78 or KILL: restart.final", nil},
		{"ended by an exit that is final", seen(final, at{0, launched},
			at{0, plan.Exited{Exit: messages.Exit{Known: true, Code: 1}}}),
			"was given up: exited with code 1; restart.final says that it stays down then", "nothing: it stays down",
			[]string{"`do start web`"}},
		{"healthy, the last chance", crashes(limited, 2, at{-time.Minute, launched}, at{-time.Second, ready}),
			"is running and healthy, for 1s", "it is probed every 15s; should it fail, it is given up: that would be " +
				"failure 3 of 3 in a row", nil},
		{"probes fail", seen(always, at{-time.Hour, launched}, at{-time.Hour, ready}, at{-45 * time.Second, ok},
			at{-30 * time.Second, failed}, at{-15 * time.Second, failed}),
			"is running, but its last 2 probes failed: the answer is 500",
			"it is probed every 15s; when 3 in a row have failed it is stopped, and it is started again at once",
			[]string{"a probe that succeeds (GET /api/status answers 200 within 5s)", "`do restart web`"}},
		{"connections fail, and it is only told", seen(reported, at{-time.Hour, launched}, at{-time.Hour, ready},
			at{-45 * time.Second, ok}, at{-30 * time.Second, failed}),
			"is running, but its last probe failed: the answer is 500",
			"it is probed every 15s; when 3 in a row have failed that is said, and no process is touched: " +
				"health.on_failure is report",
			[]string{"a probe that succeeds (port 30001 accepts a connection within 5s)", "`do restart web`"}},
		{"just started, and asked by a command", seen(asked, at{-20 * time.Second, launched},
			at{-time.Second, refused}),
			"has been started 20s ago, and has not answered healthy yet: connection refused",
			"it is probed until health.command ends with 0, for another 40s at the most (start.deadline is 1m0s); " +
				"then it is stopped, and it is started again after 1s",
			[]string{"exit code 0 of `redis-cli -p 30001 ping` within 5s makes it healthy", "start.deadline",
				"`do stop web`"}},
		{"just started, and asked for other statuses",
			seen(status, at{-20 * time.Second, launched}, at{-time.Second, refused}),
			"has been started 20s ago, and has not answered healthy yet: connection refused",
			"it is probed until it answers 204 or 300-399, for another 40s at the most (start.deadline is 1m0s); " +
				"then it is stopped, and it is started again after 1s",
			[]string{"a 204 or 300-399 for HEAD /api/status by https on port 30001 within 5s makes it healthy",
				"start.deadline", "`do stop web`"}},
		{"just started", seen(always, at{-20 * time.Second, launched}, at{-time.Second, refused}),
			"has been started 20s ago, and has not answered healthy yet: connection refused",
			"it is probed until it answers 200, for another 40s at the most (start.deadline is 1m0s); then it is " +
				"stopped, and it is started again after 1s",
			[]string{"a 200 for GET /api/status on port 30001 within 5s", "start.deadline", "`do stop web`"}},
		{"waits for its turn", with(seen(always),
			func(v *View) { v.Seen = &Seen{Queue: messages.Queue{Waits: true, Busy: 8, Places: 8}} }),
			"has no process yet, and waits for its turn: 8 instances that start use the processor, and " +
				"start.parallel is 8",
			"it is started when one of them is healthy, has ended, or waits for something else than the processor",
			[]string{"`do start web` has it go before the others that wait", "`do stop web`"}},
		{"waits for its turn, and goes first", with(seen(always), func(v *View) {
			v.Seen = &Seen{Queue: messages.Queue{Waits: true, Precedence: messages.PrecedenceUrgent,
				Busy: 1, Places: 1}}
		}),
			"has no process yet, and waits for its turn: 1 instance that starts uses the processor, and " +
				"start.parallel is 1",
			"it is started when one of them is healthy, has ended, or waits for something else than the processor",
			[]string{"`do stop web`"}},
		{"waits for its turn, because it fails", with(seen(always), func(v *View) {
			v.Seen = &Seen{Queue: messages.Queue{Waits: true, Precedence: messages.PrecedenceFailing,
				Busy: 4, Places: 8}}
		}),
			"has no process yet, and waits for its turn: its last runs failed, and such starts have half of the 8 " +
				"places of start.parallel",
			"it is started when one of them is healthy, has ended, or waits for something else than the processor",
			nil},
		{"waits for its start", seen(always),
			"is being started: it has no process yet", "its process is about to be started", []string{"`do stop web`"}},
		{"waits for a port", seen(always, at{0, plan.Refused{Err: &messages.StartError{Fault: messages.FaultNoPort}}}),
			"has no process yet, and waits: no free port", "it is tried again at least every few seconds", nil},
		{"nobody can tell whether it lives", seen(always,
			at{0, plan.Refused{Err: &messages.StartError{Fault: messages.FaultUnclear, Err: errors.New("pid 7")}}}),
			"waits: cannot tell: pid 7", "nothing is started in its place, and nothing is signalled", nil},
		{"stopping", seen(always, at{-time.Minute, launched}, at{-time.Minute, ready},
			at{-7 * time.Second, plan.Restart{}}),
			"has been told to end: restart asked for",
			"TERM was sent to every process of it; what has not ended in 3s gets KILL; then another is started", nil},
		{"unkillable", with(seen(always, at{-time.Hour, launched}, at{-time.Hour, ready}), func(v *View) {
			f := v.future(now.Add(-time.Minute))
			f.Listed = nil
			*v = f.agree().View
			v.PID = 77
		}), "has been told to end: not wanted",
			"KILL was sent to every process of it, and is sent again until all have ended; then it stays down",
			[]string{"`ps -o pid,stat,wchan -p 77`"}},
		{"backing off", crashes(always, 2, at{-1500 * time.Millisecond, launched}, at{-1500 * time.Millisecond, exit}),
			"is down and waits for restart attempt 3: exited with code 1",
			"it is started again in 2.5s; should that fail, the next attempt waits 8s (restart.max is 1m0s)",
			[]string{"`do start web`", "an edit of its entry", "`do stop web`"}},
		{"given up", seen(once, at{0, launched}, at{0, exit}),
			"was given up: exited with code 1; that was failure 1 of 1", "nothing: it stays down",
			[]string{"`do start web`", "an edit of its entry"}},
		{"held", held(seen(always, at{-time.Hour, launched})),
			"is held down: stopped by uid 1000, 1m30s ago",
			"nothing: it stays down, also over restarts of the daemon and edits of the configuration",
			[]string{"`do start web` ends the hold"}},
		{"disabled", seen(disabled),
			"is disabled in the configuration", "nothing: it stays down", []string{"`enabled: true`"}},
		{"leaving, in doubt", with(seen(onFailure, at{0, launched}, at{0, done}),
			func(v *View) { v.Leaving = "half a file" }),
			"is stopped: exited with code 0; restart mode is on-failure",
			"nothing: it stays down; its entry has left the configuration, and it is not stopped by that: half a file",
			[]string{"`do start web`", "an edit of its entry", "`do reload` confirms"}},
		{"done", seen(onFailure, at{0, launched}, at{0, done}),
			"is stopped: exited with code 0; restart mode is on-failure", "nothing: it stays down",
			[]string{"`do start web`"}},

		// Three sentences promised a start that restart.mode or max_attempts forbids.
		{"probes fail, never restarted", seen(never, at{-time.Hour, launched}, at{-time.Hour, ready}, at{0, failed}),
			"is running, but its last probe failed: the answer is 500",
			"it is probed every 15s; when 3 in a row have failed it is stopped, and it stays down: restart.mode is " +
				"never", nil},
		{"starting, never restarted", seen(never, at{0, plan.Launched{Adopted: true}}),
			"was started by an earlier daemon, and has not answered healthy yet",
			"it is probed until it answers 200, for 1m0s at the most; then it is stopped, and it stays down: " +
				"restart.mode is never", nil},
		{"stopped as unhealthy, never restarted", seen(never, at{-time.Hour, launched}, at{-time.Hour, ready},
			at{-7 * time.Second, unhealthy}),
			"has been told to end: 3 probes failed", "TERM was sent to every process of it; what has not ended in 3s " +
				"gets KILL; then it stays down: restart.mode is never", nil},
		{"stopped for a restart, never restarted", seen(never, at{-time.Hour, launched}, at{-time.Hour, ready},
			at{-7 * time.Second, plan.Restart{}}),
			"has been told to end: restart asked for", "TERM was sent to every process of it; what has not ended in " +
				"3s gets KILL; then another is started", nil},
		{"the last attempt", crashes(limited, 1, at{-500 * time.Millisecond, launched},
			at{-500 * time.Millisecond, exit}),
			"is down and waits for restart attempt 2: exited with code 1",
			"it is started again in 1.5s; should that fail, it is given up: that would be failure 3 of 3 in a row",
			nil},

		// And others that said what does not follow.
		{"stopped as unhealthy, not stable", seen(always, at{-time.Minute, launched}, at{-10 * time.Second, ready},
			at{-7 * time.Second, unhealthy}),
			"has been told to end: 3 probes failed", "TERM was sent to every process of it; what has not ended in 3s " +
				"gets KILL; then it is started again after 1s", nil},
		{"stopped because it left others, of a job that was done",
			seen(onFailure, at{-time.Hour, launched}, at{-time.Hour, ready},
				at{0, plan.Lingers{Exit: &done.Exit, Rest: []messages.Member{{PID: 9}}}}),
			"has been told to end: exited with code 0, though pid 9 (), which it had started, lived on; that was " +
				"sent KILL",
			"KILL was sent to every process of it, and is sent again until all have ended; then it stays down: " +
				"restart.mode is on-failure", nil},
		{"stopping, while everything ends", with(seen(always, at{-time.Hour, launched}, at{-time.Hour, ready}),
			func(v *View) {
				v.Closing = true
				*v = v.future(now).agree().View
			}), "has been told to end: not wanted", "TERM was sent to every process of it; what has not ended in 10s " +
			"gets KILL; then it stays down", nil},
		{"its actor was lost twice", seen(always, at{-time.Hour, launched}, at{-time.Hour, ready}, at{0, plan.Lost{}},
			at{0, launched}, at{0, plan.Lost{}}),
			"runs on, and nobody watches it: its actor was lost; the process runs on",
			"it is taken over again in 1s", nil},
		{"ended while no list is known", with(View{Instance: plan.New("web"), Unread: true}, func(v *View) {
			*v = v.future(now).then(plan.Survivor{Memory: messages.Memory{ID: "web", Run: 1, Phase: messages.Running,
				Spec: always.Spec},
				Found: &messages.Survivor{ID: "web", Run: 1, SpecHash: always.Spec, Exit: exit.Exit}}).View
		}), "is down and waits for its next start: exited with code 1",
			"what follows is decided as soon as the list of instances is known", nil},
		{"edited while it stops", with(seen(always, at{-time.Hour, launched}, at{-time.Hour, ready}), func(v *View) {
			v.Listed = other
			*v = v.future(now).agree().View
		}), "has been told to end: what should run has changed",
			"TERM was sent to every process of it; what has not ended in 10s gets KILL; then another is started", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := Verdict(c.v, words, now)
			require.Equal(t, c.summary, v.Summary)
			if !strings.HasPrefix(v.Next, c.next) || c.next == "" {
				require.Equal(t, c.next, v.Next)
			}
			require.GreaterOrEqual(t, len(v.Change), len(c.change), v.Change)
			for n, want := range c.change {
				require.Contains(t, v.Change[n], want)
			}
		})
	}
	v := Verdict(crashes(always, 2, at{0, launched}, at{0, exit}), words, now)
	require.Equal(t, 3, v.Attempt)
	require.Equal(t, "it ended by itself", v.Exit)
}

// The draw of a delay is a hash of instance and run: what is announced is exact, whatever the jitter.
func TestTheAnnouncedDelayIsTheOneThatIsWaited(t *testing.T) {
	a := messages.AppInstance{InstanceID: "web", WasmPath: "a.wasm", DbName: "a.db"}
	a.Restart = messages.RestartPolicy{Initial: 10 * time.Second, Max: time.Hour, Jitter: 0.9, Multiplier: 3}
	app, err := plan.NewApp(a)
	require.NoError(t, err)
	v := seen(app, at{-time.Minute, plan.Launched{}}, at{-time.Second, plan.Ready{}})
	said := Verdict(v, words, now).Next
	f := v.future(now).then(exit)
	require.Contains(t, said, "it is started again after "+round(f.DueAt.Sub(now)).String())
	said = Verdict(f.View, words, now).Next
	g := f.due().then(plan.Launched{PID: 2, SpecHash: app.Spec}).then(exit)
	require.Contains(t, said, "the next attempt waits "+round(g.DueAt.Sub(g.at)).String())
}

// Who reads it by another program than the command line is told of no command of ours.
func TestAnExplanationNamesNoProgramOfItsOwn(t *testing.T) {
	app := previewApp(t, nil)
	for _, v := range []View{seen(app), view(app, live...), view(app, crash...), held(view(app, live...)),
		{Instance: plan.New("web")}} {
		v.Leaving = "half a list"
		d := Verdict(v, Terms{}, now)
		said := strings.Join(append(d.Change, d.Summary, d.Next, v.Status(Terms{}).Reason), "\n")
		require.NotContains(t, said, "procman ")
		require.NotContains(t, said, "file")
		c, _ := Preview(v, previewApp(t, func(a *messages.AppInstance) { a.WasmPath = "b.wasm" }), Terms{}, now)
		require.NotContains(t, c.Why, "procman")
		require.NotContains(t, c.Why, "file")
	}
}

// A phase or a reason that is added must not leave a reader without words.
func TestThereIsAVerdictForEveryPhaseAndEveryReason(t *testing.T) {
	for _, phase := range messages.Phases() {
		v := Verdict(View{Instance: plan.Instance{ID: "web", Phase: phase}}, words, time.Now())
		require.NotEmpty(t, v.Summary, phase)
		require.NotEmpty(t, v.Next, phase)
		require.False(t, strings.HasSuffix(v.Summary, ": "), "%s: %q", phase, v.Summary)
	}
	said := map[string]messages.ExitReason{}
	for _, reason := range []messages.ExitReason{messages.ReasonExit, messages.ReasonSignal, messages.ReasonUnhealthy,
		messages.ReasonStopped,
		messages.ReasonChanged, messages.ReasonStartFailed, messages.ReasonPortConflict, messages.ReasonUnknown} {
		v := Verdict(View{Instance: plan.Instance{ID: "web", Phase: messages.Stopped,
			LastExit: &messages.Exit{Reason: reason, Signal: "TERM"}}}, words, time.Now())
		require.NotEmpty(t, v.Exit)
		require.Empty(t, said[v.Exit], "two reasons have the same words")
		said[v.Exit] = reason
	}
}

func BenchmarkVerdict(b *testing.B) {
	app, err := plan.NewApp(messages.AppInstance{InstanceID: "web", WasmPath: "a.wasm", DbName: "a.db"})
	require.NoError(b, err)
	for name, v := range map[string]View{"running": view(app, live...), "backoff": view(app, crash...)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Verdict(v, words, now)
			}
		})
	}
}
