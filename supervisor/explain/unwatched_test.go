package explain

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

func TestWhatNobodySupervisesIsToldAsItIs(t *testing.T) {
	exited := messages.Exit{Code: 1, Known: true, Reason: messages.ReasonExit}
	alive := &messages.Survivor{Run: 4, PID: 812, Port: 30001, StartedAt: now, Alive: true}
	dead := &messages.Survivor{Run: 4, PID: 812, Port: 30001, Exit: exited}
	for name, c := range map[string]struct {
		found  *messages.Survivor
		memory messages.Memory
		phase  messages.Phase
		reason string
	}{
		"alive": {alive, messages.Memory{Run: 4, Phase: messages.Running, HealthySince: now},
			messages.Running, "unsupervised: no daemon; the process runs on"},
		"alive and nothing remembered": {alive, messages.Memory{}, messages.Starting,
			"unsupervised: no daemon; the process runs on"},
		"alive in a newer run": {alive, messages.Memory{Run: 3, Exited: true, Phase: messages.Backoff, Reason: "old"},
			messages.Starting, "unsupervised: no daemon; the process runs on"},
		"alive and being stopped": {alive, messages.Memory{Run: 4, Phase: messages.Stopping,
			StopAs: messages.ReasonStopped, Reason: "not wanted"},
			messages.Stopping, "unsupervised: no daemon; the process runs on; it was told to stop (not wanted)"},
		"alive and held": {alive, messages.Memory{Run: 4, Phase: messages.Stopping, StopAs: messages.ReasonStopped,
			Held: true, HeldBy: "uid 0"},
			messages.Stopping, "unsupervised: no daemon; held: stopped by uid 0, but the process runs on"},
		"ended unseen": {dead, messages.Memory{Run: 4, Phase: messages.Running, HealthySince: now},
			messages.Stopped, "unsupervised: exited with code 1 while nobody watched"},
		"ended unseen after what is remembered": {dead, messages.Memory{Run: 3, Exited: true, Phase: messages.Backoff},
			messages.Stopped, "unsupervised: exited with code 1 while nobody watched"},
		"ended with the host": {&messages.Survivor{Run: 4},
			messages.Memory{Run: 4, Phase: messages.Running, Rebooted: true},
			messages.Stopped, "unsupervised: ended when the host was restarted"},
		"backoff, late": {dead, messages.Memory{Run: 4, Exited: true, Phase: messages.Backoff,
			Reason: "exited with code 1", DueAt: now.Add(-time.Minute)},
			messages.Backoff, "unsupervised: was in backoff, next start was due 2026-01-02T03:03:05Z; exited with " +
				"code 1"},
		"backoff": {dead, messages.Memory{Run: 4, Exited: true, Phase: messages.Backoff, DueAt: now.Add(time.Minute)},
			messages.Backoff, "unsupervised: was in backoff, next start is due 2026-01-02T03:05:05Z"},
		"failed": {nil, messages.Memory{Run: 4, Exited: true, Phase: messages.Failed, Reason: "too often"},
			messages.Failed, "unsupervised: no daemon; too often"},
		"held": {dead, messages.Memory{Run: 4, Exited: true, Phase: messages.Stopped, Held: true, HeldBy: "uid 0",
			HeldAt: now},
			messages.Stopped, "held: stopped by uid 0 at 2026-01-02T03:04:05Z; `do start a` ends that, once a daemon " +
				"runs"},
	} {
		t.Run(name, func(t *testing.T) {
			c.memory.ID = "a"
			s := Unwatched(c.memory, c.found, words, now)
			require.Equal(t, []any{c.phase, c.reason, messages.HealthUnknown}, []any{s.Phase, s.Reason, s.Health})
			v := c.found
			require.Equal(t, v != nil && v.Alive, s.PID == 812 && s.Port == 30001 && s.StartedAt != nil)
			require.Nil(t, s.NextStartAt, "nobody will start it")
		})
	}
	require.Equal(t, exited, *Unwatched(messages.Memory{}, dead, words, now).LastExit)
	require.Equal(t, 3, Unwatched(messages.Memory{Run: 4, Starts: 4, Counted: true}, alive, words, now).Restarts)
	require.Equal(t, 3, Unwatched(messages.Memory{Run: 3, Starts: 3, Counted: true}, alive, words, now).Restarts)
}

// What `why` says of the newest attempt is the same with a manager and without one.
func TestAnAttemptHasOneNumberWithAManagerAndWithout(t *testing.T) {
	v := view(previewApp(t, nil), crash...)
	kept := UnwatchedVerdict(Unwatched(v.Memory(false), nil, words, now))
	require.Equal(t, Verdict(v, words, now).Attempt, kept.Attempt)
	require.Equal(t, Verdict(v, words, now).Exit, kept.Exit)
}
