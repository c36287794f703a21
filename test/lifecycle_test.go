package test

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
	"procman/test/fake"
)

// bubble runs a test in a bubble of fake time, under the name of the specification's clause that it proves.
func bubble(t *testing.T, clause string, test func(t *testing.T)) {
	t.Helper()
	t.Run(clause, func(t *testing.T) { synctest.Test(t, test) })
}

// noBugs fails the test if anything was logged as a bug.
func noBugs(t *testing.T, w *fake.World) {
	t.Helper()
	require.Empty(t, w.Log.Bugs())
}

// --- 2 Goals, 4 Reconciler ---

func TestExactlyTheDesiredInstancesRun(t *testing.T) {
	bubble(t, "2 Declarative state reconciliation", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering())
		w.Want("a", "b", "c")
		w.Pass(time.Minute)
		for _, id := range []messages.InstanceID{"a", "b", "c"} {
			require.Equal(t, messages.Running, w.Of(id).Phase)
			require.Equal(t, messages.Healthy, w.Of(id).Health)
		}
		require.Len(t, w.Spawner.Live(), 3)
		noBugs(t, w)
	})
}

func TestAChangedListStartsAndStopsOnlyTheDifference(t *testing.T) {
	bubble(t, "2 Dynamic configuration", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering())
		w.Want("kept", "removed", "changed")
		w.Pass(time.Minute)
		kept, removed := w.Process("kept"), w.Process("removed")
		other := w.App("changed")
		other.WasmPath = "other.wasm"
		w.Set(w.App("kept"), w.App("added"), other)
		w.Pass(time.Minute)

		require.True(t, kept.Alive())
		require.Equal(t, 1, w.Spawns("kept"))
		require.False(t, removed.Alive())
		require.Equal(t, 2, w.Spawns("changed"))
		require.Equal(t, "other.wasm", w.Process("changed").App.WasmPath)
		require.Equal(t, messages.ReasonChanged, w.Of("changed").LastExit.Reason)
		require.Equal(t, 0, w.Of("changed").ConsecutiveFailures, "a change is no failure")
		require.Equal(t, 1, w.Spawns("added"))
		_, known := w.Lookup("removed")
		require.False(t, known)
	})
}

func TestAPolicyChangeRestartsNothingAndHolds(t *testing.T) {
	bubble(t, "2 Dynamic configuration", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering())
		w.Want("web")
		w.Pass(time.Minute)
		app := w.App("web")
		app.Health.Interval = time.Second
		w.Set(app)
		before := len(w.Health.Checks("web"))
		w.Pass(20 * time.Second)
		require.Equal(t, 1, w.Spawns("web"))
		require.InDelta(t, 20, len(w.Health.Checks("web"))-before, 1)
		// The new grace is the one that counts, too.
		app.Stop.Grace = 3 * time.Second
		w.Set(app)
		p := w.Process("web")
		p.IgnoreTERM()
		w.Set()
		w.Pass(3*time.Second - 1)
		require.True(t, p.Alive())
		w.Pass(1)
		require.False(t, p.Alive())
	})
}

func TestAnInstanceThatIsRemovedAndAddedWhileItStopsIsNeverTwo(t *testing.T) {
	bubble(t, "2 Dynamic configuration", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering())
		w.Want("web")
		first := w.Process("web")
		w.Pass(time.Second)
		first.IgnoreTERM()
		w.Want()
		w.Want("web")
		w.Want()
		w.Want("web")
		w.Pass(9 * time.Second)
		require.Equal(t, 1, w.Spawns("web"), "the old one first has to end")
		w.Pass(2 * time.Second)
		require.Equal(t, 2, w.Spawns("web"))
		require.Equal(t, messages.Running, w.Of("web").Phase)
	})
}

func TestAListThatChangesAThousandTimesEndsInTheLast(t *testing.T) {
	bubble(t, "2 Dynamic configuration", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering())
		a, b := w.App("web"), w.App("web")
		a.DbName, b.DbName = "a.db", "b.db"
		for range 500 {
			w.Provider.Set(a)
			w.Provider.Set(b)
			time.Sleep(time.Millisecond)
		}
		w.Pass(time.Minute)
		require.Equal(t, "b.db", w.Process("web").App.DbName)
		require.Len(t, w.Spawner.Live(), 1)
		require.Less(t, w.Spawns("web"), 10)
		noBugs(t, w)
	})
}

