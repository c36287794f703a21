package test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"

	"procman/actors"
	"procman/messages"
	"procman/supervisor"
	"procman/test/fake"
)

func TestAPanicInAnInstanceActorEndsNoProcessWhereverItStrikes(t *testing.T) {
	for call := 1; call <= 8; call++ { // the launch, two probes and what follows from each, the three signals of a stop
		t.Run(fmt.Sprintf("at call %d of its process", call), func(t *testing.T) {
			bubble(t, "7: one recovery path", func(t *testing.T) {
				w := fake.NewWorld(t, fake.Answering())
				var web *fake.Process
				w.Spawner.OnSpawn(func(p *fake.Process) {
					if p.App.InstanceID == "web" {
						web = p
						p.PanicAt(call)
					}
				})
				w.Want("web", "db")
				w.Pass(10 * time.Minute)
				w.Health.Answer(web, errors.New("one probe fails"))
				w.Pass(16 * time.Second)
				w.Health.Answer(web, nil)
				w.Pass(10 * time.Minute)
				require.Equal(t, 1, w.Spawns("web"))
				require.True(t, web.Alive())
				require.Equal(t, messages.Running, w.Of("web").Phase)
				require.Equal(t, messages.Running, w.Of("db").Phase)
				web.IgnoreTERM()
				w.Want()
				w.Pass(time.Minute)
				require.Empty(t, w.Spawner.Live(), "it is still ours to end")
				panics := w.Log.Records("bug: panic in an instance actor", "")
				require.Len(t, panics, 1, "the injected one, with its message and stack")
				require.NotEmpty(t, panics[0].Attrs["stack"])
			})
		})
	}
}

func TestAnActorThatIsLostIsReplacedAndItsProcessAdopted(t *testing.T) {
	bubble(t, "7: one recovery path", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering())
		w.Want("web")
		w.Pass(time.Minute)
		p := w.Process("web")
		for range 3 {
			stopActors(w)
			w.Pass(10 * time.Minute)
			require.True(t, p.Alive())
			require.Equal(t, 1, w.Spawns("web"))
			require.Equal(t, messages.Running, w.Of("web").Phase)
			require.Equal(t, p.PID(), w.Of("web").PID)
		}
		p.Exit(3)
		w.Pass(time.Minute)
		require.Equal(t, 2, w.Spawns("web"), "its end was not missed")
	})
}

// stopActors ends every instance actor behind the root's back.
func stopActors(w *fake.World) {
	for _, s := range func() []messages.Status { all, _ := w.Status(context.Background()); return all }() {
		for n := range 10 {
			name := fmt.Sprintf("procman/%s@%d", s.ID, s.Run)
			if n > 0 {
				name += fmt.Sprintf("+%d", n)
			}
			w.System.Root.Stop(w.System.NewLocalPID(name))
		}
	}
}

func TestAReportFromAnOldActorIsDropped(t *testing.T) {
	bubble(t, "7: generations", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering())
		w.Want("web")
		w.Pass(time.Minute)
		root := w.System.NewLocalPID("procman")
		for _, m := range []any{
			messages.Exited{ID: "web", Run: 1}, messages.Unhealthy{ID: "web", Run: 1},
			messages.LaunchFailed{ID: "web", Run: 1, Err: errors.New("x")},
		} {
			w.System.Root.Send(root, m)
			w.System.Root.RequestWithCustomSender(root, m, w.System.NewLocalPID("procman/web@0"))
		}
		w.Pass(time.Minute)
		require.Equal(t, messages.Running, w.Of("web").Phase)
		require.Equal(t, 1, w.Spawns("web"))
	})
}

func TestARootThatPanicsAgainAndAgainStopsPretending(t *testing.T) {
	bubble(t, "7: one recovery path", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering(), fake.With(func(c *supervisor.Config) { c.Ports = forgetless{c.Ports} }))
		w.Want("web")
		w.Pass(time.Minute)
		p := w.Process("web")
		for range 5 {
			_ = w.Restart(ctxSecond(t), "nobody")
			_ = w.Start(ctxSecond(t), "web")
			w.System.Root.Send(w.System.NewLocalPID("procman"), messages.Launched{})
			w.Set(w.App("web"), w.App(messages.InstanceID("x")))
			w.Set(w.App("web"))
			w.Pass(time.Second)
		}
		<-w.Done()
		require.ErrorContains(t, w.Err(), "panicked")
		require.True(t, p.Alive(), "processes run on")
	})
}

