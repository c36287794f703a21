package test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
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

// --- 5.1, 6 AppInstanceProvider ---

func TestAProviderErrorMeansUnknownNeverNone(t *testing.T) {
	bubble(t, "6 AppInstanceProvider", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering())
		w.Want("web")
		w.Pass(time.Minute)
		w.Provider.Fail(errors.New("the file is gone"))
		w.Pass(time.Hour)
		require.Equal(t, 1, w.Spawns("web"))
		require.Equal(t, messages.Running, w.Of("web").Phase)
		require.NotEmpty(t, w.Log.Records("config rejected", ""))
		w.Want("web", "db")
		require.Equal(t, 1, w.Spawns("db"), "the next good list applies")
	})
}

func TestABadListIsRejectedAsAWhole(t *testing.T) {
	bubble(t, "5.1 App instance definition", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering())
		w.Want("web")
		w.Pass(time.Second)
		bad := w.App("../x")
		for name, list := range map[string][]messages.AppInstance{
			"duplicate": {w.App("web"), w.App("new"), w.App("new")},
			"bad id":    {w.App("new"), bad},
			"empty id":  {w.App("new"), w.App("")},
			"long id":   {w.App("new"), w.App(messages.InstanceID(fmt.Sprintf("%0300d", 1)))},
			"no wasm":   {w.App("new"), {InstanceID: "x", DbName: "x"}},
		} {
			w.Provider.Set(list...)
			require.Error(t, w.Reload(context.Background()), name)
			require.Equal(t, 0, w.Spawns("new"), name)
			require.True(t, w.Process("web").Alive(), name)
		}
		w.Want("web", "new")
		require.NoError(t, w.Reload(context.Background()))
		require.Equal(t, 1, w.Spawns("new"))
	})
}

func TestAProviderThatDoesNotNotifyIsAskedAgain(t *testing.T) {
	bubble(t, "4 Reconciler loop", func(t *testing.T) {
		list := &asked{}
		list.apps.Store(&[]messages.AppInstance{})
		w := fake.NewWorld(t, fake.Answering(), fake.With(func(c *supervisor.Config) { c.Provider = list }))
		list.apps.Store(&[]messages.AppInstance{w.App("web")})
		w.Pass(29 * time.Second)
		require.Empty(t, w.Spawner.Live())
		w.Pass(2 * time.Second)
		require.Len(t, w.Spawner.Live(), 1)
	})
}

type asked struct {
	apps atomic.Pointer[[]messages.AppInstance]
}

func (a *asked) AppInstances(context.Context) ([]messages.AppInstance, error) {
	return *a.apps.Load(), nil
}

func TestADisabledInstanceIsKnownAndDown(t *testing.T) {
	bubble(t, "5.1", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering())
		app := w.App("web")
		app.Disabled = true
		w.Set(app)
		w.Pass(time.Second)
		require.Equal(t, messages.Stopped, w.Of("web").Phase)
		require.Contains(t, w.Of("web").Reason, "disabled")
		require.ErrorContains(t, w.Start(context.Background(), "web"), "disabled")
		w.Want("web")
		require.Equal(t, messages.Running, func() messages.Phase { w.Pass(time.Second); return w.Of("web").Phase }())
	})
}

// --- 6 ProcessController ---

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
		ready := func() bool {
			synctest.Wait()
			select {
			case <-w.Ready():
				return true
			default:
				return false
			}
		}
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

// --- 7 Error handling and resilience ---