// --- 5.2 Process lifecycle ---

func TestTheCommandLineIsMadeOfTheMetadata(t *testing.T) {
	t.Run("5.5 Command-line arguments", func(t *testing.T) {
		app := messages.AppInstance{InstanceID: "users", WasmPath: "apps/users.wasm", DbName: "users.db"}.WithDefaults()
		require.Equal(t, "dist/bin/servicehost", app.Executable)
		require.Equal(t, []string{"-wasm", "apps/users.wasm", "-dbPath", "users.db", "-port", "30001"}, app.CommandLine(30001))
		app.Args = []string{"--listen=:{port}", "{id}", "{db_name}{wasm_path}"}
		require.Equal(t, []string{"--listen=:30001", "users", "users.dbapps/users.wasm"}, app.CommandLine(30001))
	})
}

func TestAStartIsInTheActualStateWithPidAndPort(t *testing.T) {
	bubble(t, "5.2 Starting", func(t *testing.T) {
		w := fake.NewWorld(t)
		w.Want("web")
		p := w.Process("web")
		s := w.Of("web")
		require.Equal(t, messages.Starting, s.Phase)
		require.Equal(t, p.PID(), s.PID)
		require.Equal(t, p.Port(), s.Port)
		require.Equal(t, p.StartedAt(), *s.StartedAt)
		require.Equal(t, 1, s.Run)
		started := w.Log.Records("instance started", "web")
		require.Len(t, started, 1)
		require.EqualValues(t, p.PID(), started[0].Attrs["pid"])
		require.EqualValues(t, p.Port(), started[0].Attrs["port"])
	})
}

func TestAStopIsTermThenContThenAfterTheGraceKill(t *testing.T) {
	bubble(t, "5.2 Stopping", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering(), fake.Each(func(a *messages.AppInstance) { a.Stop.Grace = 5 * time.Second }))
		w.Want("web")
		p := w.Process("web")
		w.Pass(time.Second)
		p.IgnoreTERM()
		w.Want()
		require.Equal(t, []syscall.Signal{syscall.SIGTERM, syscall.SIGCONT}, p.Signals())
		require.Equal(t, messages.Stopping, w.Of("web").Phase)
		w.Pass(5*time.Second - 1)
		require.True(t, p.Alive(), "the grace is given whole")
		w.Pass(1)
		require.Equal(t, syscall.SIGKILL, p.Signals()[2])
		require.False(t, p.Alive())
		_, known := w.Lookup("web")
		require.False(t, known, "removed from the actual state")
		require.Len(t, w.Log.Records("instance stopped", "web"), 1)
		require.Empty(t, w.Ports.Kept(), "its port is free again")
	})
}

func TestAStopDuringAStartIsNeverReportedRunning(t *testing.T) {
	bubble(t, "5.2 Stopping", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering())
		w.Spawner.Slow(time.Minute)
		w.Want("web")
		w.Pass(time.Second)
		w.Want()
		w.Pass(time.Second)
		_, known := w.Lookup("web")
		require.False(t, known)
		w.Pass(2 * time.Minute)
		require.Empty(t, w.Spawner.Live())
		require.Empty(t, w.Log.Records("instance ready", "web"))
		noBugs(t, w)
	})
}

func TestACrashedInstanceComesBackAfterItsBackoff(t *testing.T) {
	bubble(t, "5.2 Restarting", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Backoff(2*time.Second))
		w.Want("web", "db")
		first := w.Process("web")
		w.Answer(first, nil)
		first.Exit(1)
		w.Pass(2*time.Second - 1)
		require.Equal(t, 1, w.Spawns("web"), "not a nanosecond early")
		w.Pass(1)
		require.Equal(t, 2, w.Spawns("web"))
		require.Equal(t, 1, w.Spawns("db"), "siblings are not disturbed")
		noBugs(t, w)
	})
}

