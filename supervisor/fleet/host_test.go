package fleet_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

func TestEachInstanceOfTheListRunsOnOneHost(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.start("a")
		w.start("b")
		w.start("c")
		w.pass(5 * time.Second)
		require.Equal(t, "in", a.Standing().Phase)
		specs := map[messages.InstanceID]string{}
		for n := range 12 {
			specs[messages.InstanceID(fmt.Sprintf("i%d", n))] = []string{fenced, bound, loose}[n%3]
		}
		a.apply(specs)
		w.pass(10 * time.Second)
		used := map[string]bool{}
		for id := range specs {
			require.Len(t, w.runs(id), 1, id)
			used[w.runs(id)[0]] = true
		}
		require.Len(t, used, 3, "they are spread")
		list, err := a.Instances(context.Background())
		require.NoError(t, err)
		require.Len(t, list, 12)
		for _, i := range list {
			require.Equal(t, "assigned", i.State, i.Why)
			require.Equal(t, w.runs(i.ID)[0], i.Host)
		}
	})
}

func TestWhatMayMoveStartsElsewhereWithin15SecondsOfTheLossOfItsHost(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t)
		a, b, c := w.start("a"), w.start("b"), w.start("c")
		w.pass(5 * time.Second)
		a.apply(map[messages.InstanceID]string{"x": fenced, "y": loose, "z": bound})
		w.pass(5 * time.Second)
		for _, id := range []messages.InstanceID{"x", "y", "z"} {
			lost := w.hosts[w.runs(id)[0]]
			lost.crash()
			w.pass(15 * time.Second)
			if id == "z" {
				require.Empty(t, w.runs(id), "its data stays where it is")
				other := []*host{a, b, c}[map[string]int{"a": 1, "b": 2, "c": 0}[lost.name]]
				list, err := other.Instances(context.Background(), id)
				require.NoError(t, err)
				require.Equal(t, "waits", list[0].State)
				require.Contains(t, list[0].Why, "waits for host "+lost.name)
			} else {
				require.Len(t, w.runs(id), 1)
				require.NotEqual(t, lost.name, w.runs(id)[0])
				taker := w.hosts[w.runs(id)[0]]
				require.NotZero(t, taker.Standing().Takeovers)
			}
			lost.run()
			w.pass(15 * time.Second)
			require.Len(t, w.runs(id), 1, "and it is back")
		}
	})
}

func TestTheDeathOfADaemonMovesNothingAndTouchesNoProcess(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t)
		a, b := w.start("a"), w.start("b")
		w.pass(5 * time.Second)
		a.apply(map[messages.InstanceID]string{"x": fenced, "y": loose, "z": bound})
		w.pass(5 * time.Second)
		before := map[messages.InstanceID]int{}
		for _, h := range []*host{a, b} {
			for _, p := range h.spawner.Live() {
				before[p.App.InstanceID] = p.PID()
			}
		}
		incarnation := a.Standing().Incarnation
		for range 5 {
			a.kill()
			w.pass(4 * time.Second)
			a.run()
			w.pass(10 * time.Second)
			require.Equal(t, incarnation, a.Standing().Incarnation, "it goes on with the same lease")
		}
		for _, h := range []*host{a, b} {
			for _, p := range h.spawner.Live() {
				require.Equal(t, before[p.App.InstanceID], p.PID())
			}
		}
	})
}

func TestADaemonThatIsDeadForLongerThanTheLeaseLosesWhatIsFencedToOthersAndNothingElseEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.start("a")
		w.pass(5 * time.Second)
		a.apply(map[messages.InstanceID]string{"x": fenced, "z": bound})
		w.pass(5 * time.Second)
		b := w.start("b")
		w.pass(5 * time.Second)
		require.Equal(t, []string{"a"}, w.runs("x"), "nothing moves because a host joins")
		a.kill()
		w.pass(15 * time.Second)
		require.Equal(t, 1, a.guard.endings, "the leash has ended it")
		require.Equal(t, []string{"b"}, w.runs("x"))
		require.Equal(t, []string{"a"}, w.runs("z"))
		a.run()
		w.pass(15 * time.Second)
		require.Equal(t, []string{"b"}, w.runs("x"))
		require.Equal(t, []string{"a"}, w.runs("z"))
		require.Equal(t, 1, len(a.spawner.Processes("z")), "which was never touched")
		require.Equal(t, uint64(1), b.Standing().Takeovers)
	})
}

