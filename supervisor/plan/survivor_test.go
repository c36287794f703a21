package plan

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

// F102: that run 5 was healthy for an hour says nothing of run 4.
func TestWhatIsRememberedOfOneRunIsNeverSaidOfAnother(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	for name, c := range map[string]struct {
		run     int
		healthy bool
	}{"the same run": {5, true}, "an earlier run": {4, false}, "a later run": {6, false}} {
		t.Run(name, func(t *testing.T) {
			mem := messages.Memory{ID: "web", Run: 5, Phase: messages.Running, HealthySince: now.Add(-time.Hour)}
			i, actions := Step(New("web"), now, Survivor{Memory: mem,
				Found: &messages.Survivor{ID: "web", Run: c.run, PID: 7, Alive: true}})
			require.Equal(t, []any{messages.Starting, c.run, !c.healthy},
				[]any{i.Phase, i.Run, i.HealthySince.IsZero()})
			require.Equal(t, c.healthy, actions[0].(Adopt).Ready)
		})
	}
}

func TestASurvivorInDoubtIsAdoptedOrNotButNeverReplaced(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	mem := messages.Memory{ID: "web", Run: 5, Phase: messages.Running}
	app := newApp(t, nil)
	found := &messages.Survivor{ID: "web", Run: 5, PID: 7, SpecHash: app.Spec, Alive: true,
		Unclear: "cannot tell: process 7"}
	i, actions := Step(New("web"), now, Survivor{Memory: mem, Found: found})
	require.Len(t, actions, 1)
	require.IsType(t, Adopt{}, actions[0])
	require.Equal(t, []any{messages.Starting, 0, "waits: cannot tell: process 7"}, []any{i.Phase, i.PID, i.Reason})
	require.Empty(t, i.Memory(false).Reason, "a later manager finds out for itself")

	i, _ = Step(i, now, Want{App: app})
	i, actions = Step(i, now, Refused{Err: &messages.StartError{Fault: messages.FaultUnclear,
		Err: errors.New("process 7")}})
	require.Equal(t, "cannot tell: process 7", i.Doubt)
	require.NotEmpty(t, actions)
	i, actions = Step(i, now, Refused{Err: &messages.StartError{Fault: messages.FaultUnclear,
		Err: errors.New("process 7")}})
	require.Empty(t, actions, "it is said once")

	t.Run("there never was one", func(t *testing.T) {
		i, _ := Step(i, now, LaunchFailed{Err: messages.ErrNoRun})
		require.Empty(t, i.Doubt)
		require.False(t, i.LastExit.Known)
		require.Equal(t, messages.ReasonUnknown, i.LastExit.Reason)
	})
}

func TestWhatIsLeftAloneIsSaidOfAStoppedInstance(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	starting := func() Instance {
		i, _ := Step(New("web"), now, Want{App: newApp(t, nil)})
		return i
	}
	t.Run("it runs elsewhere", func(t *testing.T) {
		i, _ := Step(starting(), now, Refused{Err: &messages.StartError{Fault: messages.FaultElsewhere,
			Err: errors.New("process 7"), Help: "wait"}})
		i, _ = Step(i, now, Unwant{})
		i, _ = Step(i, now, LaunchFailed{Err: errors.New("cancelled")})
		require.Equal(t, messages.Stopped, i.Phase)
		require.Equal(t, "runs elsewhere: process 7", i.Status().Left(), "without the advice that is for a start")
	})
	t.Run("by policy", func(t *testing.T) {
		i, _ := Step(starting(), now, Launched{PID: 5, Port: 1})
		i, _ = Step(i, now, Unwant{})
		i, _ = Step(i, now, Exited{Rest: messages.Rest{Left: []messages.Member{{PID: 8, Name: "cache"}}}})
		require.Contains(t, i.Status().Left(), "pid 8 (cache)")
		require.Empty(t, i.Memory(false).Reason, "a later manager looks for itself")
		i, _ = Step(i, now, Want{App: newApp(t, nil)})
		require.Empty(t, i.Status().Left())
	})
}
