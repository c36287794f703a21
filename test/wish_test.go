package test

import (
	"context"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
	"procman/supervisor"
	"procman/test/fake"
)

// F131, with everything around it: the defaults of a whole list are edited, by turns with the manager up and down.
func TestAnEditOfALabelStartsNothingThatHadEnded(t *testing.T) {
	bubble(t, "5.2", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering())
		list := func(label string, interval time.Duration) []messages.AppInstance {
			job, once, back, web := w.App("job"), w.App("once"), w.App("back"), w.App("web")
			job.Restart = messages.RestartPolicy{Mode: messages.RestartOnFailure}
			once.Restart = messages.RestartPolicy{Mode: messages.RestartNever}
			back.Restart = messages.RestartPolicy{Initial: 10 * time.Hour}
			all := []messages.AppInstance{job, once, back, web}
			for n := range all {
				all[n].Labels, all[n].Health.Interval = map[string]string{"v": label}, interval
			}
			return all
		}
		w.Set(list("1", 15*time.Second)...)
		w.Process("job").Exit(0)
		w.Process("once").Exit(3)
		w.Process("back").Exit(3)
		w.Pass(time.Minute)
		due := *w.Of("back").NextStartAt
		one := func() {
			for _, id := range []messages.InstanceID{"job", "once", "back", "web"} {
				require.Equal(t, 1, w.Spawns(id), id)
			}
			require.Equal(t, messages.Backoff, w.Of("back").Phase)
			require.WithinDuration(t, due, *w.Of("back").NextStartAt, time.Second, "its delay goes on")
			require.Equal(t, messages.Failed, w.Of("once").Phase)
		}
		for _, label := range []string{"2", "1", "2", "3"} { // there and back
			w.Set(list(label, 15*time.Second)...)
			w.Pass(time.Minute)
			one()
		}
		w.Set(list("3", time.Second)...)
		w.Pass(time.Minute)
		one()
		w.KillManager()
		w.Provider.Set(list("4", 3*time.Second)...)
		w.StartManager()
		w.Pass(time.Minute)
		one()

		next := list("4", 3*time.Second)
		next[0].Restart.Initial = 2 * time.Second
		w.Set(next...)
		w.Pass(time.Minute)
		require.Equal(t, 2, w.Spawns("job"), "a wish")
		require.Equal(t, 1, w.Spawns("back"))
		w.Process("job").Exit(0)
		w.Pass(time.Minute)
		w.KillManager()
		next = slices.Clone(next)
		next[0].Restart.Initial = 3 * time.Second
		w.Provider.Set(next...)
		w.StartManager()
		w.Pass(time.Minute)
		require.Equal(t, 3, w.Spawns("job"), "the same wish while no manager was there")
		require.Equal(t, 1, w.Spawns("back"))
		noBugs(t, w)
	})
}

// F132: one number, told by the log, the events, the status and why.
func TestARestartHasOneNumberAndItBeginsAnewWhenTheInstanceIsStable(t *testing.T) {
	bubble(t, "5.3", func(t *testing.T) {
		var events []messages.Event
		w := fake.NewWorld(t, fake.Answering(), fake.Backoff(10*time.Second), fake.With(func(c *supervisor.Config) {
			c.Observe = append(c.Observe, supervisor.Observer{Event: func(e messages.Event) {
				if e.What == messages.InstanceRestarting {
					events = append(events, e)
				}
			}})
		}))
		w.Want("web")
		for n := 1; n <= 3; n++ {
			w.Process("web").Exit(1)
			w.Pass(time.Second)
			records := w.Log.Records("instance restarting", "web")
			why, _ := w.Explain("web")
			require.EqualValues(t, n, records[len(records)-1].Attrs["attempt"])
			require.Equal(t, n, events[len(events)-1].Attempt)
			require.Equal(t, n, w.Of("web").ConsecutiveFailures)
			require.Equal(t, n, why.Verdict.Attempt)
			w.Pass(50 * time.Second)
		}
		require.Equal(t, messages.Running, w.Of("web").Phase)
		since := time.Since(*w.Of("web").HealthySince)
		w.Pass(time.Minute - since - time.Millisecond)
		require.Equal(t, 3, w.Of("web").ConsecutiveFailures)
		w.Pass(time.Millisecond)
		require.Zero(t, w.Of("web").ConsecutiveFailures, "stable_after is over")
		why, _ := w.Explain("web")
		require.Zero(t, why.Verdict.Attempt)
		w.KillManager()
		w.StartManager()
		w.Pass(time.Second)
		require.Zero(t, w.Of("web").ConsecutiveFailures, "and stays so")
		noBugs(t, w)
	})
}

