package plan

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

func TestWhoGoesFirstOfThoseThatStart(t *testing.T) {
	app := newApp(t, nil)
	other := newApp(t, func(a *messages.AppInstance) { a.WasmPath = "other.wasm" })
	launched := Launched{PID: 1, Port: 1, SpecHash: app.Spec}
	crash := Exited{Exit: messages.Exit{Known: true, Code: 1}}
	stopped := Exited{Exit: messages.Exit{Known: true}}
	const hour = time.Hour
	for _, c := range []struct {
		name   string
		events []any // a Duration passes
		want   messages.Precedence
	}{
		{"a new one", []any{Want{app}}, messages.PrecedenceFirst},
		{"one that was stable", []any{Want{app}, launched, Ready{}, hour, crash}, messages.PrecedenceUrgent},
		{"one that was stable and did not answer any more",
			[]any{Want{app}, launched, Ready{}, hour, Unhealthy{}, stopped}, messages.PrecedenceUrgent},
		{"one that failed", []any{Want{app}, launched, crash, hour, Due{}}, messages.PrecedenceFailed},
		{"one that was never healthy", []any{Want{app}, launched, Unhealthy{}, stopped, hour, Due{}},
			messages.PrecedenceFailed},
		{"one that could not be started", []any{Want{app}, LaunchFailed{Err: messages.ErrNoRun}, hour, Due{}},
			messages.PrecedenceFailed},
		{"one that failed twice", []any{Want{app}, launched, crash, hour, Due{}, launched, crash, hour, Due{}},
			messages.PrecedenceFailing},
		{"one that failed often, and was stable", []any{Want{app}, launched, crash, hour, Due{}, launched, crash,
			hour, Due{}, launched, Ready{}, hour, crash}, messages.PrecedenceUrgent},
		{"one whose delay an operator ended", []any{Want{app}, launched, crash, hour, Due{}, launched, crash, Retry{}},
			messages.PrecedenceUrgent},
		{"one that an operator restarts", []any{Want{app}, launched, Restart{}, stopped}, messages.PrecedenceUrgent},
		{"one that served, and was changed", []any{Want{app}, launched, Ready{}, hour, Want{other}, stopped},
			messages.PrecedenceUrgent},
		{"one that was changed before it served", []any{Want{app}, launched, Want{other}, stopped},
			messages.PrecedenceFirst},
		{"one whose port somebody else took", []any{Want{app}, launched, Exited{Exit: crash.Exit, Conflict: true}},
			messages.PrecedenceFirst},
	} {
		t.Run(c.name, func(t *testing.T) {
			i, now := New("web"), time.Unix(1_000_000, 0)
			var last []Launch
			for _, e := range c.events {
				if d, is := e.(time.Duration); is {
					now = now.Add(d)
					continue
				}
				if _, is := e.(Due); is {
					e = Due{i.DueAt}
				}
				var actions []Action
				i, actions = Step(i, now, e.(Event))
				for _, a := range actions {
					if l, is := a.(Launch); is {
						last = append(last, l)
					}
				}
			}
			require.Equal(t, messages.Starting, i.Phase)
			require.Equal(t, c.want, last[len(last)-1].Precedence)
		})
	}
}

func TestWhoeverAsksForOneThatWaitsForItsTurnHasItGoFirst(t *testing.T) {
	i, now := New("web"), time.Unix(1_000_000, 0)
	app := newApp(t, nil)
	i, _ = Step(i, now, Want{app})
	_, actions := Step(i, now, Retry{})
	require.Equal(t, []Action{Urge{}}, actions)
	i, _ = Step(i, now, Launched{PID: 1, Port: 1, SpecHash: app.Spec})
	_, actions = Step(i, now, Retry{})
	require.Empty(t, actions, "it has a process")
}
