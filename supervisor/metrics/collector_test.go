package metrics_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"procman/messages"
	"procman/supervisor"
	"procman/supervisor/metrics"
	"procman/test/fake"
)

// none is a collector of no instances.
func none() *metrics.Collector {
	return metrics.New(metrics.Options{Statuses: func() []messages.Status { return nil }, Version: "v1", Revision: "abc", GoVersion: "go1.26"})
}

func TestCountersAndStatesExistBeforeAnythingHasHappened(t *testing.T) {
	problems, err := testutil.CollectAndLint(none())
	require.NoError(t, err)
	require.Empty(t, problems)
	require.NoError(t, testutil.CollectAndCompare(none(), strings.NewReader(`
# HELP procman_adopted_total Processes of earlier managers that were taken over.
# TYPE procman_adopted_total counter
procman_adopted_total 0
# HELP procman_build_info 1, with what the program was built from.
# TYPE procman_build_info gauge
procman_build_info{goversion="go1.26",revision="abc",version="v1"} 1
# HELP procman_config_last_reload_successful Whether the newest configuration is in force.
# TYPE procman_config_last_reload_successful gauge
procman_config_last_reload_successful 0
# HELP procman_instances Instances by the phase they are in.
# TYPE procman_instances gauge
procman_instances{phase="backoff"} 0
procman_instances{phase="failed"} 0
procman_instances{phase="running"} 0
procman_instances{phase="starting"} 0
procman_instances{phase="stopped"} 0
procman_instances{phase="stopping"} 0
# HELP procman_instances_desired Instances in the list, disabled and held ones included.
# TYPE procman_instances_desired gauge
procman_instances_desired 0
# HELP procman_output_bytes_total Bytes of output that were forwarded into the log.
# TYPE procman_output_bytes_total counter
procman_output_bytes_total 0
# HELP procman_output_skipped_bytes_total Bytes of output that were gone before they could be forwarded.
# TYPE procman_output_skipped_bytes_total counter
procman_output_skipped_bytes_total 0
`), "procman_adopted_total", "procman_build_info", "procman_config_last_reload_successful", "procman_instances", "procman_instances_desired",
		"procman_output_bytes_total", "procman_output_skipped_bytes_total"))
}

// observed is a world whose supervisor is observed by a collector.
func observed(t *testing.T, options ...fake.Option) (*fake.World, *metrics.Collector) {
	t.Helper()
	var w *fake.World
	c := metrics.New(metrics.Options{Statuses: func() []messages.Status {
		all, _ := w.Status(context.Background())
		return all
	}})
	w = fake.NewWorld(t, append(options, fake.With(func(o *supervisor.Config) {
		o.Observe = append(o.Observe, c.Observe)
		o.Health = c.Checker(o.Health)
	}))...)
	return w, c
}

func restarts(t *testing.T, c *metrics.Collector, id string) map[string]float64 {
	t.Helper()
	counted := map[string]float64{}
	for _, r := range []string{"exit", "signal", "unhealthy", "stopped", "changed", "start_failed", "port_conflict", "unknown"} {
		counted[r] = sample(t, c, fmt.Sprintf(`procman_instance_restarts_total{instance=%q,reason=%q}`, id, r))
	}
	return counted
}

// sample returns the value of one series; a series that is not there fails the test.
func sample(t *testing.T, c *metrics.Collector, series string) float64 {
	t.Helper()
	for line := range strings.Lines(exposition(t, c)) {
		if value, found := strings.CutPrefix(line, series+" "); found {
			var v float64
			_, err := fmt.Sscan(value, &v)
			require.NoError(t, err)
			return v
		}
	}
	require.Fail(t, "there is no series "+series, exposition(t, c))
	return 0
}

func exposition(t *testing.T, c *metrics.Collector) string {
	t.Helper()
	h, err := metrics.Handler(c, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	require.Equal(t, 200, w.Code)
	return w.Body.String()
}

func TestARestartIsCountedByTheReasonOfTheExitBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := observed(t, fake.Backoff(time.Second))
		w.Want("web", "db")
		first := w.Process("web")
		w.Answer(first, nil)
		require.Equal(t, 0.0, restarts(t, c, "web")["exit"], "the first start is no restart")
		first.Exit(1)
		w.Pass(time.Second)
		require.Equal(t, 1.0, restarts(t, c, "web")["exit"])
		w.Answer(w.Process("web"), nil)
		require.NoError(t, w.Restart(t.Context(), "web"))
		w.Pass(time.Second)
		require.Equal(t, map[string]float64{"exit": 1, "signal": 0, "unhealthy": 0, "stopped": 1, "changed": 0, "start_failed": 0, "port_conflict": 0, "unknown": 0},
			restarts(t, c, "web"))
		require.Zero(t, restarts(t, c, "db")["exit"], "and of no other")
		require.Equal(t, 2.0, sample(t, c, "procman_instances_desired"))
		require.Equal(t, 1.0, sample(t, c, "procman_config_last_reload_successful"))
	})
}

