package metrics

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
	"procman/supervisor"
	"procman/test/fake"
)

// observed is a world with a collector of its newest supervisor.
type observed struct {
	*fake.World
	t *testing.T
	c *Collector
}

func observe(t *testing.T, options ...fake.Option) *observed {
	o := &observed{t: t}
	o.World = fake.NewWorld(t, append(options, fake.Backoff(time.Second), fake.With(func(c *supervisor.Config) {
		o.c = New(Options{proc: t.TempDir()})
		c.Observe = []supervisor.Observer{o.c.Observer()}
		c.Health = o.c.Checker(c.Health)
	}))...)
	o.c.Watch(o.Supervisor)
	return o
}

func (o *observed) scrape() sampled {
	synctest.Wait()
	return scrape(o.t, o.c)
}

func TestARestartCountsByTheReasonOfTheEndBeforeIt(t *testing.T) {
	for reason, end := range map[messages.ExitReason]func(o *observed, p *fake.Process){
		messages.ReasonExit:    func(_ *observed, p *fake.Process) { p.Exit(3) },
		messages.ReasonSignal:  func(_ *observed, p *fake.Process) { p.Die("SEGV") },
		messages.ReasonUnknown: func(_ *observed, p *fake.Process) { p.Vanish() },
		messages.ReasonUnhealthy: func(o *observed, p *fake.Process) {
			o.Health.Answer(p, errors.New("status 500"))
			o.Pass(time.Minute)
			require.EqualValues(o.t, 3, o.scrape()[`procman_probe_failures_total{instance="web"}`])
		},
		messages.ReasonStopped: func(o *observed,
			_ *fake.Process) {
			require.NoError(o.t, o.Restart(o.t.Context(), "web"))
		},
		messages.ReasonChanged: func(o *observed, _ *fake.Process) {
			app := o.App("web")
			app.WasmPath = "other.wasm"
			o.Set(app)
		},
		messages.ReasonStartFailed: func(o *observed, p *fake.Process) {
			o.Spawner.Fail("web", errors.New("no such file"))
			p.Exit(0)
			o.Pass(time.Minute)
			require.Empty(o.t, o.scrape().restarts("web"), "what never started is no start")
			o.Spawner.Fail("web", nil)
		},
	} {
		t.Run(string(reason), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := observe(t, fake.Answering())
				o.Want("web")
				p := o.Process("web")
				o.Pass(time.Second)
				require.EqualValues(t, 1, o.scrape()[`procman_instance_healthy{instance="web"}`])
				require.Empty(t, o.scrape().restarts("web"), "the first start is none")
				end(o, p)
				o.Pass(2 * time.Minute)
				require.Equal(t, 1, o.Of("web").Restarts)
				s := o.scrape()
				require.Equal(t, map[string]float64{string(reason): 1}, s.restarts("web"))
				require.EqualValues(t, 1, s[`procman_instance_up{instance="web"}`])
				require.EqualValues(t, 1, s[`procman_instances{phase="running"}`])
				require.Zero(t, s["procman_adopted_total"])
			})
		})
	}
}

func TestAPortConflictCountsAsSuch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := observe(t)
		o.Want("web")
		p := o.Process("web")
		o.Ports.Steal(p.Port())
		p.Exit(5)
		o.Pass(0)
		require.Equal(t, map[string]float64{"port_conflict": 1}, o.scrape().restarts("web"))
	})
}

func TestAdoptionIsNoRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := observe(t, fake.Answering())
		o.Want("a", "b")
		o.Process("a").Exit(1)
		o.Pass(time.Minute)
		require.Equal(t, 1, o.Of("a").Restarts)
		o.KillManager()
		o.StartManager()
		o.c.Watch(o.Supervisor)
		o.Pass(time.Second)
		require.Equal(t, 1, o.Of("a").Restarts, "the status goes on counting")
		s := o.scrape()
		require.Empty(t, s.restarts("a"))
		require.Empty(t, s.restarts("b"))
		require.EqualValues(t, 2, s["procman_adopted_total"])
		require.EqualValues(t, 2, s[`procman_instances{phase="running"}`])

		o.Process("a").Exit(1)
		o.Pass(time.Minute)
		require.Equal(t, map[string]float64{"exit": 1}, o.scrape().restarts("a"))
		require.EqualValues(t, 2, o.scrape()["procman_adopted_total"])
	})
}

func TestAnInstanceThatIsNoLongerListedTakesItsSeriesWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := observe(t, fake.Answering())
		o.Want("a", "b")
		o.Process("a").Exit(1)
		o.Pass(time.Minute)
		require.NotEmpty(t, o.scrape().restarts("a"))
		o.Want("b")
		o.Pass(time.Minute)
		s := o.scrape()
		require.Empty(t, s.of("a"))
		require.NotEmpty(t, s.of("b"))
		require.EqualValues(t, 1, s["procman_instances_desired"])

		o.Want("a", "b", "c")
		o.Pass(time.Minute)
		require.Empty(t, o.scrape().restarts("a"), "another instance of the same name")
		require.EqualValues(t, 3, o.scrape()["procman_instances_desired"])
	})
}

func TestARejectedListIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := observe(t, fake.Answering())
		o.Want("a")
		require.EqualValues(t, 1, o.scrape()["procman_config_last_reload_successful"])
		o.Provider.Fail(errors.New("line 3: what is this"))
		o.Pass(time.Millisecond)
		require.Zero(t, o.scrape()["procman_config_last_reload_successful"])
		o.Want("a") // nothing has changed
		o.Pass(time.Minute)
		require.EqualValues(t, 1, o.scrape()["procman_config_last_reload_successful"])
		require.GreaterOrEqual(t, o.scrape()["procman_reconcile_duration_seconds_count"], 2.0)
	})
}
