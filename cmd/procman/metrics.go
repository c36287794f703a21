package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"procman/messages"
	"procman/supervisor/metrics"
)

// newMetrics makes the collector, and what answers a scrape.
func (d *daemon) newMetrics(build version, output func() (forwarded, skipped int64)) (*metrics.Collector, http.Handler, error) {
	c := metrics.New(metrics.Options{
		Statuses: func() []messages.Status {
			all, err := d.supervisor.Status(context.Background())
			if err != nil {
				d.log.Error("the metrics lack the instances", "error", err)
			}
			return all
		},
		Output: output, Version: build.Version, Revision: build.Revision, GoVersion: build.Go,
	})
	h, err := metrics.Handler(c, d.log.Logger)
	return c, h, err
}

// serveMetrics answers scrapes on l until end is called.
func (d *daemon) serveMetrics(l net.Listener, scrape http.Handler) (end func() error) {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", scrape)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "procman: the metrics are at /metrics") // whether it is read is the caller's business
	})
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			d.log.Error("the metrics are not served any more", "error", err)
		}
	}()
	return func() error {
		err := server.Close()
		<-done
		return err
	}
}
