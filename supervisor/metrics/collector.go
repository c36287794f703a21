package metrics

import (
	"context"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"procman/messages"
	"procman/supervisor"
)

// Supervisor is what is asked at each scrape. Neither method may wait.
type Supervisor interface {
	Status(ctx context.Context) ([]messages.Status, error)
	Lookup(id messages.InstanceID) (messages.Status, bool)
}

var _ Supervisor = (*supervisor.Supervisor)(nil)

// Options are what a Collector is made of. All may be left out.
type Options struct {
	// Fleet returns how the host stands with its fleet, and never waits. Nil: it is in none, and there are no metrics
	// of it.
	Fleet    func() messages.FleetStanding
	Version  string // of the program
	Revision string // of its source
	// Output returns how many bytes of output were forwarded so far, and how many skipped.
	Output func() (forwarded, skipped int64)
	// OutputKept returns how many bytes of output are kept, 0 while there is no total, and how many were trimmed for it
	// so far.
	OutputKept func() (kept, trimmed int64)
	// Hooks returns how many calls of hooks there were so far, how many of them failed, and how many were dropped.
	Hooks  func() (called, failed, dropped int64)
	Logger *slog.Logger // nil: what cannot be measured is not told
	proc   string       // where the kernel tells of processes; default /proc
}

// Collector measures a supervisor. It is a prometheus.Collector, for a program with a registry of its own; else there
// is Handler.
//
// It is made before the supervisor, because it has to hear everything: pass its Observer in supervisor.Config.Observe,
// wrap supervisor.Config.Health in Checker, and then call Watch.
type Collector struct {
	log        *slog.Logger
	supervisor atomic.Pointer[Supervisor] // nil: there is none yet
	processes  *processes

	plain     []prometheus.Collector // those without an instance
	fleet     []prometheus.Collector // none without a fleet
	listed    prometheus.Gauge
	accepted  prometheus.Gauge
	adopted   prometheus.Counter
	reconcile prometheus.Histogram
	probe     prometheus.Histogram
	perPhase  *prometheus.Desc
	per       perInstance

	mu      sync.Mutex
	tallies map[messages.InstanceID]*tally // of those of which something was counted
}

var _ prometheus.Collector = (*Collector)(nil)

// New returns a collector of no instances.
func New(o Options) *Collector {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Output == nil {
		o.Output = func() (int64, int64) { return 0, 0 }
	}
	if o.OutputKept == nil {
		o.OutputKept = func() (int64, int64) { return 0, 0 }
	}
	if o.Hooks == nil {
		o.Hooks = func() (int64, int64, int64) { return 0, 0, 0 }
	}
	c := &Collector{
		log: o.Logger, processes: newProcesses(o), tallies: map[messages.InstanceID]*tally{},
		listed: prometheus.NewGauge(prometheus.GaugeOpts{Name: "procman_instances_desired",
			Help: "Instances in the desired list that is in force, also those that are disabled or held down; 0 " +
				"before the first list."}),
		accepted: prometheus.NewGauge(prometheus.GaugeOpts{Name: "procman_config_last_reload_successful",
			Help: "1 if the newest desired list is in force, 0 if it was rejected or there was none yet."}),
		adopted: prometheus.NewCounter(prometheus.CounterOpts{Name: "procman_adopted_total",
			Help: "Running processes that were taken over, most of them from an earlier manager."}),
		reconcile: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "procman_reconcile_duration_seconds",
			Help:    "How long it took to compare a desired list with what runs and to begin what follows from it.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5}}),
		probe: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "procman_probe_duration_seconds",
			Help:    "How long health checks took, whatever came of them.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}}),
		perPhase: prometheus.NewDesc("procman_instances", "Instances in each phase.", []string{"phase"}, nil),
		per:      newPerInstance(),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{Name: "procman_build_info",
		Help:        "Always 1; the labels say which program this is.",
		ConstLabels: prometheus.Labels{"version": o.Version, "revision": o.Revision, "goversion": runtime.Version()}})
	build.Set(1)
	c.fleet = ofFleet(o.Fleet)
	c.plain = []prometheus.Collector{c.listed, c.accepted, c.adopted, c.reconcile, c.probe, build,
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "procman_output_bytes_total",
			Help: "Bytes of output that were forwarded into the log."},
			func() float64 { forwarded, _ := o.Output(); return float64(forwarded) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "procman_output_skipped_bytes_total",
			Help: "Bytes of output that came too fast to be forwarded, and are lost to the log."},
			func() float64 { _, skipped := o.Output(); return float64(skipped) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "procman_output_kept_bytes",
			Help: "Bytes that the output files of all instances keep together; 0 without output.total."},
			func() float64 { kept, _ := o.OutputKept(); return float64(kept) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "procman_output_trimmed_bytes_total",
			Help: "Bytes of output that are kept no more because of output.total."},
			func() float64 { _, trimmed := o.OutputKept(); return float64(trimmed) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "procman_hook_calls_total",
			Help: "Calls of hooks that were begun."},
			func() float64 { called, _, _ := o.Hooks(); return float64(called) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "procman_hook_failures_total",
			Help: "Calls of hooks that failed."},
			func() float64 { _, failed, _ := o.Hooks(); return float64(failed) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "procman_hook_dropped_total",
			Help: "Calls of hooks for which there was no room."},
			func() float64 { _, _, dropped := o.Hooks(); return float64(dropped) }),
	}
	return c
}

// Watch has the collector measure the instances of s from now on.
func (c *Collector) Watch(s Supervisor) { c.supervisor.Store(&s) }

// Describe sends the description of every metric.
func (c *Collector) Describe(to chan<- *prometheus.Desc) {
	for _, m := range slices.Concat(c.plain, c.fleet) {
		m.Describe(to)
	}
	to <- c.perPhase
	c.per.describe(to)
}

// Collect sends every metric as it is now.
func (c *Collector) Collect(to chan<- prometheus.Metric) {
	for _, m := range slices.Concat(c.plain, c.fleet) {
		m.Collect(to)
	}
	all := c.snapshot()
	phases := make(map[messages.Phase]int, len(messages.Phases()))
	for n := range all {
		phases[all[n].Phase]++
	}
	for _, p := range messages.Phases() {
		to <- prometheus.MustNewConstMetric(c.perPhase, prometheus.GaugeValue, float64(phases[p]), string(p))
	}
	for n := range all {
		c.collect(to, &all[n])
	}
}

func (c *Collector) snapshot() []messages.Status {
	s := c.supervisor.Load()
	if s == nil {
		return nil
	}
	all, err := (*s).Status(context.Background())
	if err != nil {
		c.log.Error("the instances cannot be measured: their status cannot be had", "error", err.Error())
	}
	return all
}
