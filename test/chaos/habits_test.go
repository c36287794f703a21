package chaos

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestHabitsAreReadAsTheyAreWritten(t *testing.T) {
	h, err := ParseHabits([]string{"clearenv", "closefds", "noreuse", "group", "drain=4", "detach=25", "helper=1.5",
		"slow=200ms"})
	require.NoError(t, err)
	require.Equal(t, Habits{
		ClearEnv: true, CloseFDs: true, NoReuse: true, Group: true,
		Drain: 4 * time.Second, Detach: 25 * time.Second, Helper: 1500 * time.Millisecond, Slow: 200 * time.Millisecond,
	}, h)
	again, err := ParseHabits(h.Words())
	require.NoError(t, err)
	require.Equal(t, h, again)
	for _, word := range []string{"clearenv=1", "drain", "drain=soon", "smoke"} {
		_, err := ParseHabits([]string{word})
		require.Error(t, err, word)
	}
}

func TestWhereAWorkerListensItsMasterDoes(t *testing.T) {
	master, worker := Process{7, 70}, Process{8, 80}
	lives := Lives([]Entry{
		{At: 1, Instance: "a", Run: 1, Process: master, Event: Start},
		{At: 2, Instance: "a", Run: 1, Process: worker, Event: Grandchild, Note: Note{"of": "7", "began": "70"}},
		{At: 3, Instance: "a", Run: 1, Process: worker, Event: Listen, Note: Note{"port": "99"}},
		{At: 4, Instance: "a", Run: 1, Process: worker, Event: Term},
	}, nil)
	require.Len(t, lives, 1)
	require.Equal(t, 99, lives[0].Listening)
	require.Zero(t, lives[0].Terms, "what the worker hears is its own")
}
