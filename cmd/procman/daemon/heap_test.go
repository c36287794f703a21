package daemon

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

func TestMemoryIsGivenBackOnceAfterABurstAndNotWhileItLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		given := 0
		h := &heap{free: func() { given++ }}
		started := messages.Event{What: messages.InstanceStarted}
		for range heapBurst - 1 {
			h.event(started)
			h.event(messages.Event{What: messages.InstanceReady})
		}
		time.Sleep(time.Hour)
		require.Zero(t, given, "so few leave little behind")
		for range 10 {
			h.event(started)
			time.Sleep(heapQuiet - time.Second)
		}
		require.Zero(t, given, "it lasts")
		time.Sleep(heapQuiet)
		require.Equal(t, 1, given)
		time.Sleep(time.Hour)
		require.Equal(t, 1, given, "nothing is done when nothing happens")

		h.reconciled(messages.Reconciled{Listed: 10 * heapBurst})
		time.Sleep(heapQuiet + time.Second)
		require.Equal(t, 2, given)
		h.reconciled(messages.Reconciled{Listed: 10 * heapBurst})
		time.Sleep(heapQuiet + time.Second)
		require.Equal(t, 2, given, "not again and again")
		time.Sleep(heapAgain)
		require.Equal(t, 3, given)

		h.reconciled(messages.Reconciled{Listed: 10 * heapBurst})
		require.NoError(t, h.Close())
		time.Sleep(time.Hour)
		require.Equal(t, 3, given)
	})
}
