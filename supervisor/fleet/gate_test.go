package fleet

import (
	"log/slog"
	"testing"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"

	"procman/messages"
	"procman/supervisor"
)

func TestWhatIsWantedAgainWhileItEndsIsDownOnceItsNextRunWaits(t *testing.T) {
	system := supervisor.NewSystem(slog.New(slog.DiscardHandler))
	defer system.Shutdown()
	told := make(chan struct{}, 1)
	h := &Host{gate: newGate(), system: system, pid: system.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		if _, is := c.Message().(settled); is {
			told <- struct{}{}
		}
	}))}
	h.gate.living["a"] = 1
	starting := func(run int) {
		h.Observer().Transition(messages.Transition{ID: "a", From: messages.Stopping, To: messages.Starting,
			Status: messages.Status{ID: "a", Run: run}})
	}
	starting(1)
	require.False(t, h.gate.down("a"), "it tells of the run that lives by now")
	starting(2)
	require.True(t, h.gate.down("a"))
	<-told // and so it is claimed anew
}