func TestProbesAreTimedAndFailuresCounted(t *testing.T) {
	answers := []messages.Probe{{OK: true, Latency: 3 * time.Millisecond}, {Error: "no"}, {Error: "not asked", Void: true}}
	c := none()
	h := c.Checker(checkerFunc(func() messages.Probe {
		p := answers[0]
		answers = answers[1:]
		return p
	}))
	for range 3 {
		h.Check(t.Context(), messages.Target{ID: "web"})
	}
	require.Equal(t, 2.0, sample(t, c, "procman_probe_duration_seconds_count"), "a probe that was not made is not one")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	answers = []messages.Probe{{Error: "the actor has ended"}}
	h.Check(ended, messages.Target{ID: "web"})
	require.Equal(t, 2.0, sample(t, c, "procman_probe_duration_seconds_count"))
}

type checkerFunc func() messages.Probe

func (f checkerFunc) Check(context.Context, messages.Target) messages.Probe { return f() }

func TestWhatIsToldIsCounted(t *testing.T) {
	all := []messages.Status{{ID: "web", Phase: messages.Running, Health: messages.Healthy}, {ID: "db", Phase: messages.Backoff}}
	c := metrics.New(metrics.Options{Statuses: func() []messages.Status { return all }, Output: func() (int64, int64) { return 7, 3 }})
	c.Observe(messages.Transition{ID: "web", Event: "Launched", Status: messages.Status{ID: "web", Adopted: true, Restarts: 4}})
	c.Observe(messages.Reconciled{Took: time.Millisecond, Listed: 2})
	require.Equal(t, 1.0, sample(t, c, "procman_adopted_total"))
	require.Zero(t, restarts(t, c, "web")["unknown"], "to be taken over is no start")
	require.Equal(t, 1.0, sample(t, c, "procman_reconcile_duration_seconds_count"))
	require.Equal(t, 1.0, sample(t, c, "procman_config_last_reload_successful"))
	c.Observe(messages.Event{What: messages.ConfigRejected})
	require.Zero(t, sample(t, c, "procman_config_last_reload_successful"))
	c.Observe(messages.Reconciled{Listed: 2})
	require.Equal(t, 1.0, sample(t, c, "procman_config_last_reload_successful"))
	require.Equal(t, 7.0, sample(t, c, "procman_output_bytes_total"))
	require.Equal(t, 3.0, sample(t, c, "procman_output_skipped_bytes_total"))
	require.Equal(t, 1.0, sample(t, c, `procman_instance_up{instance="web"}`))
	require.Equal(t, 0.0, sample(t, c, `procman_instance_healthy{instance="db"}`))
	require.Equal(t, 1.0, sample(t, c, `procman_instances{phase="backoff"}`))
	require.Equal(t, 0.0, sample(t, c, `procman_probe_failures_total{instance="db"}`), "it exists at zero")
	require.NotContains(t, exposition(t, c), "pid=")
}

func TestAnInstanceThatIsGoneLeavesNothingBehind(t *testing.T) {
	var all []messages.Status
	c := metrics.New(metrics.Options{Statuses: func() []messages.Status { return all }})
	for n := range 1000 {
		all = []messages.Status{{ID: messages.InstanceID(fmt.Sprint("i", n)), Restarts: 1}}
		c.Observe(messages.Transition{Event: "Launched", Status: all[0]})
		if n%100 == 0 {
			exposition(t, c)
		}
	}
	all = nil
	require.NotContains(t, exposition(t, c), `instance="`)
}

func BenchmarkScrape(b *testing.B) {
	for _, size := range []int{1000, 10000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			all := make([]messages.Status, size)
			for n := range all {
				all[n] = messages.Status{ID: messages.InstanceID(fmt.Sprint("instance-", n)), Phase: messages.Running, Health: messages.Healthy}
			}
			h, err := metrics.Handler(metrics.New(metrics.Options{Statuses: func() []messages.Status { return all }}), slog.New(slog.DiscardHandler))
			require.NoError(b, err)
			for b.Loop() {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
				b.SetBytes(int64(w.Body.Len()))
			}
		})
	}
}