func TestACrashLoopWaitsOneTwoFourUpToTheCap(t *testing.T) {
	bubble(t, "5.2 Restarting", func(t *testing.T) {
		w := fake.NewWorld(t)
		w.Spawner.Fail("web", &messages.StartError{Fault: messages.FaultExecutableMissing, Path: "/nowhere"})
		w.Want("web")
		w.Pass(10 * time.Minute)
		want := 1.0
		restarts := w.Log.Records("instance restarting", "web")
		require.Greater(t, len(restarts), 12)
		for n, r := range restarts {
			delay := r.Attrs["delay"].(time.Duration).Seconds()
			require.InDelta(t, want, delay, want/5+0.001, "delay %d", n)
			require.LessOrEqual(t, delay, 60.0)
			require.EqualValues(t, n+1, r.Attrs["attempt"])
			want = min(2*want, 60)
		}
	})
}

func TestACrashLoopOfAWeekNeverGivesUpAndNeverGetsHot(t *testing.T) {
	bubble(t, "5.2 Restarting", func(t *testing.T) {
		w := fake.NewWorld(t)
		w.Spawner.Fail("web", errors.New("no"))
		w.Want("web")
		w.Pass(7 * 24 * time.Hour)
		starts := len(w.Log.Records("start failed", "web"))
		week := 7 * 24 * 60
		require.Greater(t, starts, week, "still trying, about every 54 s")
		require.Less(t, starts, week*3/2)
		require.Equal(t, messages.Backoff, w.Of("web").Phase)
		w.Spawner.Fail("web", nil)
		w.Pass(time.Minute)
		require.Equal(t, 1, w.Spawns("web"))
	})
}

func TestAfterBeingStableTheNextRestartIsImmediateAndThenASecondAgain(t *testing.T) {
	bubble(t, "5.2 Restarting", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Backoff(time.Second), fake.Answering())
		w.Want("web")
		w.Process("web").Exit(1)
		w.Pass(2 * time.Second)
		require.Equal(t, 2, w.Spawns("web"))
		w.Pass(61 * time.Second)
		w.Process("web").Exit(1)
		require.Equal(t, 3, w.Spawns("web"), "at once")
		require.Equal(t, 0, w.Of("web").ConsecutiveFailures)
		w.Process("web").Exit(1)
		w.Pass(time.Second - 1)
		require.Equal(t, 3, w.Spawns("web"))
		w.Pass(1)
		require.Equal(t, 4, w.Spawns("web"))
		require.Equal(t, 3, w.Of("web").Restarts)
	})
}

func TestARestartModeOfOnFailureLeavesACleanExitAlone(t *testing.T) {
	bubble(t, "5.1 restart policies", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Each(func(a *messages.AppInstance) { a.Restart.Mode = messages.RestartOnFailure }))
		w.Want("job")
		w.Process("job").Exit(0)
		w.Pass(time.Hour)
		require.Equal(t, 1, w.Spawns("job"))
		require.Equal(t, messages.Stopped, w.Of("job").Phase)
		require.NoError(t, w.Start(context.Background(), "job"))
		w.Process("job").Exit(1)
		w.Pass(time.Minute)
		require.Equal(t, 3, w.Spawns("job"))
	})
}

func TestWhatIsStartedWhileManyStartWaitsItsTurn(t *testing.T) {
	bubble(t, "5.2 Starting", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering(), fake.With(parallel(2)))
		w.Spawner.Slow(time.Second)
		w.Want("a", "b", "c", "d", "e")
		w.Pass(1500 * time.Millisecond)
		require.Len(t, w.Spawner.Live(), 2)
		w.Pass(1100 * time.Millisecond)
		require.Len(t, w.Spawner.Live(), 4)
		w.Pass(2 * time.Second)
		require.Len(t, w.Spawner.Live(), 5)
		for _, s := range status(t, w) {
			require.Equal(t, messages.Running, s.Phase)
		}
	})
}

func TestAStartThatHangsDoesNotKeepTheOthersFromStarting(t *testing.T) {
	bubble(t, "5.2 Starting", func(t *testing.T) {
		w := fake.NewWorld(t, fake.With(parallel(1)))
		w.Want("never-ready", "b", "c")
		w.Pass(25 * time.Second)
		require.Len(t, w.Spawner.Live(), 3)
	})
}

// --- 5.3 Health ---

