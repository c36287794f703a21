package metrics

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/require"

	"procman/messages"
	"procman/test/fake"
)

func TestTheExpositionIsAsPromised(t *testing.T) {
	started := time.Unix(1767323045, 250e6)
	s := snapshot{
		"users": {ID: "users", Phase: messages.Running, Health: messages.Healthy, PID: 41, StartedAt: &started},
		"gone":  {ID: "gone", Phase: messages.Running, Health: messages.NotHealthy, PID: 42, StartedAt: &started},
		"web":   {ID: "web", Phase: messages.Backoff, Health: messages.HealthUnknown},
	}
	c := New(Options{Version: "v1.2.3", Revision: "abc", Output: func() (int64, int64) { return 1000, 24 },
		OutputKept: func() (int64, int64) { return 700, 300 }, proc: kernel(t, map[int][2]int{41: {250, 3}})})
	c.Watch(s)
	c.reconciled(messages.Reconciled{Took: 2 * time.Millisecond, Listed: 4, Added: 4})
	c.transition(messages.Transition{ID: "users", Event: "Launched",
		Status: messages.Status{Adopted: true, Restarts: 9}})
	c.transition(messages.Transition{ID: "web", Event: "Launched",
		Status: messages.Status{Restarts: 1, LastExit: &messages.Exit{Reason: messages.ReasonSignal}}})
	probes := c.Checker(answering(messages.Probe{OK: true, Latency: 4 * time.Millisecond},
		messages.Probe{Error: "refused", Latency: 500 * time.Microsecond}, messages.Probe{Error: "busy", Void: true}))
	for range 3 {
		probes.Check(t.Context(), messages.Target{ID: "web"})
	}
	w := httptest.NewRecorder()
	c.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	_, got, _ := strings.Cut(w.Body.String(), "# HELP procman_")
	golden, err := os.ReadFile("testdata/exposition.txt")
	require.NoError(t, err)
	want := strings.NewReplacer("GOVERSION", runtime.Version(),
		"PAGES", strconv.Itoa(3*os.Getpagesize())).Replace(string(golden))
	require.Equal(t, want, "# HELP procman_"+got)

	r := prometheus.NewPedanticRegistry()
	require.NoError(t, r.Register(c))
	families, err := r.Gather()
	require.NoError(t, err)
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	require.NoError(t, err)
	require.Empty(t, problems)
}

func TestTheNamesAreThoseOfTheContract(t *testing.T) {
	require.ElementsMatch(t, []string{"procman_instances", "procman_instances_desired", "procman_instance_up",
		"procman_instance_healthy",
		"procman_instance_restarts_total", "procman_instance_start_time_seconds", "procman_probe_duration_seconds",
		"procman_probe_failures_total",
		"procman_adopted_total", "procman_reconcile_duration_seconds", "procman_output_bytes_total",
		"procman_output_skipped_bytes_total",
		"procman_output_kept_bytes", "procman_output_trimmed_bytes_total",
		"procman_hook_calls_total", "procman_hook_failures_total", "procman_hook_dropped_total",
		"procman_config_last_reload_successful", "procman_build_info", "procman_instance_cpu_seconds_total",
		"procman_instance_memory_bytes",
		"procman_fleet_deadline_seconds", "procman_fleet_suspect", "procman_fleet_assignments",
		"procman_fleet_takeovers_total"}, names())
}

func TestBeforeTheFirstListEverythingIsThereAtZero(t *testing.T) {
	s := scrape(t, New(Options{}))
	for _, p := range messages.Phases() {
		require.Contains(t, s, `procman_instances{phase="`+string(p)+`"}`)
	}
	for name, value := range s {
		if strings.HasPrefix(name, "procman_") && !strings.HasPrefix(name, "procman_build_info") {
			require.Zero(t, value, name)
		}
	}
	for _, standard := range []string{"go_goroutines", "process_open_fds"} {
		if runtime.GOOS == "linux" {
			require.NotZero(t, s[standard], standard)
		}
	}
}

func TestEveryCounterOfAnInstanceIsThereAtZeroAndNoneHasAPid(t *testing.T) {
	c := New(Options{proc: t.TempDir()})
	c.Watch(snapshot{"web": {ID: "web", Phase: messages.Starting}})
	s := scrape(t, c)
	require.Len(t, s.of("web"), 6+8)
	for _, series := range s.of("web") {
		require.Zero(t, s[series], series)
		require.NotContains(t, series, "pid")
	}
}

