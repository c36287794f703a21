package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"procman/messages"
)

// ofFleet are the metrics of a host of a fleet; none if that is nil.
func ofFleet(standing func() messages.FleetStanding) []prometheus.Collector {
	if standing == nil {
		return nil
	}
	gauge := func(name, help string, value func(messages.FleetStanding) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help},
			func() float64 { return value(standing()) })
	}
	return []prometheus.Collector{
		gauge("procman_fleet_deadline_seconds", "How much longer what is fenced may run on this host; 0: it has no "+
			"lease, or nothing is left of it.",
			func(s messages.FleetStanding) float64 { return s.Deadline.Seconds() }),
		gauge("procman_fleet_suspect", "1 if the store of the fleet has not answered for a while.",
			func(s messages.FleetStanding) float64 {
				if s.Suspect {
					return 1
				}
				return 0
			}),
		gauge("procman_fleet_assignments", "Instances of the fleet that are this host's.",
			func(s messages.FleetStanding) float64 { return float64(s.Assigned) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "procman_fleet_takeovers_total",
			Help: "Instances that this host took over from one that was lost."},
			func() float64 { return float64(standing().Takeovers) }),
	}
}
