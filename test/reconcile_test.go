package test

import (
	"cmp"
	"math/rand/v2"
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

// closed reports whether the channel, which carries nothing, is closed once everything due has been done.
func closed(c <-chan struct{}) bool {
	synctest.Wait()
	select {
	case <-c:
		return true
	default:
		return false
	}
}

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

func TestAListIsInForceWhateverTheOneBeforeItWas(t *testing.T) {
	bubble(t, "2 Dynamic configuration", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering())
		random := rand.New(rand.NewPCG(1, 2))
		ids := []messages.InstanceID{"a", "b", "c", "d", "e", "f"}
		runs := map[messages.InstanceID]string{} // with which database
		for range 300 {
			if random.IntN(3) == 0 {
				random.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
			}
			var list []messages.AppInstance
			now := map[messages.InstanceID]string{}
			for _, id := range ids {
				if random.IntN(5) == 0 {
					continue
				}
				app := w.App(id)
				app.DbName = []string{"one.db", "other.db"}[random.IntN(8)/7]
				now[id] = app.DbName
				if random.IntN(10) == 0 {
					app.EnvFault = "it cannot be read"
					now[id] = cmp.Or(runs[id], now[id])
				}
				list = append(list, app)
			}
			w.Set(list...)
			w.Pass(2 * time.Minute)
			require.Equal(t, len(list), w.Desired())
			for _, id := range ids {
				_, known := w.Lookup(id)
				_, listed := now[id]
				require.Equal(t, listed, known, id)
				running := ""
				if w.Spawns(id) > 0 && w.Process(id).Alive() {
					running = w.Process(id).App.DbName
				}
				require.Equal(t, now[id], running, id)
			}
			runs = now
		}
		noBugs(t, w)
	})
}