func TestAKilledManagerLeavesItsProcessesAndTheNextOneAdoptsThem(t *testing.T) {
	bubble(t, "7 Manager crashes", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering(), fake.Backoff(time.Second))
		w.Want("a", "b", "c")
		w.Process("b").Exit(1)
		w.Pass(time.Minute)
		before := map[messages.InstanceID]messages.Status{}
		for _, s := range status(t, w) {
			before[s.ID] = s
		}
		w.KillManager()
		w.Pass(time.Minute)
		require.Len(t, w.Spawner.Live(), 3, "nobody noticed")
		w.StartManager()
		w.Pass(time.Second)
		for _, s := range status(t, w) {
			b := before[s.ID]
			require.Equal(t, messages.Running, s.Phase)
			require.Equal(t, messages.Healthy, s.Health)
			require.True(t, s.Adopted)
			require.Equal(t, b.PID, s.PID)
			require.Equal(t, b.Port, s.Port)
			require.Equal(t, b.Run, s.Run)
			require.Equal(t, b.Restarts, s.Restarts)
			require.Equal(t, b.ConsecutiveFailures, s.ConsecutiveFailures)
			require.Equal(t, b.StartedAt.UnixNano(), s.StartedAt.UnixNano())
			require.Equal(t, b.HealthySince.UnixNano(), s.HealthySince.UnixNano())
			require.Equal(t, b.LastExit, s.LastExit)
		}
		// An adopted process is supervised like any other.
		w.Process("a").Exit(7)
		w.Pass(5 * time.Second)
		require.Equal(t, 2, w.Spawns("a"))
		require.Equal(t, 7, w.Of("a").LastExit.Code)
		noBugs(t, w)
	})
}

func TestASurvivorWhoseSpecChangedIsAdoptedAndThenRestarted(t *testing.T) {
	bubble(t, "7 Manager crashes", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering())
		w.Want("web")
		first := w.Process("web")
		w.Pass(time.Second)
		first.IgnoreTERM()
		w.KillManager()
		app := w.App("web")
		app.DbName = "new.db"
		w.Provider.Set(app)
		w.StartManager()
		w.Pass(5 * time.Second)
		require.True(t, first.Alive(), "its grace is given")
		w.Pass(10 * time.Second)
		require.False(t, first.Alive())
		require.Equal(t, "new.db", w.Process("web").App.DbName)
		require.Equal(t, first.Port(), w.Process("web").Port())
	})
}

func TestASurvivorThatIsNoLongerDesiredIsAdoptedAndStoppedGracefully(t *testing.T) {
	bubble(t, "7 Manager crashes", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering())
		w.Want("web")
		p := w.Process("web")
		w.KillManager()
		w.Provider.Set()
		w.StartManager()
		w.Pass(time.Second)
		require.False(t, p.Alive())
		require.NotContains(t, p.Signals(), 9)
		require.Empty(t, status(t, w))
		pages, _ := w.Memory.Recall(context.Background())
		require.Empty(t, pages, "nothing is remembered of it")
	})
}

func TestBeforeTheFirstGoodListSurvivorsAreAdoptedAndNothingIsStopped(t *testing.T) {
	bubble(t, "7 Manager crashes", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering())
		w.Want("web", "db")
		w.Pass(time.Second)
		w.KillManager()
		w.Process("db").Exit(1)
		w.Provider.Fail(errors.New("broken file"))
		w.StartManager()
		w.Pass(10 * time.Minute)
		require.Equal(t, messages.Running, w.Of("web").Phase)
		require.True(t, w.Process("web").Alive())
		require.Equal(t, 1, w.Spawns("db"), "not known whether it is wanted")
		w.Want("web", "db")
		w.Pass(2 * time.Second)
		require.Equal(t, 2, w.Spawns("db"))
		require.Equal(t, 1, w.Spawns("web"))
	})
}

func TestABackoffUnderWayOutlivesTheManager(t *testing.T) {
	bubble(t, "7 Manager crashes", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Backoff(time.Minute))
		w.Want("web")
		w.Process("web").Exit(1)
		w.Pass(20 * time.Second)
		due := *w.Of("web").NextStartAt
		w.KillManager()
		w.Pass(10 * time.Second)
		w.StartManager()
		require.Equal(t, messages.Backoff, w.Of("web").Phase)
		require.Equal(t, 1, w.Of("web").ConsecutiveFailures)
		w.Pass(time.Until(due) - 1)
		require.Equal(t, 1, w.Spawns("web"))
		w.Pass(1)
		require.Equal(t, 2, w.Spawns("web"))
		w.Process("web").Exit(1)
		w.Pass(2*time.Minute - 1)
		require.Equal(t, 2, w.Spawns("web"), "the second delay is the second one")
		w.Pass(1)
		require.Equal(t, 3, w.Spawns("web"))
	})
}

