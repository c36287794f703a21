package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"procman/actors/output"
	"procman/messages"
	"procman/supervisor/api"
	"procman/supervisor/metrics"
)

// The bounds for those who scrape over TCP.
const (
	scrapers       = 32 // connections at the same time
	scrapeHeader   = 16 << 10
	scrapePatience = 5 * time.Second   // for a request to be sent
	scrapeWrite    = 30 * time.Second  // for an answer to be taken
	scrapeIdle     = 150 * time.Second // longer than between two scrapes, as they are usual
)

// newCollector makes the collector, which hears everything from the first on, but measures no instances yet.
func newCollector(build Version, outputs *output.Outputs, hooks func() (called, failed, dropped int64),
	fleet func() messages.FleetStanding, log *slog.Logger) *metrics.Collector {
	return metrics.New(metrics.Options{Version: build.Version, Revision: build.Revision, Output: outputs.Counters,
		OutputKept: outputs.Kept,
		Hooks:      hooks, Fleet: fleet, Logger: log})
}

// scrapeServer answers scrapes, and nothing else.
func (d *daemon) scrapeServer(scrape http.Handler) *http.Server {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", scrape)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "The metrics of procman are at /metrics.") // whether it is read is the caller's business
	})
	return &http.Server{Handler: mux, ReadHeaderTimeout: scrapePatience, ReadTimeout: scrapePatience,
		WriteTimeout: scrapeWrite,
		IdleTimeout:  scrapeIdle, MaxHeaderBytes: scrapeHeader,
		ErrorLog: slog.NewLogLogger(d.log.Handler(), slog.LevelDebug)}
}

// answerScrapes serves on l until the server is closed, or l given up for another.
func (d *daemon) answerScrapes(server *http.Server, l net.Listener) {
	if err := server.Serve(api.Bounded(l, scrapers)); !errors.Is(err, http.ErrServerClosed) &&
		!errors.Is(err, net.ErrClosed) {
		d.log.Error("the metrics are not served any more; supervision goes on without them", "error", err)
	}
}

// serveMetrics answers scrapes on l until end is called.
func (d *daemon) serveMetrics(l net.Listener, scrape http.Handler) (end func() error) {
	server := d.scrapeServer(scrape)
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.answerScrapes(server, l)
	}()
	d.log.Info("metrics are served", "address", l.Addr().String())
	return func() error {
		err := server.Close()
		<-done
		return err
	}
}

// scrapedAt answers scrapes at the metrics' own socket until ctx ends.
func (d *daemon) scrapedAt(ctx context.Context, path string, at listeners, scrape http.Handler) {
	server := d.scrapeServer(scrape)
	var serving sync.WaitGroup
	serve := func(l net.Listener) { serving.Go(func() { d.answerScrapes(server, l) }) }
	if at.scraping != nil {
		serve(at.scraping)
		d.log.Info("metrics are served", "socket", path)
	}
	d.keepSocket(ctx, keptSocket{path: path, group: at.scrapers, serve: serve}, at.scraping)
	_ = server.Close() // nobody is owed an answer
	serving.Wait()
}
