package plan

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

// everyEvent returns one event of each name.
func everyEvent(app *App) map[string]Event {
	return map[string]Event{
		"Want": Want{app}, "Unwant": Unwant{}, "Survivor": Survivor{},
		"Launched":     Launched{PID: 1, Port: 1, SpecHash: app.Spec},
		"Refused":      Refused{Err: &messages.StartError{Fault: messages.FaultNoPort}},
		"LaunchFailed": LaunchFailed{Err: messages.ErrNoRun}, "Ready": Ready{}, "Probed": Probed{},
		"Unhealthy": Unhealthy{},
		"Lingers":   Lingers{Exit: &messages.Exit{Known: true}}, "Exited": Exited{}, "Lost": Lost{}, "Due": Due{},
		"Retry": Retry{}, "Restart": Restart{},
	}
}

func newApp(t require.TestingT, change func(*messages.AppInstance)) *App {
	a := messages.AppInstance{InstanceID: "web", WasmPath: "web.wasm", DbName: "web.db"}
	if change != nil {
		change(&a)
	}
	app, err := NewApp(a)
	require.NoError(t, err)
	return app
}

func TestEveryEventHasACellInEveryPhase(t *testing.T) {
	app := newApp(t, nil)
	events := everyEvent(app)
	require.Len(t, table, len(events))
	require.Len(t, Events(), len(events))
	count := 0
	for _, name := range Events() {
		require.Len(t, table[name], len(messages.Phases()), name)
		require.Equal(t, name, Name(events[name]))
		for _, phase := range messages.Phases() {
			require.NotEmpty(t, Cell(name, phase), "%s in %s", name, phase)
			require.NotNil(t, table[name][phase].do)
			count++
		}
	}
	require.Equal(t, 15*6, count)
}

func TestAnIgnoredEventChangesNothingAndABugIsReported(t *testing.T) {
	app := newApp(t, nil)
	now := time.Unix(1000, 0)
	for name, e := range everyEvent(app) {
		for _, phase := range messages.Phases() {
			i := New("web")
			i.Phase, i.Want, i.Have, i.Spec = phase, app, app, app.Spec
			next, actions := Step(i, now, e)
			switch Cell(name, phase) {
			case ".":
				require.Equal(t, i, next, "%s in %s", name, phase)
				require.Empty(t, actions)
			case "!":
				require.Equal(t, i, next, "%s in %s", name, phase)
				require.Equal(t, []Action{Bug{Event: name, Phase: phase}}, actions)
			default:
				for _, a := range actions {
					require.NotEqual(t, Bug{Event: name, Phase: phase}, a)
				}
			}
		}
	}
}

func TestAnEventWithoutACellIsABug(t *testing.T) {
	i := New("web")
	i.Phase = "nonsense"
	next, actions := Step(i, time.Time{}, Lost{})
	require.Equal(t, i, next)
	require.Equal(t, []Action{Bug{Event: "Lost", Phase: "nonsense"}}, actions)
}
