package test

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"procman/messages"
	"procman/supervisor"
	"procman/test/fake"
)

func parallel(n int) func(*supervisor.Config) {
	return func(c *supervisor.Config) { c.StartParallel = n }
}

func status(t *testing.T, w *fake.World) []messages.Status {
	t.Helper()
	all, err := w.Status(context.Background())
	require.NoError(t, err)
	return all
}

func TestAHeldInstanceStaysDownUntilItIsStarted(t *testing.T) {
	bubble(t, "6 ProcessController", func(t *testing.T) {
		ctx := context.Background()
		w := fake.NewWorld(t, fake.Answering())
		w.Want("web", "db")
		w.Pass(time.Second)
		require.NoError(t, w.Stop(ctx, "web"))
		require.NoError(t, w.Stop(ctx, "web"), "idempotent")
		w.Pass(time.Hour)
		require.Equal(t, messages.Stopped, w.Of("web").Phase)
		require.True(t, w.Of("web").Held)
		require.Equal(t, messages.ReasonStopped, w.Of("web").LastExit.Reason)
		require.Equal(t, 1, w.Spawns("db"))

		w.KillManager()
		w.StartManager()
		w.Pass(time.Hour)
		require.Equal(t, 1, w.Spawns("web"), "a hold outlives the manager")
		require.True(t, w.Of("web").Held)

		require.NoError(t, w.Start(ctx, "web"))
		require.NoError(t, w.Start(ctx, "web"), "idempotent")
		w.Pass(time.Second)
		require.Equal(t, messages.Running, w.Of("web").Phase)
		require.Equal(t, 2, w.Spawns("web"))
		require.False(t, w.Of("web").Held)
		noBugs(t, w)
	})
}

// slowMemory takes its time to remember.
type slowMemory struct {
	supervisor.Memory
	takes time.Duration
}

func (m slowMemory) Remember(page messages.Memory) error {
	if page.Held {
		time.Sleep(m.takes)
	}
	return m.Memory.Remember(page)
}

func TestAStopThatFollowsAnotherIsNotDoneBeforeTheHoldIsWritten(t *testing.T) {
	bubble(t, "6 ProcessController", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering(), fake.With(
			func(c *supervisor.Config) { c.Memory = slowMemory{c.Memory, time.Second} }))
		w.Want("web")
		w.Pass(time.Minute)
		began := time.Now()
		for range 3 {
			go func() {
				assert.NoError(t, w.Stop(context.Background(), "web"))
				assert.GreaterOrEqual(t, time.Since(began), time.Second, "the hold is not on disk yet")
				s, _ := w.Lookup("web")
				assert.True(t, s.Held)
			}()
		}
		w.Pass(time.Minute)
		require.Equal(t, messages.Stopped, w.Of("web").Phase)
		require.NoError(t, w.Start(context.Background(), "web"))
		w.Pass(time.Minute)
		require.Equal(t, messages.Running, w.Of("web").Phase)
		require.Equal(t, 2, w.Spawns("web"))
	})
}

func TestTwoRestartsAtOnceAreOneRestart(t *testing.T) {
	bubble(t, "6 ProcessController", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering())
		w.Want("web")
		w.Pass(time.Minute)
		w.Process("web").IgnoreTERM()
		for range 5 {
			go func() { _ = w.Restart(context.Background(), "web") }()
		}
		w.Pass(time.Minute)
		require.Equal(t, 2, w.Spawns("web"))
		require.Equal(t, 1, w.Of("web").Restarts)
	})
}

func TestAStartDuringABackoffDoesNotWaitAndTheOldTimerIsDead(t *testing.T) {
	bubble(t, "6 ProcessController", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Backoff(time.Minute))
		w.Want("web")
		w.Process("web").Exit(1)
		w.Pass(time.Second)
		require.NotNil(t, w.Of("web").NextStartAt)
		require.NoError(t, w.Start(context.Background(), "web"))
		require.Equal(t, 2, w.Spawns("web"))
		w.Answer(w.Process("web"), nil)
		w.Pass(10 * time.Minute)
		require.Equal(t, 2, w.Spawns("web"))
	})
}

func TestAStopDuringABackoffStaysDown(t *testing.T) {
	bubble(t, "6 ProcessController", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Backoff(time.Minute))
		w.Want("web")
		w.Process("web").Exit(1)
		w.Pass(time.Second)
		require.NoError(t, w.Stop(context.Background(), "web"))
		w.Pass(time.Hour)
		require.Equal(t, 1, w.Spawns("web"))
		require.Equal(t, messages.Stopped, w.Of("web").Phase)
	})
}

