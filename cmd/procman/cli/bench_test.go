package cli

import (
	"fmt"
	"testing"
	"time"

	"procman/messages"
)

// BenchmarkTable lays out what is known of ten thousand instances.
func BenchmarkTable(b *testing.B) {
	now := time.Now()
	statuses := make([]messages.Status, 10_000)
	for n := range statuses {
		id := messages.InstanceID(fmt.Sprintf("app-%05d", n))
		statuses[n] = messages.Status{ID: id, Phase: messages.Running, Health: messages.Healthy, PID: 10_000 + n,
			Port: 30_000, Run: 1, StartedAt: &now,
			HealthySince: &now, LastProbe: &messages.Probe{OK: true, Status: 200, Latency: time.Millisecond, At: now},
			DbName: string(id) + ".db"}
	}
	for name, columns := range map[string][]column{"narrow": narrow(), "wide": wide()} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if text := table(columns, statuses, now.Add(time.Minute), true); len(text) < len(statuses) {
					b.Fatal(text)
				}
			}
		})
	}
}
