package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"procman/cmd/servicehost/guest"
)

const (
	maxBody      = 1 << 20         // bytes of a request's body
	maxHeader    = 64 << 10        // bytes of a request's header
	statusWithin = 2 * time.Second // how long the database may take to answer the status
	readWithin   = 30 * time.Second
)

// options are what a host is opened with; all are set.
type options struct {
	wasm, db, cache, host string
	instances             int           // requests that run at once, at most
	timeout               time.Duration // of one request, waiting for an instance included
	grace                 time.Duration // for running requests, when the host is to stop
	stderr                io.Writer     // what the module prints, stack traces above all; written to by several instances at once
}

// host is one module with its database behind HTTP.
type host struct {
	options
	log      *slog.Logger
	began    time.Time
	database *database
	module   *module
	running  context.Context // ends when running requests are to be given up
	giveUp   context.CancelFunc
}

// open loads the module and opens the database. Afterwards both work. Errors wrap errModule or errDatabase where they are to
// blame; the host is to be closed then, too.
func open(ctx context.Context, o options, log *slog.Logger) (*host, error) {
	h := &host{options: o, log: log, began: time.Now()}
	h.running, h.giveUp = context.WithCancel(context.Background())
	var err error
	// A missing file is told before the database is created for it.
	if _, err = os.Stat(o.wasm); err != nil {
		return h, fmt.Errorf("%w: %w: check -wasm", errModule, err)
	}
	if h.database, err = openDatabase(ctx, o.db, o.instances); err != nil {
		return h, err
	}
	if h.module, err = loadModule(ctx, o, h.database, log); err != nil {
		return h, err
	}
	return h, nil
}

// serve answers requests until the context ends, then lets running ones finish for the grace period, and closes the host.
func (h *host) serve(ctx context.Context, listener net.Listener) error {
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       readWithin,
		WriteTimeout:      readWithin + h.timeout + 30*time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(h.log.Handler(), slog.LevelWarn),
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return errors.Join(err, h.close())
	case <-ctx.Done():
	}
	within, cancel := context.WithTimeout(context.Background(), h.grace)
	defer cancel()
	if err := server.Shutdown(within); err != nil {
		h.log.Warn("requests did not end in time; giving them up", "grace", h.grace.String(), "running", h.module.busy())
		h.giveUp()
		last, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if server.Shutdown(last) != nil {
			_ = server.Close() // what is left are clients that do not read
		}
	}
	<-ended
	return h.close()
}

// close frees everything. It may be called on a host that was opened in part.
func (h *host) close() error {
	h.giveUp()
	var err error
	if h.module != nil {
		err = h.module.close()
	}
	if h.database != nil {
		err = errors.Join(err, h.database.close())
	}
	return err
}

// ServeHTTP answers the status itself and hands everything else to the module.
func (h *host) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/api/status" {
		h.status(w, r)
		return
	}
	request, status, err := decode(w, r)
	if err != nil {
		problem(w, status, err.Error())
		return
	}
	ctx, cancel := context.WithTimeout(h.running, h.timeout)
	defer cancel()
	response, err := h.module.handle(ctx, request)
	switch {
	case errors.Is(err, errBusy):
		w.Header().Set("Retry-After", "1")
		problem(w, http.StatusServiceUnavailable, err.Error())
	case err != nil && ctx.Err() != nil:
		h.log.Error("request given up", "method", r.Method, "path", r.URL.Path, "timeout", h.timeout.String(), "error", err)
		problem(w, http.StatusGatewayTimeout, "the application did not answer in time")
	case err != nil:
		h.log.Error("request failed", "method", r.Method, "path", r.URL.Path, "error", err)
		problem(w, http.StatusInternalServerError, "the application failed")
	default:
		h.write(w, response)
	}
}

// decode reads the request; an error comes with its status.
func decode(w http.ResponseWriter, r *http.Request) (guest.Request, int, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		return guest.Request{}, http.StatusRequestEntityTooLarge, fmt.Errorf("the body is larger than %d bytes", tooLarge.Limit)
	} else if err != nil {
		return guest.Request{}, http.StatusBadRequest, fmt.Errorf("the body cannot be read: %w", err)
	}
	if !utf8.ValidString(r.URL.Path) {
		return guest.Request{}, http.StatusBadRequest, errors.New("the path is not UTF-8")
	}
	query, err := parseValues(r.URL.RawQuery)
	if err != nil {
		return guest.Request{}, http.StatusBadRequest, fmt.Errorf("the query cannot be read: %w", err)
	}
	request := guest.Request{Method: r.Method, Path: r.URL.Path, Query: query, Header: guest.Values(r.Header), Body: body}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err == nil && kind == "application/x-www-form-urlencoded" {
		if request.Form, err = parseValues(string(body)); err != nil {
			return guest.Request{}, http.StatusBadRequest, fmt.Errorf("the form cannot be read: %w", err)
		}
	}
	return request, 0, nil
}

// parseValues decodes a query or a form. JSON would silently change what is not UTF-8.
func parseValues(encoded string) (guest.Values, error) {
	values, err := url.ParseQuery(encoded)
	if err != nil {
		return nil, err
	}
	for name, vs := range values {
		if !utf8.ValidString(name) || !utf8.ValidString(strings.Join(vs, "")) {
			return nil, fmt.Errorf("%q is not UTF-8", name)
		}
	}
	return guest.Values(values), nil
}

func (h *host) write(w http.ResponseWriter, response guest.Response) {
	if response.Status == 0 {
		response.Status = http.StatusOK
	}
	if response.Status < 200 || response.Status > 599 {
		h.log.Error("the module answered with a status that is none", "status", response.Status)
		problem(w, http.StatusInternalServerError, "the application failed")
		return
	}
	for name, value := range response.Header {
		switch http.CanonicalHeaderKey(name) {
		case "Content-Length", "Transfer-Encoding", "Connection", "Upgrade", "Trailer": // the server's own
		default:
			w.Header().Set(name, value)
		}
	}
	w.WriteHeader(response.Status)
	_, _ = w.Write(response.Body) // the client is gone: nobody is left to tell
}

// status is 200 while the module can be instantiated and the database answers.
func (h *host) status(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		problem(w, http.StatusMethodNotAllowed, "GET only")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), statusWithin)
	defer cancel()
	if err := errors.Join(h.module.check(), h.database.check(ctx)); err != nil {
		respond(w, http.StatusServiceUnavailable, map[string]any{"status": "unavailable", "cause": err.Error()})
		return
	}
	respond(w, http.StatusOK, map[string]any{
		"status": "ok", "wasm": h.wasm, "db": h.db, "pid": os.Getpid(), "uptime_seconds": time.Since(h.began).Seconds(),
		"running": h.module.busy(), "instances": h.instances,
	})
}

func problem(w http.ResponseWriter, status int, message string) {
	respond(w, status, map[string]any{"error": message})
}

func respond(w http.ResponseWriter, status int, body map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client is gone: nobody is left to tell
}
