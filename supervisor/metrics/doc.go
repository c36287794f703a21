// Package metrics tells Prometheus how the instances are: a collector, and the handler that serves it. It depends on
// nothing that it measures: a scrape reads a snapshot, and what is counted is counted as it happens.
//
// Invariants:
//   - The names are a promise to dashboards and alerts outside this repository. None has a label for a pid, so a
//     restart makes no new series.
//   - Every counter of an instance is there at zero as soon as the instance is known, so that increase() sees the first
//     restart; and all series of an instance are gone with it.
//   - A scrape never waits for the root's mailbox and costs O(instances). Not more than four are answered at a time.
//   - Nothing that is observed waits for a scrape.
//
// Beside the code stand what an operator needs: prometheus.yaml (how to scrape), alerts.yaml (the rules) and
// grafana.json (a dashboard). A test holds each to the names of the collector, another runs them all in a real
// Prometheus.
//
// Facts that forced choices: Prometheus gives every series of a target a label "instance" of its own, the target's
// address, and renames ours to "exported_instance", unless it scrapes with honor_labels: true. The dashboard and the
// rules expect that. It scrapes over TCP only, so metrics.listen must be set for it; the socket is for people and for
// scripts.
package metrics
