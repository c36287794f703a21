package test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
	"procman/supervisor"
	"procman/test/fake"
)

func TestWhatAnInstanceLeftIsRemovedWhenItsTimeIsOver(t *testing.T) {
	bubble(t, "9: retention", func(t *testing.T) {
		keep := 24 * time.Hour
		w := fake.NewWorld(t, fake.Answering(), fake.With(
			func(c *supervisor.Config) { c.Keep = func() time.Duration { return keep } }))
		w.Want("web", "db")
		w.Pass(48 * time.Hour)
		w.Want("db")
		w.Pass(23 * time.Hour)
		require.True(t, w.Memory.Kept("web"))
		w.Pass(2 * time.Hour)
		require.False(t, w.Memory.Kept("web"))
		require.True(t, w.Memory.Kept("db"), "it is in the list")
		require.Len(t, w.Log.Records(string(messages.OutputRemoved), "web"), 1, "it is said")
		require.Empty(t, w.Log.Records(string(messages.OutputRemoved), "db"))

		w.Want("db", "web")
		w.Pass(time.Hour)
		keep = time.Hour // an edit of output.keep
		w.Want("db")
		w.Pass(90 * time.Minute)
		require.False(t, w.Memory.Kept("web"), "it came back, and went by the new rule")
	})
}

func TestWhatIsHeldOrHasAProcessIsNotRemoved(t *testing.T) {
	bubble(t, "9: retention", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering(), fake.With(
			func(c *supervisor.Config) { c.Keep = func() time.Duration { return time.Minute } }))
		w.Want("held", "busy")
		w.Pass(time.Minute)
		require.NoError(t, w.Stop(t.Context(), "held"))
		w.Memory.Obstruct("busy", "a helper of it lives")
		w.Want()
		w.Pass(24 * time.Hour)
		require.True(t, w.Memory.Kept("held"))
		require.True(t, w.Memory.Kept("busy"))
		list, err := w.Prune(t.Context())
		require.NoError(t, err)
		require.Equal(t, []messages.Pruned{{ID: "busy", Kept: "a helper of it lives"}},
			list, "of a hold nothing is to be removed")
		w.Memory.Obstruct("busy", "")
		list, err = w.Prune(t.Context())
		require.NoError(t, err)
		require.Equal(t, []messages.Pruned{{ID: "busy"}}, list)
		require.False(t, w.Memory.Kept("busy"))
	})
}

func TestAManagerThatHasJustBegunRemovesNothing(t *testing.T) {
	bubble(t, "9: retention", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering(), fake.With(
			func(c *supervisor.Config) { c.Keep = func() time.Duration { return 24 * time.Hour } }))
		w.Want("web")
		w.Pass(time.Minute)
		w.Want()
		w.Pass(time.Minute)
		w.KillManager()
		w.Spawner = fake.NewSpawner(t) // no run is on record any more
		w.Pass(100 * time.Hour)
		w.StartManager()
		w.Pass(30 * time.Minute)
		require.True(t, w.Memory.Kept("web"), "its list may be a wrong one")
		w.Pass(time.Hour)
		require.False(t, w.Memory.Kept("web"))
	})
}
