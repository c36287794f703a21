package supervisor

import (
	"testing"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"
)

func TestASlimRegistryHasAllThatItHad(t *testing.T) {
	system := actor.NewActorSystem()
	slim(system.ProcessRegistry)
	_, there := system.ProcessRegistry.GetLocal("eventstream")
	require.True(t, there)
	require.Len(t, system.ProcessRegistry.LocalPIDs.LocalPIDs, 1)
	pid := system.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		if c.Message() == "ask" {
			c.Respond("answer")
		}
	}))
	answer, err := system.Root.RequestFuture(pid, "ask", 60e9).Result()
	require.NoError(t, err)
	require.Equal(t, "answer", answer)
	require.NoError(t, system.Root.StopFuture(pid).Wait())
	_, there = system.ProcessRegistry.GetLocal(pid.Id)
	require.False(t, there)
}
