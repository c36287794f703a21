package test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
	"procman/supervisor"
	"procman/test/fake"
)

func TestAPingIsAnsweredByTheRootItselfAndByNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := fake.NewWorld(t)
		require.NoError(t, w.Ping(t.Context()))

		stuck := make(chan struct{})
		subscription := w.System.EventStream.Subscribe(func(published any) {
			if _, is := published.(messages.Reconciled); is {
				<-stuck // the root calls this
			}
		})
		w.Provider.Set()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.ErrorIs(t, w.Ping(ctx), context.DeadlineExceeded)
		w.System.EventStream.Unsubscribe(subscription)
		close(stuck)
		require.NoError(t, w.Ping(t.Context()))

		require.NoError(t, w.Detach(t.Context()))
		require.ErrorIs(t, w.Ping(t.Context()), supervisor.ErrStopped)
	})
}