// F134.
func TestAHoldOutlivesTheAbsenceOfItsEntry(t *testing.T) {
	bubble(t, "6 ProcessController", func(t *testing.T) {
		ctx := supervisor.WithOperator(context.Background(), "uid 1000")
		w := fake.NewWorld(t, fake.Answering())
		w.Want("web", "db")
		w.Pass(time.Minute)
		require.NoError(t, w.Stop(ctx, "web"))
		held := time.Now()
		w.Pass(time.Minute)
		absent := func() {
			w.Want("db")
			w.Pass(time.Minute)
			_, known := w.Lookup("web")
			require.False(t, known)
			require.Len(t, status(t, w), 1)
			_, known = w.Explain("web")
			require.False(t, known)
			require.ErrorIs(t, w.Start(ctx, "web"), messages.ErrUnknownInstance{ID: "web"})
			changes, err := w.Preview(messages.Each([]messages.AppInstance{w.App("web"), w.App("db")}))
			require.NoError(t, err)
			require.Len(t, changes, 1)
			require.Equal(t, messages.ChangeApply, changes[0].Kind, changes[0].Why)
		}
		back := func() {
			w.Want("web", "db")
			w.Pass(time.Minute)
			require.Equal(t, messages.Stopped, w.Of("web").Phase)
			require.True(t, w.Of("web").Held)
			require.Contains(t, w.Of("web").Reason, "uid 1000")
			why, _ := w.Explain("web")
			require.Equal(t, "uid 1000", why.HeldBy)
			require.WithinDuration(t, held, why.HeldAt, time.Second)
			require.Equal(t, 1, w.Spawns("web"))
		}
		absent()
		back()
		absent()
		w.KillManager()
		w.StartManager()
		absent()
		w.KillManager()
		w.Provider.Set(w.App("web"), w.App("db"))
		w.StartManager()
		back()
		require.NoError(t, w.Start(ctx, "web"))
		w.Pass(time.Minute)
		require.Equal(t, 2, w.Spawns("web"))
		w.Want("db")
		w.Pass(time.Minute)
		pages, err := w.Memory.Recall(ctx)
		require.NoError(t, err)
		require.Len(t, slices.Collect(maps.Keys(byID(pages))),
			1, "without a hold nothing is kept of what left the list")
		noBugs(t, w)
	})
}

func byID(pages []messages.Memory) map[messages.InstanceID]messages.Memory {
	all := map[messages.InstanceID]messages.Memory{}
	for _, p := range pages {
		all[p.ID] = p
	}
	return all
}

// F138: nobody waits for what is not to run.
func TestReadyDoesNotWaitForWhatIsDisabledRemovedOrHeld(t *testing.T) {
	ctx := context.Background()
	for how, end := range map[string]func(*testing.T, *fake.World){
		"disabled": func(_ *testing.T, w *fake.World) {
			off := w.App("never")
			off.Disabled = true
			w.Set(w.App("web"), off)
		},
		"removed": func(_ *testing.T, w *fake.World) { w.Want("web") },
		"held":    func(t *testing.T, w *fake.World) { require.NoError(t, w.Stop(ctx, "never")) },
		"disabled, and its process does not end": func(_ *testing.T, w *fake.World) {
			w.Process("never").IgnoreTERM()
			off := w.App("never")
			off.Disabled = true
			w.Set(w.App("web"), off)
		},
	} {
		t.Run(how, func(t *testing.T) {
			bubble(t, "6", func(t *testing.T) {
				w := fake.NewWorld(t, fake.With(func(c *supervisor.Config) {
					c.Provider.(*fake.Provider).Set(
						messages.AppInstance{InstanceID: "web", WasmPath: "w", DbName: "d"},
						messages.AppInstance{InstanceID: "never", WasmPath: "w", DbName: "d"})
				}))
				ready := func() bool { return closed(w.Ready()) }
				w.Want("web", "never")
				w.Answer(w.Process("web"), nil)
				w.Pass(time.Second)
				require.False(t, ready())
				end(t, w)
				w.Pass(time.Second)
				require.True(t, ready())
				noBugs(t, w)
			})
		})
	}
}
