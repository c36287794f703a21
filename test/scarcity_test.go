package test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
	"procman/test/fake"
)

// F130: the host's fault is not booked to the instance.
func TestAStartThatTheHostKeepsWaitsWithoutAnAttemptWhateverTheMode(t *testing.T) {
	policies := map[string]messages.RestartPolicy{
		"never":        {Mode: messages.RestartNever},
		"on-failure":   {Mode: messages.RestartOnFailure},
		"one attempt":  {MaxAttempts: 1},
		"many minutes": {Initial: 10 * time.Minute, Max: 10 * time.Minute},
	}
	for _, fault := range []messages.StartFault{messages.FaultNoPort, messages.FaultResources, messages.FaultLocked,
		messages.FaultStateDir} {
		for name, policy := range policies {
			t.Run(string(fault)+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := fake.NewWorld(t, fake.Answering(), fake.Each(
						func(a *messages.AppInstance) { a.Restart = policy }))
					w.Spawner.Fail("web", &messages.StartError{Fault: fault, Err: errors.New("the cause")})
					w.Want("web")
					w.Pass(10 * time.Minute)
					s := w.Of("web")
					require.Equal(t, messages.Starting, s.Phase)
					require.Contains(t, s.Reason, string(fault)+": the cause")
					require.Zero(t, s.ConsecutiveFailures)
					require.Nil(t, s.LastExit)
					require.Len(t, w.Log.Records("start failed", "web"), 1, "it is said once")
					x, _ := w.Explain("web")
					require.Contains(t, x.Verdict.Summary, "the cause")
					require.Zero(t, x.Verdict.Attempt)

					w.Spawner.Fail("web", nil)
					w.Pass(2 * time.Second)
					s = w.Of("web")
					require.Equal(t, messages.Running, s.Phase)
					require.Empty(t, s.Reason)
					require.Zero(t, s.Restarts)
					require.Equal(t, 1, s.Run)
				})
			})
		}
	}
}

func TestAFaultOfTheInstanceSpendsAnAttemptAsEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := fake.NewWorld(t, fake.Each(func(a *messages.AppInstance) { a.Restart.Mode = messages.RestartNever }))
		w.Spawner.Fail("web", &messages.StartError{Fault: messages.FaultExecutableMissing})
		w.Want("web")
		w.Pass(time.Second)
		require.Equal(t, messages.Failed, w.Of("web").Phase)
	})
}

func TestAStartThatWaitsForTheHostCanBeStoppedRestartedAndTakenFromTheList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering())
		w.Ports.Exhaust(&messages.StartError{Fault: messages.FaultNoPort})
		w.Want("a", "b", "c")
		w.Pass(time.Minute)
		require.NoError(t, w.Stop(t.Context(), "a"))
		w.Pass(0)
		require.Equal(t, messages.Stopped, w.Of("a").Phase)
		require.NoError(t, w.Restart(t.Context(), "b"))
		w.Want("a", "b")
		_, known := w.Lookup("c")
		require.False(t, known)
		w.Ports.Exhaust(nil)
		w.Pass(3 * time.Second)
		require.Equal(t, messages.Running, w.Of("b").Phase)
		require.Zero(t, w.Spawns("a")+w.Spawns("c"))
	})
}

func TestOfThoseThatWaitForAPortTheFirstComeGetsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering())
		w.Ports.Limit(2)
		ids := []messages.InstanceID{"p0", "p1"}
		w.Want(ids...)
		for _, id := range []messages.InstanceID{"z", "m", "a"} { // neither by name nor by chance
			ids = append(ids, id)
			w.Want(ids...)
			w.Pass(7 * time.Second)
			require.Contains(t, w.Of(id).Reason, "no free port")
		}
		var order []messages.InstanceID
		w.Spawner.OnSpawn(func(p *fake.Process) { order = append(order, p.App.InstanceID) })
		for _, id := range []messages.InstanceID{"p0", "p1", "z"} {
			require.NoError(t, w.Stop(t.Context(), id))
			w.Pass(300 * time.Millisecond) // the pause of a hopeless wait is up to two seconds
		}
		require.Equal(t, []messages.InstanceID{"z", "m", "a"}, order)
	})
}

