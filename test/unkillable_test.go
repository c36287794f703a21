package test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
	"procman/test/fake"
)

// FAULTS 42: a process that KILL does not end hangs in the kernel. That is said, and nobody is started beside it.
func TestAProcessThatKillDoesNotEndKeepsItsPortAndIsNamedAndOthersAreUntouched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering())
		w.Want("stuck", "other")
		w.Pass(time.Second)
		p, other := w.Process("stuck"), w.Process("other")
		p.IgnoreTERM()
		p.IgnoreKILL(true)
		require.NoError(t, w.Restart(t.Context(), "stuck"))
		w.Pass(time.Minute)
		s := w.Of("stuck")
		require.Equal(t, messages.Stopping, s.Phase)
		require.Contains(t, s.Reason, "KILL does not end pid")
		require.Equal(t, 1, w.Spawns("stuck"), "no second one is started")
		require.Contains(t, w.Ports.Leased(), messages.InstanceID("stuck"))
		require.NoError(t, w.Restart(t.Context(), "other"))
		w.Pass(time.Second)
		require.Equal(t, messages.Running, w.Of("other").Phase, "others are stopped and started as ever")
		require.NotEqual(t, other, w.Process("other"))

		p.IgnoreKILL(false)
		w.Pass(10 * time.Second)
		require.Equal(t, messages.Running, w.Of("stuck").Phase)
		require.Equal(t, 2, w.Spawns("stuck"))
		require.Empty(t, w.Log.Bugs())
	})
}

// F105: what a run leaves behind is waited for, also over the death of the manager.
func TestAWorkerThatDrainsIsWaitedForAlsoByTheNextManager(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering(), fake.Each(
			func(a *messages.AppInstance) { a.Stop.Grace = 20 * time.Second }))
		w.Want("web")
		w.Pass(time.Second)
		p := w.Process("web")
		p.Fork(messages.Member{PID: 7, Name: "worker"})
		require.NoError(t, w.Restart(t.Context(), "web"))
		w.Pass(5 * time.Second)
		require.Equal(t, messages.Stopping, w.Of("web").Phase)
		require.Contains(t, w.Of("web").Reason, "pid 7 (worker)")
		w.KillManager()
		w.StartManager()
		w.Pass(5 * time.Second)
		require.Equal(t, messages.Stopping, w.Of("web").Phase)
		require.Equal(t, 1, w.Spawns("web"), "nobody is started beside it")
		w.Pass(12 * time.Second)
		require.Equal(t, messages.Running, w.Of("web").Phase)
		require.Equal(t, 2, w.Spawns("web"), "the grace was over, and it was killed")
		require.Empty(t, w.Log.Bugs())
	})
}

// The manager dies while it starts a run, after one of which something was left on purpose. There is nothing to take
// over.
func TestListedDoesNotWaitForWhatAnEarlierRunHasLeftByPolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering(), fake.Each(
			func(a *messages.AppInstance) { a.Stop.Leftovers = messages.LeftoversLeave }))
		w.Want("web")
		w.Pass(2 * time.Minute)
		p := w.Process("web")
		p.Fork(messages.Member{PID: 7, Name: "cache", Away: true})
		w.Spawner.Slow(time.Minute)
		p.Exit(1)
		w.Pass(time.Second)
		require.Equal(t, []any{messages.Starting, 2}, []any{w.Of("web").Phase, w.Of("web").Run})
		w.KillManager()
		w.Spawner.Slow(0)
		w.Want()
		w.StartManager()
		w.Pass(time.Minute)
		require.Empty(t, status(t, w))
		require.True(t, closed(w.Listed()), "nobody is to be taken over")
		require.Empty(t, w.Log.Bugs())
		p.Fork()
	})
}
