package actors

import (
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

func TestManyMailboxesAreWorkedOffByFewInTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &dispatcher{most: 2}
		var now, most atomic.Int64
		hold := make(chan struct{})
		var order []int
		for n := range 1000 {
			d.Schedule(func() {
				if at := now.Add(1); at > most.Load() {
					most.Store(at)
				}
				if n < 2 {
					<-hold
				}
				if n == 2 {
					d.Schedule(func() { order = append(order, 1000) })
				}
				if n >= 2 {
					order = append(order, n)
				}
				if n == 0 {
					<-hold // one is enough for those that wait
				}
				now.Add(-1)
			})
		}
		synctest.Wait()
		require.Empty(t, order)
		require.EqualValues(t, 2, now.Load())
		hold <- struct{}{}
		hold <- struct{}{}
		synctest.Wait()
		close(hold)
		synctest.Wait()
		require.EqualValues(t, 2, most.Load())
		require.Len(t, order, 999)
		require.IsIncreasing(t, order)
		require.Zero(t, d.working)
		require.Nil(t, d.waiting)
		d.Schedule(func() { order = nil })
		synctest.Wait()
		require.Nil(t, order)
	})
}
