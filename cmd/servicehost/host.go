package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"procman/cmd/servicehost/guest"
)

const maxBody = 1 << 20 // bytes of a request's body

// options are what a host is opened with; all are set.
type options struct {
	wasm, db, cache, host string
	port                  int
	instances             int           // requests that run at once, at most
	timeout               time.Duration // of one request, waiting for an instance included
	grace                 time.Duration // for running requests, when the host is to stop
	restAfter             time.Duration // without a request, memory is given back
	log                   *slog.Logger
	// what the module prints, stack traces above all; written to by several instances at once
	stderr io.Writer
}

func defaults(stderr io.Writer) options {
	return options{host: "127.0.0.1", instances: 4, timeout: 30 * time.Second, grace: 5 * time.Second,
		restAfter: 5 * time.Second,
		log:       slog.New(slog.NewJSONHandler(stderr, nil)), stderr: stderr}
}

// host is one module with its database behind HTTP.
type host struct {
	options
	database *database
	module   *module
	running  context.Context // ends when running requests are to be given up
	giveUp   context.CancelFunc
}

// open opens the database and loads the module. Afterwards both work. Errors wrap errModule or errDatabase where they
// are to blame.
func open(ctx context.Context, o options) (*host, error) {
	wasm, err := os.Open(o.wasm) // first, so that a wrong path makes no database
	if err != nil {
		return nil, fmt.Errorf("%w: %w: check -wasm", errModule, err)
	}
	defer wasm.Close()
	h := &host{options: o}
	loaded := make(chan error, 1)
	go func() {
		var err error
		h.module, err = loadModule(ctx, o, wasm)
		loaded <- err
	}()
	h.database, err = openDatabase(ctx, o.db, o.instances+1) // one more: the status waits for no request
	if err = errors.Join(<-loaded, err); err == nil {
		err = h.module.start(ctx, h.database)
	}
	if err != nil {
		if h.module != nil {
			err = errors.Join(err, h.module.closeCode(ctx))
		}
		if h.database != nil {
			err = errors.Join(err, h.database.close())
		}
		return nil, err
	}
	h.running, h.giveUp = context.WithCancel(context.Background())
	return h, nil
}

// serve answers requests until the context ends, then lets running ones finish for the grace period, and closes the
// host.
func (h *host) serve(ctx context.Context, listener net.Listener) error {
	server := &http.Server{
		Handler:     h,
		ReadTimeout: 30 * time.Second,
		IdleTimeout: 2 * time.Minute,
		ErrorLog:    slog.NewLogLogger(h.log.Handler(), slog.LevelWarn),
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }() // until Shutdown or Close
	select {
	case err := <-ended:
		return errors.Join(err, h.close())
	case <-ctx.Done():
	}
	within, cancel := context.WithTimeout(context.Background(), h.grace)
	defer cancel()
	err := server.Shutdown(within)
	if err != nil {
		h.log.Warn("requests did not end in time; giving them up", "grace", h.grace.String(), "running",
			h.module.busy())
		err = server.Close()
	}
	return errors.Join(err, h.close())
}

// close gives up what still runs and frees everything.
func (h *host) close() error {
	h.giveUp()
	return errors.Join(h.module.close(), h.database.close())
}

// ServeHTTP answers the status itself and hands everything else to the module.
func (h *host) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/api/status" {
		h.status(w, r)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		status := http.StatusBadRequest
		if errors.As(err, new(*http.MaxBytesError)) {
			status = http.StatusRequestEntityTooLarge
		}
		respond(w, status, map[string]any{"error": "the body cannot be read: " + err.Error()})
		return
	}
	ctx, cancel := context.WithTimeout(h.running, h.timeout)
	defer cancel()
	request := guest.Request{Method: r.Method, URL: r.URL.RequestURI(), Header: guest.Values(r.Header), Body: body}
	response, err := h.module.handle(ctx, request)
	if err != nil {
		status, message := http.StatusInternalServerError, "the application failed"
		if ctx.Err() != nil {
			status, message = http.StatusGatewayTimeout, "the application did not answer in time"
		}
		h.log.Error("request failed", "method", r.Method, "path", r.URL.Path, "status", status, "error", err)
		respond(w, status, map[string]any{"error": message})
		return
	}
	for name, value := range response.Header {
		w.Header().Set(name, value)
	}
	w.Header().Del("Content-Length") // net/http counts
	w.WriteHeader(response.Status)
	_, _ = w.Write(response.Body) // the client is gone: nobody is left to tell
}

// status is 200 while the module can be instantiated and the database answers.
func (h *host) status(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	if err := errors.Join(h.module.check(), h.database.check(ctx)); err != nil {
		respond(w, http.StatusServiceUnavailable, map[string]any{"status": "unavailable", "cause": err.Error()})
		return
	}
	respond(w, http.StatusOK, map[string]any{"status": "ok", "wasm": h.wasm, "db": h.db, "pid": os.Getpid(),
		"running": h.module.busy()})
}

func respond(w http.ResponseWriter, status int, body map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client is gone: nobody is left to tell
}
