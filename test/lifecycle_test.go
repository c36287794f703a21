package test

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
	"procman/test/fake"
)

func TestTheCommandLineIsMadeOfTheMetadata(t *testing.T) {
	t.Run("5.5 Command-line arguments", func(t *testing.T) {
		app := messages.AppInstance{InstanceID: "users", WasmPath: "apps/users.wasm", DbName: "users.db"}.WithDefaults()
		require.Equal(t, "dist/bin/servicehost", app.Executable)
		require.Equal(t, []string{"-wasm", "apps/users.wasm", "-dbPath", "users.db", "-port", "30001"},
			app.CommandLine(30001))
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
		w := fake.NewWorld(t, fake.Answering(), fake.Each(
			func(a *messages.AppInstance) { a.Stop.Grace = 5 * time.Second }))
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

func TestAStopAsksByTheSignalOfThePolicyAndTheExitIsNoFailure(t *testing.T) {
	bubble(t, "stop.signal", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering(), fake.Each(func(a *messages.AppInstance) { a.Stop.Signal = "SIGQUIT" }))
		w.Want("web")
		p := w.Process("web")
		w.Pass(time.Second)
		w.KillManager() // the policy is the list's, also of a process that was adopted
		w.StartManager()
		w.Pass(time.Second)
		require.NoError(t, w.Restart(t.Context(), "web"))
		w.Pass(time.Second)
		require.Equal(t, []syscall.Signal{syscall.SIGQUIT, syscall.SIGCONT}, p.Signals())
		require.Equal(t, messages.ReasonStopped, w.Of("web").LastExit.Reason)
		require.Zero(t, w.Of("web").ConsecutiveFailures)

		q := w.Process("web")
		w.Pass(time.Second)
		w.KillManager()
		w.Provider.Set()
		w.StartManager() // nobody lists it any more: by what is on record with the run
		w.Pass(time.Second)
		require.Equal(t, []syscall.Signal{syscall.SIGQUIT, syscall.SIGCONT}, q.Signals())
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
		week := fewer(7, 1) * 24 * 60 // minutes
		w.Pass(time.Duration(week) * time.Minute)
		starts := len(w.Log.Records("start failed", "web"))
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
		w := fake.NewWorld(t, fake.With(parallel(2)))
		w.Spawner.OnSpawn(func(p *fake.Process) { time.AfterFunc(time.Second, func() { w.Health.Answer(p, nil) }) })
		w.Want("a", "b", "c", "d", "e")
		w.Pass(900 * time.Millisecond)
		require.Len(t, w.Spawner.Live(), 2)
		w.Pass(time.Second)
		require.Len(t, w.Spawner.Live(), 4)
		w.Pass(4 * time.Second)
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