func TestAChildThatDiedWhileNoManagerLivedCountsAsAnExitOfUnknownStatus(t *testing.T) {
	bubble(t, "7 Manager crashes", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering(), fake.Backoff(time.Second))
		w.Want("web")
		w.Pass(time.Second)
		w.KillManager()
		w.Process("web").Vanish()
		w.StartManager()
		w.Pass(5 * time.Second)
		s := w.Of("web")
		require.Equal(t, 2, w.Spawns("web"))
		require.False(t, s.LastExit.Known)
		require.Equal(t, -1, s.LastExit.Code, "never an invented code")
		require.Equal(t, messages.ReasonUnknown, s.LastExit.Reason)
		require.Equal(t, 1, s.Restarts)
	})
}

func TestAManagerThatDiesInTheMiddleOfAStopGivesOnlyTheRemainingGrace(t *testing.T) {
	bubble(t, "7 Manager crashes", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering())
		w.Want("web")
		p := w.Process("web")
		w.Pass(time.Second)
		p.IgnoreTERM()
		w.Want()
		began := time.Now()
		w.Pass(4 * time.Second)
		w.KillManager()
		w.StartManager()
		w.Pass(time.Until(began.Add(10*time.Second)) - 1)
		require.True(t, p.Alive())
		w.Pass(time.Second)
		require.False(t, p.Alive())
		require.Equal(t, 1, w.Spawns("web"))
	})
}

func TestAPanicInAnInstanceActorEndsNoProcessWhereverItStrikes(t *testing.T) {
	for call := 1; call <= 14; call++ {
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
			messages.Exited{ID: "web", Run: 1}, messages.Unhealthy{ID: "web", Run: 1}, messages.LaunchFailed{ID: "web", Run: 1, Err: errors.New("x")},
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
		w := fake.NewWorld(t, fake.Answering())
		w.Want("web")
		w.Pass(time.Minute)
		p := w.Process("web")
		w.System.EventStream.Subscribe(func(event any) {
			if _, is := event.(messages.Transition); is {
				panic("a subscriber with a bug")
			}
		})
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

// --- 8 Logging ---

func TestTheKeyEventsAreLogged(t *testing.T) {
	bubble(t, "8 Key log events", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Backoff(time.Second))
		w.Want("web")
		p := w.Process("web")
		w.Answer(p, nil)
		p.Exit(1)
		w.Pass(2 * time.Second)
		w.Want()
		w.Pass(time.Second)
		for _, msg := range []string{
			"instance started", "instance ready", "instance exited", "instance restarting", "instance stopping", "instance stopped",
		} {
			records := w.Log.Records(msg, "web")
			require.NotEmpty(t, records, msg)
			require.Contains(t, records[0].Attrs, "run", msg)
		}
		exited := w.Log.Records("instance exited", "web")[0]
		require.EqualValues(t, 1, exited.Attrs["code"])
		require.EqualValues(t, p.PID(), exited.Attrs["pid"])
		require.EqualValues(t, p.Port(), exited.Attrs["port"])
		require.NotEmpty(t, w.Log.Records("config applied", ""))
	})
}

func TestEveryChangeIsATransitionOnTheEventStream(t *testing.T) {
	bubble(t, "8 Metrics (future): the stream they come from", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Backoff(time.Second))
		var seen []string
		w.System.EventStream.Subscribe(func(event any) {
			if x, is := event.(messages.Transition); is {
				seen = append(seen, fmt.Sprintf("%s: %s > %s", x.Event, x.From, x.To))
			}
		})
		w.Want("web")
		p := w.Process("web")
		w.Answer(p, nil)
		p.Exit(1)
		w.Pass(time.Second)
		require.Equal(t, []string{
			"Want: stopped > starting", "Launched: starting > starting", "Ready: starting > running",
			"Exited: running > backoff", "Due: backoff > starting", "Launched: starting > starting",
		}, seen)
	})
}