func TestARestartKeepsItsPortThoughOthersWaitForOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering())
		w.Ports.Limit(1)
		w.Want("web")
		w.Pass(time.Second)
		w.Want("web", "late")
		for range 5 {
			w.Pass(3 * time.Second)
			require.NoError(t, w.Restart(t.Context(), "web"))
			w.Pass(time.Second)
			require.Equal(t, messages.Running, w.Of("web").Phase)
			require.Zero(t, w.Spawns("late"))
		}
	})
}

// FAULTS 55: a host that is out of processes is not asked for one by every instance in turn.
func TestAShortageOfTheHostPausesTheStartsOfAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 200
		w := fake.NewWorld(t, fake.Answering())
		short := &messages.StartError{Fault: messages.FaultResources,
			Err: errors.New("fork: resource temporarily unavailable")}
		var ids []messages.InstanceID
		for i := range n {
			ids = append(ids, messages.InstanceID(fmt.Sprintf("i%03d", i)))
			w.Spawner.Fail(ids[i], short)
		}
		w.Want(ids...)
		w.Pass(time.Minute)
		before := w.Spawner.Tries()
		w.Pass(time.Minute)
		require.LessOrEqual(t, w.Spawner.Tries()-before, 31, "one try for all in two seconds")
		for _, id := range ids {
			require.True(t, strings.HasPrefix(w.Of(id).Reason, "waits: out of resources"), w.Of(id).Reason)
			w.Spawner.Fail(id, nil)
		}
		w.Pass(3 * time.Second)
		for _, id := range ids {
			require.Equal(t, messages.Running, w.Of(id).Phase)
		}
	})
}

func TestOneInstanceThatAlwaysRunsShortDelaysTheOthersByAPauseAtTheMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering())
		w.Spawner.Fail("greedy", &messages.StartError{Fault: messages.FaultResources, Err: errors.New("out of memory")})
		w.Want("greedy")
		w.Pass(time.Minute)
		ids := []messages.InstanceID{"greedy"}
		for i := range 20 {
			ids = append(ids, messages.InstanceID(fmt.Sprintf("i%d", i)))
		}
		w.Want(ids...)
		w.Pass(3 * time.Second)
		for _, id := range ids[1:] {
			require.Equal(t, messages.Running, w.Of(id).Phase, "%s", id)
		}
	})
}

func TestAManagerThatIsKilledWhileStartsWaitHasSpentNoAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering(), fake.Each(
			func(a *messages.AppInstance) { a.Restart.Mode = messages.RestartNever }))
		w.Spawner.Fail("web", &messages.StartError{Fault: messages.FaultStateDir,
			Err: errors.New("no space left on device")})
		w.Want("web")
		w.Pass(time.Minute)
		for range 3 {
			w.KillManager()
			w.StartManager()
			w.Pass(time.Minute)
			require.Equal(t, messages.Starting, w.Of("web").Phase)
		}
		w.Spawner.Fail("web", nil)
		w.Pass(3 * time.Second)
		require.Equal(t, messages.Running, w.Of("web").Phase)
	})
}

// A port that somebody else takes again and again is the host's fault as well.
func TestPortConflictsWithoutEndSpendNoAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := fake.NewWorld(t, fake.Each(func(a *messages.AppInstance) {
			a.Restart = messages.RestartPolicy{Mode: messages.RestartNever, Initial: time.Second, Max: 4 * time.Second}
		}))
		for port := 30000; port < 31000; port++ {
			w.Ports.Steal(port)
		}
		w.Want("web")
		for range 20 {
			if p := w.Process("web"); p.Alive() {
				p.Exit(5)
			}
			w.Pass(time.Second)
		}
		require.NotEqual(t, messages.Failed, w.Of("web").Phase)
		require.Zero(t, w.Of("web").ConsecutiveFailures)
		require.Less(t, w.Spawns("web"), 16)
	})
}