func TestARejectedListShowsUntilAGoodOneComes(t *testing.T) {
	c := New(Options{})
	const name = "procman_config_last_reload_successful"
	c.reconciled(messages.Reconciled{Listed: 1})
	require.EqualValues(t, 1, scrape(t, c)[name])
	c.event(messages.Event{What: messages.ConfigRejected})
	require.Zero(t, scrape(t, c)[name])
	require.EqualValues(t, 1, scrape(t, c)["procman_instances_desired"], "the last good list stays in force")
	c.event(messages.Event{What: messages.InstanceReady})
	require.Zero(t, scrape(t, c)[name])
	c.reconciled(messages.Reconciled{Listed: 1})
	require.EqualValues(t, 1, scrape(t, c)[name])
}

func TestASupervisorThatDoesNotAnswerCostsItsInstancesOnly(t *testing.T) {
	c := New(Options{})
	c.Watch(mute{})
	require.Contains(t, scrape(t, c), "procman_adopted_total")
}

func TestASeriesThatCannotBeToldIsLoggedAndTheRestIsTold(t *testing.T) {
	var log fake.Journal
	c := New(Options{Logger: textLog(&log)})
	c.Watch(double{many(1)})
	s := scrape(t, c)
	require.Contains(t, s, `procman_instance_up{instance="instance-00000"}`)
	require.Contains(t, s, "procman_adopted_total")
	require.Contains(t, log.String(), "collected before with the same name and label values")
}

func TestNothingIsKeptOfInstancesThatComeAndGo(t *testing.T) {
	known := snapshot{}
	c := New(Options{})
	c.Watch(known)
	probes := c.Checker(answering(messages.Probe{Error: "refused"}))
	const list, lists = 100, 1000
	for n := range lists {
		clear(known)
		for i := range list {
			id := messages.InstanceID(fmt.Sprintf("i%d", n*list+i))
			known[id] = messages.Status{ID: id, Phase: messages.Running}
			c.transition(messages.Transition{ID: id, Event: "Launched", Status: messages.Status{Restarts: 1}})
			probes.Check(t.Context(), messages.Target{ID: id})
		}
		c.reconciled(messages.Reconciled{Listed: list})
	}
	require.Len(t, c.tallies, list)
	s := scrape(t, c)
	instances := map[string]bool{}
	for series := range s {
		if _, rest, is := strings.Cut(series, `instance="`); is {
			id, _, _ := strings.Cut(rest, `"`)
			instances[id] = true
			require.Contains(t, known, messages.InstanceID(id))
		}
	}
	require.Len(t, instances, list)
	clear(known)
	c.reconciled(messages.Reconciled{})
	require.Empty(t, c.tallies)
}

func TestObservingAndScrapingAtTheSameTimeLosesNothing(t *testing.T) {
	const times = 2000
	c := New(Options{})
	c.Watch(many(20))
	id := messages.InstanceID("instance-00007")
	probes := c.Checker(answering(messages.Probe{Error: "refused"}))
	var all sync.WaitGroup
	for _, do := range []func(){
		func() {
			c.transition(messages.Transition{ID: id, Event: "Launched",
				Status: messages.Status{Restarts: 1, LastExit: &messages.Exit{Reason: messages.ReasonExit}}})
		},
		func() { probes.Check(t.Context(), messages.Target{ID: id}) },
		func() { c.reconciled(messages.Reconciled{}) },
	} {
		all.Go(func() {
			for range times {
				do()
			}
		})
	}
	all.Go(func() {
		for range 20 {
			scrape(t, c)
		}
	})
	all.Wait()
	s := scrape(t, c)
	require.Equal(t, map[string]float64{"exit": times}, s.restarts(string(id)))
	require.EqualValues(t, times, s[`procman_probe_failures_total{instance="`+string(id)+`"}`])
	require.EqualValues(t, times, s["procman_reconcile_duration_seconds_count"])
}

func TestTooManyScrapesAtATimeAreRefused(t *testing.T) {
	held := holding{arrived: make(chan struct{}), release: make(chan struct{})}
	c := New(Options{})
	c.Watch(held)
	h := c.Handler()
	get := func() int {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		return w.Code
	}
	codes := make(chan int, maxScrapes)
	for range maxScrapes {
		go func() { codes <- get() }()
		<-held.arrived
	}
	require.Equal(t, http.StatusServiceUnavailable, get())
	close(held.release)
	for range maxScrapes {
		require.Equal(t, http.StatusOK, <-codes)
	}
}

// holding is a supervisor that answers when it is told to.
type holding struct {
	snapshot
	arrived, release chan struct{}
}

func (h holding) Status(context.Context) ([]messages.Status, error) {
	h.arrived <- struct{}{}
	<-h.release
	return nil, nil
}

// double is a supervisor that names every instance twice.
type double struct{ snapshot }

func (d double) Status(ctx context.Context) ([]messages.Status, error) {
	all, err := d.snapshot.Status(ctx)
	return append(all, all...), err
}
