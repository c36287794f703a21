package daemon

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

func TestMemoryIsGivenBackOnceAfterABurstAndNotWhileItLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var given atomic.Int64
		h := &heap{free: func() { given.Add(1) }}
		started := messages.Event{What: messages.InstanceStarted}
		for range heapBurst - 1 {
			h.event(started)
			h.event(messages.Event{What: messages.InstanceReady})
		}
		time.Sleep(time.Hour)
		require.Zero(t, given.Load(), "so few leave little behind")
		for range 10 {
			h.event(started)
			time.Sleep(heapQuiet - time.Second)
		}
		require.Zero(t, given.Load(), "it lasts")
		time.Sleep(heapQuiet)
		require.EqualValues(t, 1, given.Load())
		time.Sleep(time.Hour)
		require.EqualValues(t, 1, given.Load(), "nothing is done when nothing happens")

		h.reconciled(messages.Reconciled{Listed: 20 * heapBurst, Added: 10 * heapBurst})
		time.Sleep(heapQuiet + time.Second)
		require.EqualValues(t, 2, given.Load())
		h.reconciled(messages.Reconciled{Listed: 20 * heapBurst, Added: 10 * heapBurst})
		time.Sleep(heapQuiet + time.Second)
		require.EqualValues(t, 2, given.Load(), "not again and again")
		time.Sleep(heapAgain)
		require.EqualValues(t, 3, given.Load())

		h.reconciled(messages.Reconciled{Listed: 20 * heapBurst, Added: 10 * heapBurst})
		require.NoError(t, h.Close())
		time.Sleep(time.Hour)
		require.EqualValues(t, 3, given.Load())
	})
}

func TestWhatACollectionOfGarbageNeedsIsGivenBackOnlyIfItIsNotOneOfMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calm := 0
		h := &heap{calm: func() { calm++ }}
		for range 10 {
			h.collection()
			time.Sleep(time.Second)
		}
		require.Equal(t, 1, calm)
		time.Sleep(heapCalm)
		h.collection()
		require.Equal(t, 2, calm)
		require.NoError(t, h.Close())
		time.Sleep(time.Hour)
		h.collection()
		require.Equal(t, 2, calm)
	})
}

func TestTheStartOfAManagerIsABurst(t *testing.T) {
	h := newHeap()
	h.mu.Lock()
	armed := h.timer != nil
	h.mu.Unlock()
	require.True(t, armed)
	require.NoError(t, h.Close())
}
