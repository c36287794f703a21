package test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
	"procman/test/fake"
)

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

func TestASurvivorThatIsNoLongerListedGetsTheGraceItWasPromised(t *testing.T) {
	bubble(t, "7 Manager crashes", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering(), fake.Each(
			func(a *messages.AppInstance) { a.Stop.Grace = 3 * time.Second }))
		w.Want("web")
		p := w.Process("web")
		w.Pass(time.Second)
		p.IgnoreTERM()
		w.KillManager()
		w.Provider.Set()
		w.StartManager()
		w.Pass(3*time.Second - time.Millisecond)
		require.True(t, p.Alive())
		w.Pass(time.Second)
		require.False(t, p.Alive())
	})
}

func TestListedClosesWhenTheListIsInForceAndEverySurvivorIsTakenOver(t *testing.T) {
	bubble(t, "7 Manager crashes", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering())
		listed := func() bool { return closed(w.Listed()) }
		require.True(t, listed(), "nothing to take over")
		w.Want("alive", "dead", "held")
		w.Pass(time.Second)
		require.NoError(t, w.Stop(context.Background(), "held"))
		w.KillManager()
		w.Process("dead").Exit(1)
		w.Spawner.Slow(time.Second)
		w.StartManager()
		require.False(t, listed())
		w.Pass(time.Second)
		require.True(t, listed())
		require.Equal(t, messages.Running, w.Of("alive").Phase)
		w.KillManager()
		w.Provider.Fail(errors.New("unknown"))
		w.StartManager()
		w.Pass(time.Hour)
		require.False(t, listed(), "there is no list")
	})
}

func TestThePortsOfSurvivorsAreClaimedBeforeAnyNewLease(t *testing.T) {
	bubble(t, "7 Manager crashes", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering(), fake.Backoff(time.Second))
		w.Want("alive", "dead")
		alive, dead := w.Process("alive"), w.Process("dead")
		w.Pass(time.Second)
		w.KillManager()
		dead.Exit(1)
		w.Spawner.Slow(time.Second) // the new ones are asked for their ports while the old ones are still being adopted
		w.Provider.Set(w.App("new-1"), w.App("new-2"), w.App("alive"), w.App("dead"), w.App("new-3"))
		w.StartManager()
		w.Pass(time.Minute)
		require.Equal(t, alive.Port(), w.Of("alive").Port)
		require.Equal(t, alive.PID(), w.Of("alive").PID)
		require.Equal(t, dead.Port(), w.Of("dead").Port, "kept for its next run")
		require.Len(t, w.Spawner.Live(), 5)
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

func TestAFirstStartIsRememberedFromItsProcessOnAndAtOnceIfItEndsByAPolicyOfItsOwn(t *testing.T) {
	bubble(t, "7 Manager crashes", func(t *testing.T) {
		w := fake.NewWorld(t)
		remembered := func() map[messages.InstanceID]messages.Memory {
			synctest.Wait()
			pages, err := w.Memory.Recall(t.Context())
			require.NoError(t, err)
			byID := map[messages.InstanceID]messages.Memory{}
			for _, m := range pages {
				byID[m.ID] = m
			}
			return byID
		}
		w.Spawner.Slow(time.Second)
		own := w.App("own")
		own.Stop.Grace = 42 * time.Second
		w.Set(w.App("plain"), own)
		w.Pass(900 * time.Millisecond)
		require.Empty(t, remembered(), "there is nothing yet that a next manager has to know")
		for len(w.Spawner.Live()) < 2 {
			time.Sleep(10 * time.Millisecond)
			synctest.Wait()
		}
		require.Equal(t, 42*time.Second, remembered()["own"].Stop.Grace)
		require.NotContains(t, remembered(), messages.InstanceID("plain"))
		w.Pass(time.Second)
		require.Equal(t, 1, remembered()["plain"].Starts)
		noBugs(t, w)
	})
}
