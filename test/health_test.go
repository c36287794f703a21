package test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
	"procman/test/fake"
)

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
	many := fewer(1000, 150)
	bubble(t, "5.3 Monitoring loop", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering())
		var ids []messages.InstanceID
		for n := range many {
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
			require.InDelta(t, many/15, n, float64(many)/25, "of %v", each)
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
