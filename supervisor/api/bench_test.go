package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

// crowd is a server of n instances that run.
func crowd(b *testing.B, n int) *Server {
	w := newWorld()
	at := time.Now()
	for i := range n {
		id := messages.InstanceID(fmt.Sprintf("app-%05d", i))
		w.statuses[id] = messages.Status{ID: id, Phase: messages.Running, Health: messages.Healthy, PID: 10_000 + i,
			Port: 30_000, Run: 1, StartedAt: &at,
			HealthySince: &at, LastProbe: &messages.Probe{OK: true, Status: 200, Latency: time.Millisecond, At: at},
			DbName: string(id) + ".db", Labels: map[string]string{"app": "payload"}}
	}
	s, err := New(w.options())
	require.NoError(b, err)
	return s
}

// BenchmarkAnswer answers what is known of ten thousand instances, and of one of them.
func BenchmarkAnswer(b *testing.B) {
	s := crowd(b, 10_000)
	for name, path := range map[string]string{"all": "/v1/instances", "one": "/v1/instances?id=app-05000"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.Handler().ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", path, nil))
			}
		})
	}
}

// BenchmarkReadDocument is the other end of it.
func BenchmarkReadDocument(b *testing.B) {
	s := crowd(b, 10_000)
	answer := httptest.NewRecorder()
	s.Handler().ServeHTTP(answer, httptest.NewRequest("GET", "/v1/instances", nil))
	b.ReportAllocs()
	for b.Loop() {
		if d, err := readDocument(json.NewDecoder(bytes.NewReader(answer.Body.Bytes()))); err != nil ||
			len(d.Instances) != 10_000 {
			b.Fatal(err)
		}
	}
}
