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

// The bounds of Handler. A request over the first is refused with a 503, one over the second is answered with it.
const (
	maxScrapes    = 4
	scrapeTimeout = 10 * time.Second
)

// Handler serves the collector, and what the Go runtime and the process itself have to say, in Prometheus' text format.
// A metric that cannot be had is logged and left out.
func (c *Collector) Handler() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(c, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		MaxRequestsInFlight: maxScrapes, Timeout: scrapeTimeout,
		ErrorHandling: promhttp.ContinueOnError, ErrorLog: complaints{c.log},
	})
}

// complaints logs what promhttp has to complain of.
type complaints struct{ log *slog.Logger }

// Println logs one complaint.
func (c complaints) Println(v ...any) { c.log.Error("metrics", "error", fmt.Sprint(v...)) }
