package plan

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

// ended are the ways in which an instance has no process though it is in the list.
var ended = map[string]struct {
	mode messages.RestartMode
	exit int
}{
	"a job that is done":        {messages.RestartOnFailure, 0},
	"one that never runs again": {messages.RestartNever, 1},
	"one in backoff":            {messages.RestartAlways, 1},
}

func modeApp(t *testing.T, mode messages.RestartMode, change func(*messages.AppInstance)) *App {
	a := messages.AppInstance{
		InstanceID: "web", WasmPath: "a.wasm", DbName: "a.db", WorkDir: "/srv",
		Env: map[string]string{"LEVEL": "info", "TOKEN": "correct-horse"}, Secrets: []string{"TOKEN"},
		Labels: map[string]string{"team": "a"},
	}
	a.Restart.Mode = mode
	if change != nil {
		change(&a)
	}
	app, err := NewApp(a)
	require.NoError(t, err)
	return app
}

// run makes an instance that was wanted, ran and ended.
func run(t *testing.T, app *App, exit int) Instance {
	t.Helper()
	i := New("web")
	for _, e := range []Event{Want{app}, Launched{PID: 1, Port: 1, SpecHash: app.Spec},
		Ready{}, Exited{Exit: messages.Exit{Known: true, Code: exit}}} {
		i, _ = Step(i, modelNow, e)
	}
	require.False(t, i.Live())
	return i
}

func launches(actions []Action) bool {
	for _, a := range actions {
		if _, is := a.(Launch); is {
			return true
		}
	}
	return false
}

// F131: whoever edits a label wants no job to run a second time; with the manager up or down.
func TestOnlyAnEditOfWhatRunsOrOfItsRestartPolicyStartsWhatHadEnded(t *testing.T) {
	edits := map[string]struct {
		change func(*messages.AppInstance)
		wish   bool
	}{
		"a label":         {func(a *messages.AppInstance) { a.Labels = map[string]string{"team": "b"} }, false},
		"health.interval": {func(a *messages.AppInstance) { a.Health.Interval = time.Second }, false},
		"health.failures": {func(a *messages.AppInstance) { a.Health.Failures = 9 }, false},
		"start.deadline":  {func(a *messages.AppInstance) { a.Start.Deadline = time.Hour }, false},
		"stop.grace":      {func(a *messages.AppInstance) { a.Stop.Grace = time.Hour }, false},
		"secrets":         {func(a *messages.AppInstance) { a.Secrets = nil }, false},
		"wasm_path":       {func(a *messages.AppInstance) { a.WasmPath = "b.wasm" }, true},
		"env":             {func(a *messages.AppInstance) { a.Env = map[string]string{"LEVEL": "debug"} }, true},
		"restart.max":     {func(a *messages.AppInstance) { a.Restart.Max = time.Hour }, true},
		"restart.mode": {func(a *messages.AppInstance) {
			a.Restart.Mode = messages.RestartAlways
			a.Restart.Jitter = 0.5
		}, true},
		"a label and restart.jitter": {func(a *messages.AppInstance) {
			a.Labels, a.Restart.Jitter = nil, 0.3
		}, true},
	}
	for how, end := range ended {
		app := modeApp(t, end.mode, nil)
		for what, edit := range edits {
			t.Run(how+", "+what, func(t *testing.T) {
				next := modeApp(t, end.mode, edit.change)
				before := run(t, app, end.exit)
				after, actions := Step(before, modelNow, Want{next})
				require.Equal(t, edit.wish, launches(actions), "with the manager up")
				require.Same(t, next, after.Want)
				if !edit.wish {
					require.Equal(t, before.Phase, after.Phase)
					require.Equal(t, before.DueAt, after.DueAt, "a delay goes on")
					require.Equal(t, before.Attempts, after.Attempts)
				}
				i, _ := Step(New("web"), modelNow, Survivor{Memory: before.Memory(false)})
				_, actions = Step(i, modelNow, Want{next})
				require.Equal(t, edit.wish, launches(actions), "with the manager down")
				i, actions = Step(i, modelNow, Want{app})
				require.False(t, launches(actions), "and what was not edited starts nothing")
				require.Equal(t, before.Phase, i.Phase)
			})
		}
	}
}