func TestAPartitionEndsWhatIsFencedBeforeOthersStartItAndNothingElse(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.start("a")
		w.pass(5 * time.Second)
		a.apply(map[messages.InstanceID]string{"x": fenced, "z": bound, "y": loose})
		w.pass(5 * time.Second)
		w.start("b")
		w.pass(5 * time.Second)
		a.store.Cut(true)
		for range 60 {
			if w.pass(100 * time.Millisecond); a.Standing().Phase == "suspect" {
				break
			}
		}
		require.True(t, a.Standing().Suspect)
		require.Equal(t, []string{"a"}, w.runs("x"))
		w.pass(4 * time.Second)
		require.Empty(t, w.runs("x"), "it was ended with the grace that is left")
		require.Zero(t, a.guard.endings, "by the daemon, and not by the leash")
		w.pass(10 * time.Second)
		require.Equal(t, []string{"b"}, w.runs("x"))
		require.Equal(t, []string{"a"}, w.runs("z"))
		require.Contains(t, w.runs("y"), "a", "at least once")
		a.store.Cut(false)
		w.pass(15 * time.Second)
		require.Equal(t, []string{"b"}, w.runs("x"))
		require.Equal(t, []string{"a"}, w.runs("z"))
		require.Len(t, w.runs("y"), 1, "what ran twice runs once again")
		require.Equal(t, "in", a.Standing().Phase)
		require.Len(t, a.spawner.Processes("z"), 1)
	})
}

func TestADaemonThatBeginsWhileTheStoreDoesNotAnswerGoesOnWithWhatItHad(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.start("a")
		w.pass(5 * time.Second)
		a.apply(map[messages.InstanceID]string{"x": fenced, "z": bound})
		w.pass(5 * time.Second)
		w.server.Client() // the store lives on
		cut := func(h *host) { h.store.Cut(true) }
		cut(a)
		w.pass(time.Second)
		a.kill()
		a.run()
		cut(a)
		w.pass(2 * time.Second)
		require.Equal(t, []string{"a"}, w.runs("x"), "the lease has time left")
		require.Len(t, a.spawner.Processes("x"), 1)
		w.pass(10 * time.Second)
		require.Empty(t, w.runs("x"), "a restart has not made the lease longer")
		require.Equal(t, []string{"a"}, w.runs("z"))
		for _, p := range a.spawner.Live() {
			p.Exit(3)
		}
		w.pass(30 * time.Second)
		require.Equal(t, []string{"a"}, w.runs("z"), "what may not move is restarted without the store, too")
		a.kill()
		a.run()
		cut(a)
		w.pass(30 * time.Second)
		require.Equal(t, []string{"a"}, w.runs("z"))
		require.Len(t, a.spawner.Processes("z"), 2, "and is adopted")
		a.store.Cut(false)
		w.pass(20 * time.Second)
		require.Equal(t, []string{"a"}, w.runs("x"))
	})
}

