package metrics

import (
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// What a scraper may take at the most.
const (
	scrapesAtOnce = 4
	scrapeTime    = 10 * time.Second
)

// Handler returns what answers a scrape: the metrics of the collector, of the Go runtime and of the daemon's own process.
// What goes wrong is logged; the rest is answered all the same.
func Handler(c *Collector, log *slog.Logger) (http.Handler, error) {
	r := prometheus.NewRegistry()
	for _, one := range []prometheus.Collector{c, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})} {
		if err := r.Register(one); err != nil {
			return nil, fmt.Errorf("the metrics contradict each other: %w", err)
		}
	}
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn), ErrorHandling: promhttp.ContinueOnError,
		MaxRequestsInFlight: scrapesAtOnce, Timeout: scrapeTime,
	}), nil
}
