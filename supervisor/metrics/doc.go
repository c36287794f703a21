// Package metrics tells Prometheus of a supervisor: its instances, their processes, and what it does.
//
// Invariants:
//   - What is a state is read from the snapshot when it is asked for; what is an event is counted when it is told
//     ([Collector.Observe], [Collector.Checker]). Neither waits for the root actor.
//   - Counters exist at zero: every instance has a series for every reason of a restart as soon as it is seen. Those of an
//     instance that is no longer known are gone with it.
//   - No label has a value without bound but the instance's id; no metric has the pid as a label.
//
// Beside the collector stand what reads it: grafana.json, a dashboard; alerts.yaml, alert rules, with alerts_test.yaml;
// prometheus.yaml, how to scrape. A test holds each to the metrics that there are. The label instance is our own, so that
// the scrape must say honor_labels: true; otherwise Prometheus renames it exported_instance.
package metrics
