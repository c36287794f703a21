package spawn

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

func TestATurnIsHadByOneAtATime(t *testing.T) {
	var turn turn
	had, most := 0, 0
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			if turn.take(context.Background()) != nil {
				return
			}
			defer turn.give()
			had++
			most = max(most, had)
			had--
		})
	}
	all.Wait()
	require.Equal(t, 1, most)
	require.True(t, turn.try())
}

func TestWhoWaitsForATurnGivesUpOrGetsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var turn turn
		require.True(t, turn.try())
		require.False(t, turn.try())
		ctx, cancel := context.WithCancel(t.Context())
		left, got := make(chan error, 1), make(chan error, 1)
		go func() { left <- turn.take(ctx) }()
		go func() { got <- turn.take(t.Context()) }()
		synctest.Wait()
		cancel()
		require.ErrorIs(t, <-left, context.Canceled)
		synctest.Wait()
		require.Empty(t, got)
		turn.give()
		require.NoError(t, <-got)
		turn.give()
		require.NoError(t, turn.take(ctx), "it is free")
	})
}

func (t *turn) isTaken() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.taken
}