func TestADrainMovesWhatMayMoveAndStopsWhatMayNotUntilItIsOver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.start("a")
		w.pass(5 * time.Second)
		a.apply(map[messages.InstanceID]string{"x": fenced, "y": loose, "z": bound})
		w.pass(5 * time.Second)
		b := w.start("b")
		w.pass(5 * time.Second)
		require.NoError(t, b.Drain(context.Background(), "a", true))
		w.pass(10 * time.Second)
		require.Equal(t, []string{"b"}, w.runs("x"))
		require.Equal(t, []string{"b"}, w.runs("y"))
		require.Empty(t, w.runs("z"))
		list, err := b.Instances(context.Background(), "z")
		require.NoError(t, err)
		require.Equal(t, "held", list[0].State)
		hosts, err := b.Hosts(context.Background())
		require.NoError(t, err)
		require.True(t, hosts[0].Draining)
		require.NoError(t, b.Drain(context.Background(), "a", false))
		w.pass(10 * time.Second)
		require.Equal(t, []string{"a"}, w.runs("z"))
		require.Equal(t, []string{"b"}, w.runs("x"), "nothing moves back by itself")
		require.NoError(t, b.Rebalance(context.Background()))
		w.pass(30 * time.Second)
		require.Len(t, w.runs("x"), 1)
		require.Len(t, w.runs("y"), 1)
	})
}

func TestWhoDetachesHasNothingEndedForAsLongAsItsSupervisorLives(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.start("a")
		w.pass(5 * time.Second)
		specs := many(4)
		a.apply(specs)
		w.pass(5 * time.Second)
		require.NoError(t, a.Detach(context.Background()))
		w.pass(2 * time.Second) // a busy host takes that long to get further
		require.Len(t, a.spawner.Live(), 4)
		for id := range specs {
			require.Len(t, a.spawner.Processes(id), 1)
			require.Empty(t, a.spawner.Processes(id)[0].Signals(), "nobody was told to end")
		}
		a.kill()
		a.run()
		w.pass(10 * time.Second)
		for id := range specs {
			require.Len(t, a.spawner.Processes(id), 1, "it is adopted")
		}
	})
}

// spread returns on how many hosts they run, each once.
func (w *world) spread(specs map[messages.InstanceID]string) int {
	w.t.Helper()
	used := map[string]bool{}
	for id := range specs {
		at := w.runs(id)
		require.Len(w.t, at, 1, id)
		used[at[0]] = true
	}
	return len(used)
}

func many(n int) map[messages.InstanceID]string {
	specs := map[messages.InstanceID]string{}
	for n := range n {
		specs[messages.InstanceID(fmt.Sprintf("i%d", n))] = []string{fenced, bound}[n%2]
	}
	return specs
}

func TestAListThatIsAppliedWhileHostsAreJoiningIsSpreadOverThem(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.start("a")
		w.pass(500 * time.Millisecond)
		w.start("b")
		w.pass(300 * time.Millisecond)
		w.start("c")
		specs := many(20)
		a.apply(specs)
		w.pass(5 * time.Second)
		require.Equal(t, 3, w.spread(specs))
	})
}

func TestWhatTheFirstHostHasTakenAloneIsSpreadByARebalanceAndNotBefore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.start("a")
		w.pass(5 * time.Second)
		specs := many(20)
		a.apply(specs)
		w.pass(5 * time.Second)
		w.start("b")
		w.start("c")
		w.pass(time.Minute)
		require.Equal(t, 1, w.spread(specs), "what runs is not moved because a host joins")
		require.NoError(t, a.Rebalance(context.Background()))
		w.pass(time.Minute)
		require.Equal(t, 3, w.spread(specs))
		for id, text := range specs {
			if text == bound {
				require.Equal(t, []string{"a"}, w.runs(id))
				require.Len(t, a.spawner.Processes(id), 1, "what may not move is not touched")
			}
		}
		before := map[messages.InstanceID]string{}
		for id := range specs {
			before[id] = w.runs(id)[0]
		}
		require.NoError(t, a.Rebalance(context.Background()))
		w.pass(time.Minute)
		for id := range specs {
			require.Equal(t, before[id], w.runs(id)[0], "it is where it is to be")
		}
	})
}

func TestAHostThatLeavesGivesBackWhatItHasAndOthersStartItAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.start("a")
		w.pass(5 * time.Second)
		a.apply(map[messages.InstanceID]string{"x": fenced, "z": bound})
		w.pass(5 * time.Second)
		w.start("b")
		w.pass(5 * time.Second)
		require.NoError(t, a.Leave(context.Background()))
		require.NoError(t, a.daemon.Shutdown(context.Background()))
		w.pass(500 * time.Millisecond)
		require.Equal(t, []string{"b"}, w.runs("x"))
		require.Empty(t, w.runs("z"))
		require.Empty(t, a.guard.marks)
		require.Equal(t, "gone", a.Standing().Phase)
	})
}