func TestThreeFailedProbesInARowRestartTheInstance(t *testing.T) {
	bubble(t, "5.3 Failure threshold", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Backoff(time.Second))
		w.Want("web")
		p := w.Process("web")
		w.Answer(p, nil)
		require.Equal(t, messages.Running, w.Of("web").Phase)
		bad := errors.New("status 500")
		w.Health.Answer(p, bad)
		probes := len(w.Health.Checks("web"))
		for len(w.Health.Checks("web")) < probes+2 {
			w.Pass(time.Second)
		}
		require.True(t, p.Alive(), "two are not three")
		require.Equal(t, messages.Running, w.Of("web").Phase)
		w.Pass(15 * time.Second)
		require.False(t, p.Alive())
		require.Equal(t, messages.ReasonUnhealthy, w.Of("web").LastExit.Reason)
		unhealthy := w.Log.Records("instance unhealthy", "web")
		require.Len(t, unhealthy, 1, "said once")
		require.Contains(t, unhealthy[0].Attrs["detail"], "3 probes failed in a row: status 500")
		w.Pass(time.Second)
		require.Equal(t, 2, w.Spawns("web"))
	})
}

func TestAGoodProbeForgetsTheFailedOnesBefore(t *testing.T) {
	bubble(t, "5.3 Failure threshold: consecutive", func(t *testing.T) {
		w := fake.NewWorld(t)
		w.Want("web")
		p := w.Process("web")
		w.Answer(p, nil)
		for range 10 {
			for _, err := range []error{errors.New("bad"), errors.New("bad"), nil} {
				before := len(w.Health.Checks("web"))
				w.Health.Answer(p, err)
				for len(w.Health.Checks("web")) == before {
					w.Pass(time.Second)
				}
			}
		}
		require.True(t, p.Alive())
	})
}

func TestAProbeThatHangsIsAFailureAfterItsTimeout(t *testing.T) {
	bubble(t, "5.3 Monitoring loop: timeout", func(t *testing.T) {
		w := fake.NewWorld(t)
		w.Want("web")
		p := w.Process("web")
		w.Answer(p, nil)
		w.Health.Answer(p, fake.ErrHangs)
		w.Pass(2 * time.Minute)
		require.False(t, p.Alive())
		require.Contains(t, w.Log.Records("instance unhealthy", "web")[0].Attrs["detail"], "timed out after 5s")
	})
}

func TestThereAreNeverTwoProbesOfOneInstance(t *testing.T) {
	bubble(t, "5.3 Monitoring loop", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Each(func(a *messages.AppInstance) {
			a.Health = messages.HealthPolicy{Interval: time.Second, Timeout: 10 * time.Second, Failures: 100}
		}))
		w.Want("web")
		p := w.Process("web")
		w.Answer(p, nil)
		w.Pass(time.Second)
		w.Health.Answer(p, fake.ErrHangs)
		w.Pass(time.Second)
		before := len(w.Health.Checks("web"))
		w.Pass(55 * time.Second)
		require.InDelta(t, 5, len(w.Health.Checks("web"))-before, 1, "each takes 10 s, and the next comes 1 s after it")
	})
}

func TestAStartingInstanceIsProbedAtOnceAndFastAndMayRefuse(t *testing.T) {
	bubble(t, "5.3 Health state", func(t *testing.T) {
		w := fake.NewWorld(t)
		w.Want("web")
		p := w.Process("web")
		w.Pass(20 * time.Second)
		require.True(t, p.Alive())
		require.Equal(t, messages.Starting, w.Of("web").Phase)
		require.Equal(t, messages.HealthUnknown, w.Of("web").Health)
		checks := w.Health.Checks("web")
		require.Less(t, checks[0].Sub(p.StartedAt()), 50*time.Millisecond)
		require.InDelta(t, 30, len(checks), 10)
		w.Answer(p, nil)
		require.Equal(t, messages.Running, w.Of("web").Phase)
	})
}

func TestAnInstanceThatMissesItsStartDeadlineIsStoppedAndRetried(t *testing.T) {
	bubble(t, "5.3, 7 Startup failures", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Backoff(time.Second))
		w.Want("web")
		p := w.Process("web")
		w.Pass(60*time.Second - time.Millisecond)
		require.True(t, p.Alive())
		w.Pass(time.Second)
		require.False(t, p.Alive())
		require.Contains(t, w.Of("web").Reason, "not healthy 1m0s after its start: connection refused")
		w.Pass(2 * time.Second)
		require.Equal(t, 2, w.Spawns("web"))
	})
}

