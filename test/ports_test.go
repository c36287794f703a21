package test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
	"procman/test/fake"
)

func TestEachInstanceHasAPortOfItsOwnAndKeepsItOverRestarts(t *testing.T) {
	bubble(t, "5.4 Dynamic allocation", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering(), fake.Backoff(time.Second))
		w.Want("a", "b")
		require.NotEqual(t, w.Process("a").Port(), w.Process("b").Port())
		port := w.Process("a").Port()
		for range 5 {
			w.Process("a").Die("KILL")
			w.Pass(time.Minute)
		}
		require.Equal(t, port, w.Process("a").Port())
	})
}

func TestAPortIsFreeAgainWhenItsInstanceIsStopped(t *testing.T) {
	bubble(t, "5.4 Port release", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering())
		w.Want("a", "b")
		w.Pass(time.Second)
		w.Want("b")
		w.Pass(time.Second)
		require.Len(t, w.Ports.Kept(), 1)
		require.NoError(t, w.Stop(context.Background(), "b"))
		w.Pass(time.Second)
		require.Empty(t, w.Ports.Kept())
	})
}

func TestAPortConflictTriesAnotherPortAtOnce(t *testing.T) {
	bubble(t, "7 Port conflicts", func(t *testing.T) {
		w := fake.NewWorld(t)
		w.Want("web")
		first := w.Process("web")
		w.Ports.Steal(first.Port())
		first.Exit(5)
		second := w.Process("web")
		require.NotEqual(t, first.Port(), second.Port(), "at once, without a backoff")
		require.NotSame(t, first, second)
		require.Len(t, w.Log.Records("port conflict", "web"), 1)
		require.Equal(t, 0, w.Of("web").ConsecutiveFailures)
		require.Equal(t, messages.ReasonPortConflict, w.Of("web").LastExit.Reason)
	})
}

func TestPortConflictsWithoutEndAreNoHotLoop(t *testing.T) {
	bubble(t, "7 Port conflicts", func(t *testing.T) {
		w := fake.NewWorld(t)
		for port := 30000; port < 31000; port++ {
			w.Ports.Steal(port)
		}
		w.Want("web")
		for range 40 {
			w.Process("web").Exit(5)
			w.Pass(100 * time.Millisecond)
		}
		require.Less(t, w.Spawns("web"), 12)
	})
}

func TestWithoutAFreePortNothingIsStartedAndItIsTriedAgain(t *testing.T) {
	bubble(t, "5.4, 7", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering())
		w.Ports.Exhaust(&messages.StartError{Fault: messages.FaultNoPort, Help: "widen ports.range"})
		w.Want("web")
		w.Pass(10 * time.Second)
		require.Equal(t, 0, w.Spawns("web"))
		require.Contains(t, w.Of("web").Reason, "no free port; widen ports.range")
		w.Ports.Exhaust(nil)
		w.Pass(time.Minute)
		require.Equal(t, messages.Running, w.Of("web").Phase)
	})
}