func TestWhatIsTakenOffTheListEndsAndWhatChangesThereIsReplaced(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t)
		a, b := w.start("a"), w.start("b")
		w.pass(5 * time.Second)
		a.apply(map[messages.InstanceID]string{"x": fenced, "z": bound})
		w.pass(5 * time.Second)
		at := w.runs("z")
		_, err := b.Delete(context.Background(), "nobody")
		require.ErrorIs(t, err, messages.ErrUnknownInstance{ID: "nobody"})
		a.apply(map[messages.InstanceID]string{"z": `{"db_name":"b.db"}`})
		w.pass(3 * time.Second)
		require.Equal(t, at, w.runs("z"))
		require.Len(t, w.hosts[at[0]].spawner.Processes("z"), 2)
		_, err = b.Delete(context.Background(), "x", "z")
		require.NoError(t, err)
		w.pass(5 * time.Second)
		require.Empty(t, w.runs("x"))
		require.Empty(t, w.runs("z"))
		list, err := a.Instances(context.Background())
		require.NoError(t, err)
		require.Empty(t, list)
		_, err = a.Apply(context.Background(), map[messages.InstanceID]json.RawMessage{"w": json.RawMessage(`{}`)},
			false)
		require.ErrorContains(t, err, `instance "w": db_name is empty`)
	})
}

func TestTheHostsOwnInstancesLiveBesideTheFleets(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.start("a")
		own := messages.AppInstance{InstanceID: "own", WasmPath: "a.wasm", DbName: "own.db"}.WithDefaults()
		both := own
		both.InstanceID = "both"
		a.local.Set(own, both)
		w.pass(5 * time.Second)
		a.apply(map[messages.InstanceID]string{"x": bound, "both": bound})
		w.pass(5 * time.Second)
		require.Equal(t, []string{"a"}, w.runs("own"))
		require.Equal(t, []string{"a"}, w.runs("x"))
		require.Len(t, a.spawner.Processes("both"), 1)
		require.Equal(t, "own.db", a.spawner.Processes("both")[0].App.DbName)
		require.Len(t, a.events(messages.ConfigRejected), 1)
		a.store.Cut(true)
		w.pass(time.Minute)
		require.Len(t, a.spawner.Processes("own"), 1)
		a.local.Set(both)
		w.pass(time.Second)
		require.Empty(t, w.runs("own"))
		require.Equal(t, []string{"a"}, w.runs("x"))
	})
}

func TestWithoutALeashNothingFencedStarts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.start("a")
		w.pass(5 * time.Second)
		a.apply(map[messages.InstanceID]string{"x": fenced})
		w.pass(5 * time.Second)
		require.Equal(t, 1, a.guard.started)
		a.guard.die()
		w.pass(3 * time.Second)
		require.Equal(t, 2, a.guard.started, "another is started")
		require.Len(t, a.spawner.Processes("x"), 1, "and nothing is ended for that")
		require.Contains(t, a.guard.marks, messages.InstanceID("x"))
		require.Zero(t, a.guard.entered)
	})
}

func TestADiskThatTakesNoDeadlineMakesTheHostGiveUpWhatIsFenced(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.start("a")
		w.pass(5 * time.Second)
		a.apply(map[messages.InstanceID]string{"x": fenced, "z": bound})
		w.pass(5 * time.Second)
		w.start("b")
		w.pass(5 * time.Second)
		a.guard.fill(errors.New("no space left on device"))
		w.pass(20 * time.Second)
		require.Equal(t, []string{"b"}, w.runs("x"))
		require.Equal(t, []string{"a"}, w.runs("z"))
		a.guard.fill(nil)
		w.pass(20 * time.Second)
		require.Equal(t, "in", a.Standing().Phase)
	})
}
