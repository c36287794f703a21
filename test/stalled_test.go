package test

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
	"procman/supervisor"
	"procman/test/fake"
)

// fullMemory is on a disk without room.
type fullMemory struct{ supervisor.Memory }

func (fullMemory) Remember(messages.Memory) error { return syscall.ENOSPC }

func TestAFullDiskRefusesNoStopAndNoStart(t *testing.T) {
	bubble(t, "F118", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering(), fake.With(
			func(c *supervisor.Config) { c.Memory = fullMemory{c.Memory} }))
		w.Want("web")
		w.Pass(time.Minute)
		var unsaved *messages.UnsavedError
		err := w.Stop(context.Background(), "web")
		require.ErrorAs(t, err, &unsaved)
		require.EqualError(t, err, "stopped, but this could not be written (no space left on device): a crash of the "+
			"daemon would forget it")
		w.Pass(time.Second)
		require.Equal(t, messages.Stopped, w.Of("web").Phase)
		require.Contains(t, w.Of("web").Unsaved, "no space left on device")
		require.NoError(t, w.Start(context.Background(), "web"), "that it is not held is what the disk says")
		w.Pass(time.Second)
		require.Equal(t, messages.Running, w.Of("web").Phase)
	})
}

func TestAStallingDiskDelaysNoStopAndTheAskerIsToldInTime(t *testing.T) {
	bubble(t, "F119", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering(), fake.With(
			func(c *supervisor.Config) { c.Memory = slowMemory{c.Memory, time.Hour} }))
		w.Want("web", "db")
		w.Pass(time.Minute)
		began := time.Now()
		require.ErrorContains(t, w.Stop(context.Background(), "web"),
			"stopped, but this could not be written (the state disk does not answer since 2s)")
		require.Equal(t, 2*time.Second, time.Since(began))
		require.Equal(t, messages.Stopped, w.Of("web").Phase)
		require.NoError(t, w.Restart(context.Background(), "db"))
		w.Pass(time.Second)
		require.Equal(t, 2, w.Spawns("db"))
		w.Pass(2 * time.Hour)
		require.Empty(t, w.Of("web").Unsaved)
	})
}

func TestWhatAnAskerGaveUpIsNotDoneLater(t *testing.T) {
	bubble(t, "F119", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering())
		w.Want("web")
		w.Pass(time.Minute)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := w.Stop(ctx, "web"); errors.Is(err, context.Canceled) && !errors.As(err, new(*messages.UnsavedError)) {
			w.Pass(time.Hour)
			require.Equal(t, messages.Running, w.Of("web").Phase)
		}
	})
}

func TestShutdownReturnsWhenItsTimeIsOverAndNamesWhatStillRuns(t *testing.T) {
	bubble(t, "F160", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering())
		w.Want("web")
		w.Pass(time.Minute)
		w.Process("web").IgnoreTERM()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		began := time.Now()
		err := w.Shutdown(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "these are left running: web (pid")
		require.Equal(t, time.Second, time.Since(began))
		<-w.Done()
		require.True(t, w.Process("web").Alive())
	})
}
