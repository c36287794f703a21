package test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
	"procman/test/fake"
)

// The end of an actor overtakes its own last report, since the actor system puts it first. Whichever comes first, and
// however late the other: the end of the process is counted once, and one other process is started.
func TestAnActorsEndAndItsLastReportMayComeInAnyOrder(t *testing.T) {
	type step string
	const exit, end, report, settle step = "exit", "end", "report", "settle"
	for n, order := range [][]step{
		{exit, end, report}, {exit, report, end}, {end, exit, report}, {end, report, exit}, {report, exit, end},
		{report, end, exit},
		{end, settle, exit, report}, {exit, end, settle, report}, {end, exit, settle, report},
		{exit, settle, end, report},
	} {
		t.Run(fmt.Sprint(n, order), func(t *testing.T) {
			bubble(t, "7: one recovery path", func(t *testing.T) {
				w := fake.NewWorld(t, fake.Answering(), fake.Backoff(10*time.Second))
				w.Want("web")
				w.Pass(10 * time.Second)
				p, actor, root := w.Process("web"), w.System.NewLocalPID("procman/web@1"),
					w.System.NewLocalPID("procman")
				for _, s := range order {
					switch s {
					case exit:
						p.Exit(3)
					case end:
						w.System.Root.Stop(actor)
					case settle:
						synctest.Wait()
					case report: // a second time, as if it had been held up
						if !p.Alive() {
							w.System.Root.RequestWithCustomSender(root, messages.Exited{ID: "web", Run: 1,
								Exit: messages.Exit{Known: true, Code: 3, At: time.Now()}}, actor)
						}
					}
				}
				w.Pass(time.Second)
				s := w.Of("web")
				require.Equal(t, messages.Backoff, s.Phase)
				require.Equal(t, 1, s.ConsecutiveFailures)
				require.Equal(t, 3, s.LastExit.Code)
				require.True(t, s.LastExit.Known)
				require.Len(t, w.Log.Records("instance exited", "web"), 1)
				require.Equal(t, 1, w.Spawns("web"))
				w.Pass(20 * time.Second)
				require.Equal(t, 2, w.Spawns("web"))
				require.Equal(t, messages.Running, w.Of("web").Phase)
				require.Equal(t, 1, w.Of("web").Restarts)
			})
		})
	}
}

func ids(n int) (all []messages.InstanceID) {
	for i := range n {
		all = append(all, messages.InstanceID(fmt.Sprintf("app-%03d", i)))
	}
	return all
}

// A host under load: each start takes nearly as long as it may, and the queue takes many times longer. What waits for
// its turn spends nothing of its deadline.
func TestAStartThatWaitsItsTurnIsNotKilledForIt(t *testing.T) {
	bubble(t, "5.3", func(t *testing.T) {
		w := fake.NewWorld(t, fake.With(parallel(4)))
		w.Spawner.OnSpawn(func(p *fake.Process) { time.AfterFunc(55*time.Second, func() { w.Health.Answer(p, nil) }) })
		all := ids(60)
		w.Want(all...)
		w.Pass(time.Minute)
		require.Less(t, len(w.Spawner.Live()), 60, "there is a queue")
		w.Pass(5 * time.Minute)
		for _, id := range all {
			require.Equal(t, 1, w.Spawns(id))
			require.Equal(t, messages.Running, w.Of(id).Phase)
			require.Zero(t, w.Of(id).ConsecutiveFailures)
		}
		require.Empty(t, w.Log.Records("instance unhealthy", ""))
		noBugs(t, w)
	})
}

// What all depend on is away for some minutes: all crash at the same moment, and again and again. Starts are limited
// and spread, and when it is back all are back within the longest delay and the time that the queue takes.
func TestManyThatCrashTogetherComeBackWithoutAStampede(t *testing.T) {
	bubble(t, "5.3", func(t *testing.T) {
		const slots, takes, longest = 4, time.Second, 30 * time.Second
		many := fewer(200, 60)
		queue := time.Duration(many/slots*2) * takes
		w := fake.NewWorld(t, fake.With(parallel(slots)), fake.Each(func(a *messages.AppInstance) {
			a.Restart = messages.RestartPolicy{Initial: time.Second, Max: longest, Multiplier: 2, Jitter: 0.2}
			a.Health.Interval = time.Minute
		}))
		var (
			mu             sync.Mutex
			away           bool
			starting, most int
			starts         []time.Time
		)
		w.Spawner.OnSpawn(func(p *fake.Process) {
			mu.Lock()
			defer mu.Unlock()
			starts = append(starts, time.Now())
			starting++
			most = max(most, starting)
			gone, after := away, takes
			if gone {
				after = 100 * time.Millisecond
			}
			time.AfterFunc(after, func() {
				mu.Lock()
				starting--
				mu.Unlock()
				if gone {
					p.Exit(1)
				} else {
					w.Health.Answer(p, nil)
				}
			})
		})
		set := func(to bool) {
			mu.Lock()
			defer mu.Unlock()
			away, starts = to, nil
		}
		w.Want(ids(many)...)
		w.Pass(queue + 2*time.Minute)
		require.Len(t, w.Spawner.Live(), many)
		set(true)
		for _, p := range w.Spawner.Live() {
			p.Exit(1)
		}
		w.Pass(2 * time.Minute)
		set(true) // by now the delays are the longest
		w.Pass(time.Minute)
		perSecond := map[int64]int{}
		busiest := 0
		for _, at := range starts {
			perSecond[at.Unix()]++
			busiest = max(busiest, perSecond[at.Unix()])
		}
		require.Greater(t, len(perSecond), 20, "spread")
		require.Less(t, busiest, many/5)
		set(false)
		w.Pass(longest + queue)
		for _, s := range status(t, w) {
			require.Equal(t, messages.Running, s.Phase, s.ID)
		}
		require.LessOrEqual(t, most, slots)
		noBugs(t, w)
	})
}

// FAULTS 98: a thousand runs, instances that come and go: the actor system knows as many names as before.
func TestRunsThatAreOverLeaveNoActorBehind(t *testing.T) {
	bubble(t, "7: one recovery path", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering(), fake.Backoff(time.Millisecond))
		names := func() (all []string) {
			for _, bucket := range w.System.ProcessRegistry.LocalPIDs.LocalPIDs {
				all = append(all, bucket.Keys()...)
			}
			return all
		}
		w.Want("web")
		w.Pass(time.Second)
		before := len(names())
		crashes := fewer(1000, 200)
		for n := range crashes {
			w.Process("web").Exit(1)
			if n%10 == 0 {
				w.Want("web", "guest")
			}
			w.Pass(time.Second)
			if n%10 == 0 {
				w.Want("web")
			}
		}
		w.Pass(time.Minute)
		require.Equal(t, crashes+1, w.Spawns("web"))
		require.Len(t, names(), before)
		noBugs(t, w)
	})
}