func TestTheProbesOfAThousandInstancesAreSpreadOverTheInterval(t *testing.T) {
	bubble(t, "5.3 Monitoring loop", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering())
		var ids []messages.InstanceID
		for n := range 1000 {
			ids = append(ids, messages.InstanceID("web-"+strings.Repeat("x", n%7)+time.Duration(n).String()))
		}
		w.Want(ids...)
		w.Pass(time.Minute)
		from := time.Now()
		w.Pass(15 * time.Second)
		var each [15]int
		for _, id := range ids {
			checks := w.Health.Checks(id)
			last := checks[len(checks)-1]
			each[min(14, int(last.Sub(from)/time.Second))]++
		}
		for _, n := range each {
			require.InDelta(t, 67, n, 40, "of %v", each)
		}
	})
}

func TestAnUnhealthyInstanceThatIsBeingStoppedIsNotJudged(t *testing.T) {
	bubble(t, "5.3", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering())
		w.Want("web")
		p := w.Process("web")
		w.Pass(time.Minute)
		p.IgnoreTERM()
		w.Health.Answer(p, errors.New("shutting down"))
		w.Want()
		w.Pass(time.Minute)
		require.Empty(t, w.Log.Records("instance unhealthy", "web"))
	})
}

// --- 5.4 Ports ---

func TestEachInstanceHasAPortOfItsOwnAndKeepsItOverRestarts(t *testing.T) {
	bubble(t, "5.4 Dynamic allocation", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering(), fake.Backoff(time.Second))
		w.Want("a", "b")
		require.NotEqual(t, w.Process("a").Port(), w.Process("b").Port())
		port := w.Process("a").Port()
		for range 5 {
			w.Process("a").Die("KILL")
			w.Pass(time.Minute)
		}
		require.Equal(t, port, w.Process("a").Port())
	})
}

func TestAPortIsFreeAgainWhenItsInstanceIsStopped(t *testing.T) {
	bubble(t, "5.4 Port release", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering())
		w.Want("a", "b")
		w.Pass(time.Second)
		w.Want("b")
		w.Pass(time.Second)
		require.Len(t, w.Ports.Kept(), 1)
		require.NoError(t, w.Stop(context.Background(), "b"))
		w.Pass(time.Second)
		require.Empty(t, w.Ports.Kept())
	})
}

func TestAPortConflictTriesAnotherPortAtOnce(t *testing.T) {
	bubble(t, "7 Port conflicts", func(t *testing.T) {
		w := fake.NewWorld(t)
		w.Want("web")
		first := w.Process("web")
		w.Ports.Steal(first.Port())
		first.Exit(5)
		second := w.Process("web")
		require.NotEqual(t, first.Port(), second.Port(), "at once, without a backoff")
		require.NotSame(t, first, second)
		require.Len(t, w.Log.Records("port conflict", "web"), 1)
		require.Equal(t, 0, w.Of("web").ConsecutiveFailures)
		require.Equal(t, messages.ReasonPortConflict, w.Of("web").LastExit.Reason)
	})
}

func TestPortConflictsWithoutEndAreNoHotLoop(t *testing.T) {
	bubble(t, "7 Port conflicts", func(t *testing.T) {
		w := fake.NewWorld(t)
		for port := 30000; port < 31000; port++ {
			w.Ports.Steal(port)
		}
		w.Want("web")
		for range 40 {
			w.Process("web").Exit(5)
			w.Pass(100 * time.Millisecond)
		}
		require.Less(t, w.Spawns("web"), 12)
	})
}

func TestWithoutAFreePortNothingIsStartedAndItIsTriedAgain(t *testing.T) {
	bubble(t, "5.4, 7", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering())
		w.Ports.Exhaust(&messages.StartError{Fault: messages.FaultNoPort, Help: "widen ports.range"})
		w.Want("web")
		w.Pass(10 * time.Second)
		require.Equal(t, 0, w.Spawns("web"))
		require.Contains(t, w.Of("web").Reason, "no free port; widen ports.range")
		w.Ports.Exhaust(nil)
		w.Pass(time.Minute)
		require.Equal(t, messages.Running, w.Of("web").Phase)
	})
}
