package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"procman/messages"
)

// perInstance describes what there is of each instance.
type perInstance struct {
	up, healthy, startTime, cpu, memory, restarts, failures *prometheus.Desc
}

func newPerInstance() perInstance {
	desc := func(name, help string, more ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, append([]string{"instance"}, more...), nil)
	}
	return perInstance{
		up: desc("procman_instance_up", "1 if the instance is in phase running: it has been healthy since it "+
			"was started."),
		healthy: desc("procman_instance_healthy", "1 if the health checks of the instance succeed."),
		startTime: desc("procman_instance_start_time_seconds",
			"When the process was started, in seconds since 1970; 0 without a process."),
		cpu: desc("procman_instance_cpu_seconds_total",
			"User and system time of the process; 0 without a process."),
		memory: desc("procman_instance_memory_bytes", "Resident memory of the process; 0 without a process."),
		restarts: desc("procman_instance_restarts_total",
			"Starts after the first, by how the run before ended. To take over a process that runs is none.", "reason"),
		failures: desc("procman_probe_failures_total",
			"Health checks that failed, also those before a starting instance listens."),
	}
}

func (p perInstance) describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{p.up, p.healthy, p.startTime, p.cpu, p.memory, p.restarts, p.failures} {
		to <- d
	}
}

// collect sends what there is of one instance.
func (c *Collector) collect(to chan<- prometheus.Metric, s *messages.Status) {
	id := string(s.ID)
	gauge := func(d *prometheus.Desc, v float64) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, id)
	}
	gauge(c.per.up, boolValue(s.Phase == messages.Running))
	gauge(c.per.healthy, boolValue(s.Health == messages.Healthy))
	started := 0.0
	if s.StartedAt != nil {
		started = float64(s.StartedAt.UnixMilli()) / 1000
	}
	gauge(c.per.startTime, started)
	if cpu, memory, known := c.processes.usage(s.PID); known {
		to <- prometheus.MustNewConstMetric(c.per.cpu, prometheus.CounterValue, cpu, id)
		gauge(c.per.memory, memory)
	}
	t := c.tally(s.ID)
	to <- prometheus.MustNewConstMetric(c.per.failures, prometheus.CounterValue, float64(t.failures), id)
	for _, r := range reasons() {
		to <- prometheus.MustNewConstMetric(c.per.restarts, prometheus.CounterValue, float64(t.restarts[r]),
			id, string(r))
	}
}

func boolValue(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// reasons lists why an instance may have been started again: how its run before ended. They are in the order in which
// they are exposed, which saves the sorting.
func reasons() []messages.ExitReason {
	return []messages.ExitReason{messages.ReasonChanged, messages.ReasonExit, messages.ReasonPortConflict,
		messages.ReasonSignal,
		messages.ReasonStartFailed, messages.ReasonStopped, messages.ReasonUnhealthy, messages.ReasonUnknown}
}