// forgetless are ports with a bug that the root runs into.
type forgetless struct{ actors.Ports }

func (forgetless) Forget(messages.InstanceID) { panic("a bug of the ports") }

func ctxSecond(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestAStartupFailureIsTypedAndRetriedWithBackoffOnly(t *testing.T) {
	bubble(t, "7 Startup failures", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering())
		w.Spawner.Fail("web", &messages.StartError{Fault: messages.FaultWasmMissing, Path: "apps/web.wasm"})
		w.Want("web", "db")
		w.Pass(time.Second / 2)
		s := w.Of("web")
		require.Equal(t, messages.Backoff, s.Phase)
		require.Equal(t, "start failed: wasm file missing: apps/web.wasm", s.Reason)
		require.Equal(t, messages.ReasonStartFailed, s.LastExit.Reason)
		require.NotContains(t, w.Ports.Leased(), messages.InstanceID("web"), "no port leaks")
		require.Equal(t, messages.Running, w.Of("db").Phase, "the others are not harmed")
		require.Equal(t, 0, s.Restarts, "there was no process to restart")
	})
}

func TestShutdownStopsEveryInstanceAndHoldsNone(t *testing.T) {
	bubble(t, "5.2 Stopping, 7", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering())
		w.Want("a", "b", "c")
		w.Pass(time.Second)
		w.Process("b").IgnoreTERM()
		began := time.Now()
		require.NoError(t, w.Shutdown(context.Background()))
		require.Equal(t, 10*time.Second, time.Since(began), "all at once, and the grace for the one that needs it")
		require.Empty(t, w.Spawner.Live())
		<-w.Done()
		require.NoError(t, w.Err())
		require.ErrorIs(t, w.Start(context.Background(), "a"), supervisor.ErrStopped)

		w.StartManager()
		w.Pass(time.Minute)
		require.Len(t, w.Spawner.Live(), 3)
	})
}

func TestAShutdownThatIsNotWaitedForLeavesWhatStillRuns(t *testing.T) {
	bubble(t, "5.2 Stopping", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering())
		w.Want("web")
		w.Pass(time.Second)
		w.Process("web").IgnoreTERM()
		require.ErrorContains(t, w.Shutdown(ctxSecond(t)), "not every instance ended")
		require.True(t, w.Process("web").Alive())
		<-w.Done()
	})
}

func TestWhatIsAskedWhileTheManagerLeavesBeginsNothingForWhichItWouldWait(t *testing.T) {
	bubble(t, "7: the manager leaves", func(t *testing.T) {
		var w *fake.World
		var answer error
		hold := true
		w = fake.NewWorld(t, fake.Answering(), fake.With(func(c *supervisor.Config) {
			c.Observe = []supervisor.Observer{{Event: func(e messages.Event) {
				if e.What != messages.OperatorActed || e.Command != "restart" || !hold {
					return
				}
				// The root is at work: what is asked now waits, in this order.
				hold = false
				go func() { _ = w.Detach(context.Background()) }()
				time.Sleep(time.Second)
				go func() { answer = w.Start(context.Background(), "other") }()
				time.Sleep(time.Second)
			}}}
		}))
		w.Want("web", "other")
		w.Pass(time.Minute)
		require.NoError(t, w.Stop(ctxSecond(t), "other"))
		w.Pass(time.Minute)
		require.NoError(t, w.Restart(context.Background(), "web"))
		w.Pass(time.Minute)
		select {
		case <-w.Done():
		default:
			require.Fail(t, "it waits for what it began")
		}
		require.ErrorIs(t, answer, supervisor.ErrStopped)
		require.Equal(t, 1, w.Spawns("other"))
	})
}

func TestAHostsOwnActorSystemOutlivesTheSupervisor(t *testing.T) {
	bubble(t, "used as an embedded actor system", func(t *testing.T) {
		w := fake.NewWorld(t)
		require.NoError(t, w.Detach(context.Background()))
		require.False(t, w.System.IsStopped())
		pid := w.System.Root.Spawn(actor.PropsFromFunc(func(actor.Context) {}))
		require.NotNil(t, pid)
		w.System.Root.Stop(pid)
	})
}