func TestAMemoryThatKnowsNoRestartPolicyIsNoEditOfIt(t *testing.T) {
	app := modeApp(t, messages.RestartOnFailure, nil)
	memory := run(t, app, 0).Memory(false)
	memory.Rule = ""
	i, _ := Step(New("web"), modelNow, Survivor{Memory: memory})
	i, actions := Step(i, modelNow, Want{app})
	require.False(t, launches(actions))
	require.Equal(t, app.Rule, i.Memory(false).Rule, "from now on it does")
}

func TestEnablingStartsWhateverHadEnded(t *testing.T) {
	for how, end := range ended {
		t.Run(how, func(t *testing.T) {
			app := modeApp(t, end.mode, nil)
			i, _ := Step(run(t, app, end.exit), modelNow, Unwant{app})
			require.Equal(t, messages.Stopped, i.Phase)
			_, actions := Step(i, modelNow, Want{app})
			require.True(t, launches(actions))
			i, _ = Step(New("web"), modelNow, Survivor{Memory: i.Memory(false)})
			_, actions = Step(i, modelNow, Want{app})
			require.True(t, launches(actions), "also by the next manager")
		})
	}
}

// The hash stands in records of every version: another value would be taken for an edit by an upgrade.
func TestTheHashOfARestartPolicyIsTheSameInEveryVersion(t *testing.T) {
	require.Equal(t, "af026e6e6af5262c", messages.RestartPolicy{}.WithDefaults().Hash())
}

// F132.
func TestFailuresAreForgivenInTheMomentInWhichTheRunIsStable(t *testing.T) {
	app := modeApp(t, messages.RestartAlways, nil)
	after := func(d time.Duration) time.Time { return modelNow.Add(d) }
	crashed := run(t, app, 1)
	require.Equal(t, 1, crashed.Attempts)
	begin := func() (Instance, []Action) {
		i, _ := Step(crashed, crashed.DueAt, Due{crashed.DueAt})
		i, _ = Step(i, modelNow, Launched{PID: 2, Port: 1, SpecHash: app.Spec})
		return Step(i, modelNow, Ready{})
	}
	ok, fail := Probed{Probe: messages.Probe{OK: true}}, Probed{Probe: messages.Probe{Error: "status 500"}}

	i, actions := begin()
	require.Contains(t, actions, Action(Arm{after(time.Minute)}))
	i, _ = Step(i, after(59*time.Second), ok)
	early, _ := Step(i, after(59*time.Second), Due{after(time.Second)})
	require.Equal(t, 1, early.Attempts, "another timer")
	i, actions = Step(i, after(time.Minute), Due{after(time.Minute)})
	require.Zero(t, i.Attempts)
	require.Zero(t, i.Status().ConsecutiveFailures)
	require.Empty(t, actions)

	i, _ = begin()
	i, _ = Step(i, after(59*time.Second), fail)
	i, actions = Step(i, after(time.Minute), Due{after(time.Minute)})
	require.Equal(t, 1, i.Attempts, "it does not answer")
	require.Equal(t, []Action{Arm{after(time.Minute + 15*time.Second)}}, actions)
	failing, _ := Step(i, after(61*time.Second), Unhealthy{Since: after(59 * time.Second)})
	failing, _ = Step(failing, after(61*time.Second), Exited{})
	require.Equal(t, 2, failing.Attempts, "it never was stable")
	i, _ = Step(i, after(62*time.Second), ok)
	i, _ = Step(i, after(75*time.Second), Due{after(75 * time.Second)})
	require.Zero(t, i.Attempts)

	i, _ = begin()
	shorter := modeApp(t, messages.RestartAlways,
		func(a *messages.AppInstance) { a.Restart.StableAfter = 20 * time.Second })
	_, actions = Step(i, after(5*time.Second), Want{shorter})
	require.Equal(t, []Action{Apply{shorter}, Arm{after(20 * time.Second)}}, actions)

	i, _ = begin()
	i, _ = Step(New("web"), after(time.Hour), Survivor{Memory: i.Memory(false),
		Found: &messages.Survivor{Run: 2, PID: 2, SpecHash: app.Spec, Alive: true}})
	i, _ = Step(i, after(time.Hour), Launched{PID: 2, Port: 1, SpecHash: app.Spec, Adopted: true})
	i, actions = Step(i, after(time.Hour), Want{app})
	require.Contains(t, actions, Action(Arm{after(time.Hour + 15*time.Second)}),
		"nobody watched: it is looked once more")
	require.Equal(t, 1, i.Attempts)
}
