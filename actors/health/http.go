package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"procman/messages"
)

const (
	defaultMaxBody = 64 << 10
	maxHeader      = 64 << 10 // of all responses to one request, 1xx included
	keptBody       = 256      // of the body, in Probe.Body
)

// overHTTP makes the probes of messages.HealthHTTP, without TLS.
type overHTTP struct {
	maxBody int64
	readers sync.Pool
}

func newHTTP(maxBody int64) *overHTTP {
	h := &overHTTP{maxBody: maxBody}
	if h.maxBody <= 0 {
		h.maxBody = defaultMaxBody
	}
	h.readers.New = func() any { return newReader() }
	return h
}

func (h *overHTTP) probe(ctx context.Context, t target, p *messages.Probe) (answerer *net.TCPAddr, err error) {
	path, err := requestTarget(t.Policy.Path)
	if err != nil {
		return nil, err
	}
	conn, err := dial(ctx, t.Port, t.deadline)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	answerer, _ = conn.RemoteAddr().(*net.TCPAddr)
	// What is closed by a reset leaves no TIME_WAIT on either side.
	if err := errors.Join(conn.SetLinger(0), conn.SetDeadline(t.deadline)); err != nil {
		return answerer, err
	}
	defer interruptible(ctx, conn)()

	// A server may answer and close without having read the request: the answer counts.
	if _, err := conn.Write(request(nil, path, t.Port, t.Policy.Check)); err != nil && !broken(err) {
		return answerer, err
	}
	return answerer, h.answer(conn, t, p)
}

// answer reads what answers the request into p, and lets the server close first.
func (h *overHTTP) answer(conn stream, t target, p *messages.Probe) error {
	r := h.readers.Get().(*reader)
	defer h.readers.Put(r)
	r.mask, r.check = t.mask, t.Policy.Check
	whole, err := r.response(conn, h.maxBody, t.deadline, p)
	p.Latency = time.Since(p.At)
	if whole {
		r.goodbye(conn, t.deadline)
	}
	return err
}

// request appends what asks for path; a check that is nil asks as usual. Connection: close lets the server be the first
// to close, in its own time, so that the reset meets no program.
func request(b []byte, path string, port int, check *messages.HealthCheck) []byte {
	if check != nil {
		return requestOf(b, path, port, check)
	}
	b = append(append(append(b, "GET "...), path...), " HTTP/1.1\r\nHost: localhost:"...)
	return append(strconv.AppendInt(b, int64(port), 10),
		"\r\nUser-Agent: procman\r\nAccept: */*\r\nConnection: close\r\n\r\n"...)
}

func requestOf(b []byte, path string, port int, check *messages.HealthCheck) []byte {
	b = append(append(append(b, check.Method...), ' '), path...)
	b = append(append(b, " HTTP/1.1\r\nHost: "...), check.Host...)
	if check.Host == usualHost {
		b = strconv.AppendInt(append(b, ':'), int64(port), 10)
	}
	agent, accept := "procman", "*/*"
	for _, name := range slices.Sorted(maps.Keys(check.Headers)) {
		switch value := check.Headers[name]; {
		case strings.EqualFold(name, "User-Agent"):
			agent = value
		case strings.EqualFold(name, "Accept"):
			accept = value
		default:
			b = append(append(append(append(b, "\r\n"...), name...), ": "...), value...)
		}
	}
	b = append(append(b, "\r\nUser-Agent: "...), agent...)
	b = append(append(b, "\r\nAccept: "...), accept...)
	if check.Method == http.MethodPost || check.Method == http.MethodPut || check.Method == http.MethodPatch {
		b = append(b, "\r\nContent-Length: 0"...) // or a server may wait for a body, or refuse
	}
	return append(b, "\r\nConnection: close\r\n\r\n"...)
}

// usualHost is the host that is asked for by default.
const usualHost = "localhost"

// requestTarget returns the path, with its query, as it goes into the request line.
func requestTarget(path string) (string, error) {
	if clean(path) {
		return path, nil
	}
	return byURL(path)
}

func byURL(path string) (string, error) {
	u, err := url.ParseRequestURI(path)
	if err != nil || !strings.HasPrefix(path, "/") ||
		strings.ContainsFunc(path, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return "", pathError(path)
	}
	return u.RequestURI(), nil
}

// clean reports whether a path goes into the request line as it is.
func clean(path string) bool {
	if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") {
		return false
	}
	for n := range len(path) {
		if c := path[n]; c != '/' && c != '-' && c != '_' && c != '.' && !alphanumeric(c) {
			return false
		}
	}
	return true
}

// pathError is a path that no request can carry.
type pathError string

func (e pathError) Error() string {
	return fmt.Sprintf("health.path %q cannot be asked for: it must begin with / and be part of a URL", string(e))
}

func (e pathError) verdict(target) string { return e.Error() }

// statusError is a response that is complete, but has no status that is accepted.
type statusError struct {
	status   int
	location string
	accepted string // the statuses that are, for a person
}

func (e *statusError) Error() string {
	switch {
	case e.status >= 300 && e.status < 400 && e.location != "":
		return "redirect to " + printable(e.location)
	case e.status >= 200 && e.status < 300 || e.accepted != "200":
		return fmt.Sprintf("status %d, only %s is healthy", e.status, e.accepted)
	default:
		return fmt.Sprintf("status %d", e.status)
	}
}

func (e *statusError) verdict(target) string { return e.Error() }

// bodyError is a response whose status came, but not the whole of its body.
type bodyError struct {
	status int
	err    error
}

func (e *bodyError) Error() string { return fmt.Sprintf("body of status %d: %v", e.status, e.err) }

func (e *bodyError) Unwrap() error { return e.err }

func (e *bodyError) verdict(t target) string {
	switch {
	case timedOut(e.err):
		return fmt.Sprintf("timed out after %v: status %d came, but not the end of its body",
			t.Policy.Timeout, e.status)
	case broken(e.err) || errors.Is(e.err, io.ErrUnexpectedEOF):
		return fmt.Sprintf("status %d came, but the connection was closed within its body", e.status)
	}
	return fmt.Sprintf("status %d came, but its body is broken: %s", e.status, printable(t.mask.Mask(e.err.Error())))
}

// headError is a response that is none, or has no end of its head.
type headError struct{ err error }

func (e *headError) Error() string { return e.err.Error() }

func (e *headError) Unwrap() error { return e.err }

func (e *headError) verdict(t target) string {
	switch {
	case errors.Is(e.err, errHeader):
		return errHeader.Error()
	case errors.Is(e.err, io.ErrUnexpectedEOF):
		return "the connection was closed within the head of the response"
	case errors.Is(e.err, io.EOF):
		return "the connection was closed without an answer"
	}
	return "the answer is not HTTP: " + printable(t.mask.Mask(e.err.Error()))
}
