package metrics

import (
	"context"
	"maps"

	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"procman/messages"
	"procman/supervisor"
)

// Options are what a [Collector] is made of. Statuses is required.
type Options struct {
	// Statuses returns the newest snapshot of all instances, and does not wait.
	Statuses func() []messages.Status
	// Output returns how many bytes of output were forwarded, and how many skipped; nil: none are.
	Output func() (forwarded, skipped int64)
	// Build names the program.
	Version, Revision, GoVersion string
}

// Collector is a prometheus.Collector. Its methods may be called by any number of goroutines.
type Collector struct {
	options Options

	probes     prometheus.Histogram
	reconciles prometheus.Histogram
	adopted    prometheus.Counter

	mu       sync.Mutex
	counts   map[messages.InstanceID]*counts
	desired  int
	reloaded bool // the newest list that was asked for was good
}

// counts are the counters of one instance.
type counts struct {
	restarts map[messages.ExitReason]uint64
	failures uint64 // of probes
}

func newCounts() *counts {
	c := &counts{restarts: make(map[messages.ExitReason]uint64, len(reasons))}
	for _, r := range reasons {
		c.restarts[r] = 0
	}
	return c
}

// reasons are those for which a restart may follow an exit, in the order in which they are shown. It is never changed.
var reasons = []messages.ExitReason{messages.ReasonExit, messages.ReasonSignal, messages.ReasonUnhealthy, messages.ReasonStopped,
	messages.ReasonChanged, messages.ReasonStartFailed, messages.ReasonPortConflict, messages.ReasonUnknown}

var _ prometheus.Collector = (*Collector)(nil)

// New returns a collector that counts from now on.
func New(o Options) *Collector {
	return &Collector{
		options: o,
		counts:  map[messages.InstanceID]*counts{},
		probes: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "procman_probe_duration_seconds",
			Help:    "How long health checks take, from the first byte sent to the verdict.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}}),
		reconciles: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "procman_reconcile_duration_seconds",
			Help:    "How long it takes to compare a list of instances with what runs and to begin all that follows.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1}}),
		adopted: prometheus.NewCounter(prometheus.CounterOpts{Name: "procman_adopted_total",
			Help: "Processes of earlier managers that were taken over."}),
	}
}

// Observe counts what a supervisor tells; see supervisor.Config.Observe.
func (c *Collector) Observe(told any) {
	switch m := told.(type) {
	case messages.Transition:
		if m.Event == "Launched" {
			c.launched(m.Status)
		}
	case messages.Reconciled:
		c.reconciles.Observe(m.Took.Seconds())
		c.mu.Lock()
		c.desired, c.reloaded = m.Listed, true
		c.mu.Unlock()
	case messages.Event:
		if m.What == messages.ConfigRejected {
			c.mu.Lock()
			c.reloaded = false
			c.mu.Unlock()
		}
	}
}