func TestASignalGoesToTheProcessAndAnEventSaysWhoSentIt(t *testing.T) {
	bubble(t, "procman signal", func(t *testing.T) {
		var heard []messages.Event
		w := fake.NewWorld(t, fake.Answering(), fake.Backoff(time.Second), fake.With(func(c *supervisor.Config) {
			c.Observe = append(c.Observe, supervisor.Observer{Event: func(e messages.Event) {
				if e.What == messages.OperatorActed {
					heard = append(heard, e)
				}
			}})
		}))
		ctx := supervisor.WithOperator(t.Context(), "uid 1000")
		w.Want("web")
		w.Pass(time.Second)
		p := w.Process("web")
		require.NoError(t, w.Signal(ctx, "web", "SIGHUP"))
		require.Equal(t, []syscall.Signal{syscall.SIGHUP}, p.Signals())
		require.Len(t, heard, 1)
		require.Equal(t, []any{"uid 1000", "signal", p.PID(), 1},
			[]any{heard[0].By, heard[0].Command, heard[0].PID, heard[0].Run})
		require.Contains(t, heard[0].Why, "HUP to process")
		require.Equal(t, messages.Running, w.Of("web").Phase)

		for _, refused := range []messages.SignalName{"STOP", "SIGTSTP", "TTIN", "9", "", "hup"} {
			require.Error(t, w.Signal(ctx, "web", refused), refused)
		}
		require.ErrorIs(t, w.Signal(ctx, "nobody", "HUP"), messages.ErrUnknownInstance{ID: "nobody"})
		require.Len(t, p.Signals(), 1, "nothing else was sent")

		require.NoError(t, w.Signal(ctx, "web", "KILL"))
		w.Pass(time.Millisecond)
		require.Equal(t, messages.ReasonSignal, w.Of("web").LastExit.Reason, "it is no stop: restart says what follows")
		w.Pass(time.Minute)
		require.Equal(t, messages.Running, w.Of("web").Phase)

		require.NoError(t, w.Stop(ctx, "web"))
		w.Pass(time.Second)
		require.ErrorIs(t, w.Signal(ctx, "web", "HUP"), messages.ErrNotRunning{ID: "web", Phase: messages.Stopped})
		require.Equal(t, "stop", heard[len(heard)-1].Command, "what was not done is not told")
	})
}

func TestWhatIsRenewedIsRestartedAsChangedAndWhatDoesNotRunIsLeftAlone(t *testing.T) {
	bubble(t, "restart.on_change", func(t *testing.T) {
		ctx := t.Context()
		w := fake.NewWorld(t, fake.Answering())
		w.Want("web")
		w.Pass(time.Second)
		require.NoError(t, w.Renew(ctx, "web", "wasm changed"))
		w.Pass(time.Second)
		require.Equal(t, 2, w.Of("web").Run)
		require.Equal(t, messages.ReasonChanged, w.Of("web").LastExit.Reason)
		require.Zero(t, w.Of("web").ConsecutiveFailures)
		require.Contains(t, w.Log.Records("instance stopping", "web")[0].Attrs["detail"], "wasm changed")
		require.NoError(t, w.Stop(ctx, "web"))
		w.Pass(time.Second)
		require.ErrorIs(t, w.Renew(ctx, "web", "wasm changed"),
			messages.ErrNotRunning{ID: "web", Phase: messages.Stopped})
		require.True(t, w.Of("web").Held, "a hold outlives it")
	})
}

func TestAnUnknownInstanceIsSaidSo(t *testing.T) {
	bubble(t, "6 ProcessController", func(t *testing.T) {
		w := fake.NewWorld(t)
		for _, op := range []func(context.Context, messages.InstanceID) error{w.Start, w.Stop, w.Restart} {
			require.ErrorIs(t, op(context.Background(), "nobody"), messages.ErrUnknownInstance{ID: "nobody"})
		}
	})
}

func TestReadyClosesWhenEveryDesiredInstanceHasBeenHealthyOnce(t *testing.T) {
	bubble(t, "6", func(t *testing.T) {
		p := &late{release: make(chan struct{})}
		w := fake.NewWorld(t, fake.With(func(c *supervisor.Config) { c.Provider = p }))
		ready := func() bool { return closed(w.Ready()) }
		require.False(t, ready(), "the list is not known")
		p.apps = []messages.AppInstance{w.App("a"), w.App("b")}
		close(p.release)
		w.Pass(time.Second)
		w.Answer(w.Process("a"), nil)
		require.False(t, ready(), "b was never healthy")
		w.Process("a").Exit(1) // it has been healthy once
		w.Answer(w.Process("b"), nil)
		require.True(t, ready())
	})
	bubble(t, "6", func(t *testing.T) {
		<-fake.NewWorld(t).Ready() // an empty list is ready
	})
}

// late is a provider that answers when it is let.
type late struct {
	release chan struct{}
	apps    []messages.AppInstance
}

func (l *late) AppInstances(ctx context.Context) ([]messages.AppInstance, error) {
	select {
	case <-l.release:
		return l.apps, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
