package metrics

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
)

// What a scrape costs without the look at each process: to gather, and to write it all down as well.
func BenchmarkScrape(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		c := New(Options{})
		c.Watch(many(n))
		b.Run(fmt.Sprintf("gather/%d", n), func(b *testing.B) {
			r := prometheus.NewRegistry()
			require.NoError(b, r.Register(c))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Gather(); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("serve/%d", n), func(b *testing.B) {
			h := c.Handler()
			size := 0
			for b.Loop() {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
				size = w.Body.Len()
			}
			b.ReportMetric(float64(size), "bytes/scrape")
		})
	}
}

// What the look at one process adds.
func BenchmarkUsage(b *testing.B) {
	p := newProcesses(Options{})
	if p == nil {
		b.Skip("there is no /proc")
	}
	for b.Loop() {
		if _, _, known := p.usage(os.Getpid()); !known {
			b.Fatal("unknown")
		}
	}
}