// launched counts a process that was taken over, or one that came after another.
func (c *Collector) launched(s messages.Status) {
	if s.Adopted {
		c.adopted.Inc()
		return
	}
	if s.Restarts == 0 {
		return
	}
	reason := messages.ReasonUnknown
	if s.LastExit != nil {
		reason = s.LastExit.Reason
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.of(s.ID).restarts[reason]++
}

// of returns the counters of an instance; c.mu is held.
func (c *Collector) of(id messages.InstanceID) *counts {
	n := c.counts[id]
	if n == nil {
		n = newCounts()
		c.counts[id] = n
	}
	return n
}

// Checker returns a health checker that has inner do the work, and counts.
func (c *Collector) Checker(inner supervisor.HealthChecker) supervisor.HealthChecker {
	return checker{c, inner}
}

type checker struct {
	*Collector
	inner supervisor.HealthChecker
}

// Check counts every probe that was made. One that could not be made says nothing of the instance.
func (c checker) Check(ctx context.Context, t messages.Target) messages.Probe {
	p := c.inner.Check(ctx, t)
	if p.Void || ctx.Err() != nil {
		return p
	}
	c.probes.Observe(p.Latency.Seconds())
	if !p.OK {
		c.mu.Lock()
		c.of(t.ID).failures++
		c.mu.Unlock()
	}
	return p
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// descs are what is collected from the snapshot.
type descs struct {
	instances, desired, up, healthy, restarts, started, failures, output, skipped, reload, build, cpu, memory *prometheus.Desc
}

func describe() descs {
	return descs{
		instances: desc("procman_instances", "Instances by the phase they are in.", "phase"),
		desired:   desc("procman_instances_desired", "Instances in the list, disabled and held ones included."),
		up:        desc("procman_instance_up", "Whether the instance is running: it has answered healthy since it was started.", "instance"),
		healthy:   desc("procman_instance_healthy", "Whether the last verdict of the health checks is healthy.", "instance"),
		restarts:  desc("procman_instance_restarts_total", "Starts of the instance after its first, by the reason of the exit before.", "instance", "reason"),
		started:   desc("procman_instance_start_time_seconds", "When the process was started, in seconds since 1970; 0 without a process.", "instance"),
		failures:  desc("procman_probe_failures_total", "Health checks that failed.", "instance"),
		output:    desc("procman_output_bytes_total", "Bytes of output that were forwarded into the log."),
		skipped:   desc("procman_output_skipped_bytes_total", "Bytes of output that were gone before they could be forwarded."),
		reload:    desc("procman_config_last_reload_successful", "Whether the newest configuration is in force."),
		build:     desc("procman_build_info", "1, with what the program was built from.", "version", "revision", "goversion"),
		cpu:       desc("procman_instance_cpu_seconds_total", "Processor time of the process that runs, user and system; 0 without one.", "instance"),
		memory:    desc("procman_instance_memory_bytes", "Resident memory of the process that runs; 0 without one.", "instance"),
	}
}

// Describe tells what may be collected.
func (c *Collector) Describe(to chan<- *prometheus.Desc) {
	d := describe()
	for _, one := range []*prometheus.Desc{d.instances, d.desired, d.up, d.healthy, d.restarts, d.started, d.failures, d.output, d.skipped, d.reload, d.build, d.cpu, d.memory} {
		to <- one
	}
	c.probes.Describe(to)
	c.reconciles.Describe(to)
	c.adopted.Describe(to)
}

// Collect tells how everything is now.
func (c *Collector) Collect(to chan<- prometheus.Metric) {
	d := describe()
	gauge := func(one *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(one, prometheus.GaugeValue, value, labels...)
	}
	counter := func(one *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(one, prometheus.CounterValue, value, labels...)
	}
	statuses := c.options.Statuses()
	phases := map[messages.Phase]int{}
	usage := newUsage()
	for _, s := range statuses {
		id := string(s.ID)
		phases[s.Phase]++
		gauge(d.up, bit(s.Phase == messages.Running), id)
		gauge(d.healthy, bit(s.Health == messages.Healthy), id)
		started := 0.0
		if s.StartedAt != nil {
			started = float64(s.StartedAt.UnixNano()) / float64(time.Second)
		}
		gauge(d.started, started, id)
		if u, known := usage.of(s.PID); known {
			counter(d.cpu, u.cpu, id)
			gauge(d.memory, u.memory, id)
		}
	}
	for _, p := range messages.Phases() {
		gauge(d.instances, float64(phases[p]), string(p))
	}
	c.collectCounts(statuses, func(id messages.InstanceID, n *counts) {
		for _, r := range reasons {
			counter(d.restarts, float64(n.restarts[r]), string(id), string(r))
		}
		counter(d.failures, float64(n.failures), string(id))
	})
	c.mu.Lock()
	desired, reloaded := c.desired, c.reloaded
	c.mu.Unlock()
	gauge(d.desired, float64(desired))
	gauge(d.reload, bit(reloaded))
	var forwarded, skipped int64
	if c.options.Output != nil {
		forwarded, skipped = c.options.Output()
	}
	counter(d.output, float64(forwarded))
	counter(d.skipped, float64(skipped))
	gauge(d.build, 1, c.options.Version, c.options.Revision, c.options.GoVersion)
	c.probes.Collect(to)
	c.reconciles.Collect(to)
	c.adopted.Collect(to)
}

// collectCounts tells the counters of every instance there is, and forgets those of the others.
func (c *Collector) collectCounts(statuses []messages.Status, tell func(messages.InstanceID, *counts)) {
	copies := make([]*counts, len(statuses))
	c.mu.Lock()
	known := make(map[messages.InstanceID]*counts, len(statuses))
	for n, s := range statuses {
		one := c.of(s.ID)
		known[s.ID] = one
		copies[n] = &counts{maps.Clone(one.restarts), one.failures}
	}
	c.counts = known
	c.mu.Unlock()
	for n, s := range statuses {
		tell(s.ID, copies[n])
	}
}

func bit(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
