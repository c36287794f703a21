package daemon

import (
	"os"
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
		var growth atomic.Int64
		h := &heap{free: func() { given.Add(1) }, grow: func(percent int) { growth.Store(int64(percent)) }}
		started := messages.Event{What: messages.InstanceStarted}
		for range heapMany - 1 {
			h.event(started)
			h.event(messages.Event{What: messages.InstanceReady})
		}
		time.Sleep(time.Hour)
		require.Zero(t, given.Load(), "so few leave little behind")
		require.Zero(t, growth.Load())
		for range 10 {
			h.event(started)
			time.Sleep(heapQuiet - time.Second)
		}
		require.Zero(t, given.Load(), "it lasts")
		require.EqualValues(t, heapBurst, growth.Load())
		time.Sleep(heapQuiet)
		require.EqualValues(t, 1, given.Load())
		require.EqualValues(t, heapGrowth, growth.Load())
		time.Sleep(time.Hour)
		require.EqualValues(t, 1, given.Load(), "nothing is done when nothing happens")

		h.reconciled(messages.Reconciled{Listed: 20 * heapMany, Added: 10 * heapMany})
		time.Sleep(heapQuiet + time.Second)
		require.EqualValues(t, 2, given.Load())
		h.reconciled(messages.Reconciled{Listed: 20 * heapMany, Added: 10 * heapMany})
		time.Sleep(heapQuiet + time.Second)
		require.EqualValues(t, 2, given.Load(), "not again and again")
		time.Sleep(heapAgain)
		require.EqualValues(t, 3, given.Load())

		h.reconciled(messages.Reconciled{Listed: 20 * heapMany, Added: 10 * heapMany})
		h.ending()
		time.Sleep(time.Hour)
		require.EqualValues(t, 3, given.Load())
		require.EqualValues(t, heapOpening, growth.Load(), "what ends lets its garbage be")
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
	h := newHeap(os.Getenv)
	h.mu.Lock()
	armed := h.timer != nil
	h.mu.Unlock()
	require.True(t, armed)
	require.NoError(t, h.Close())
}
