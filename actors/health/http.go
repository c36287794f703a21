package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
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

// overHTTP makes the probes of messages.HealthHTTP.
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
	if _, err := conn.Write(request(nil, path, t.Port)); err != nil && !broken(err) {
		return answerer, err
	}
	return answerer, h.answer(conn, t, p)
}

// answer reads what answers the request into p, and lets the server close first.
func (h *overHTTP) answer(conn stream, t target, p *messages.Probe) error {
	r := h.readers.Get().(*reader)
	defer h.readers.Put(r)
	r.mask = t.mask
	whole, err := r.response(conn, h.maxBody, t.deadline, p)
	p.Latency = time.Since(p.At)
	if whole {
		r.goodbye(conn, t.deadline)
	}
	return err
}

// request appends what asks for path. Connection: close lets the server be the first to close, in its own time, so that the reset meets no
// program.
func request(b []byte, path string, port int) []byte {
	b = append(append(append(b, "GET "...), path...), " HTTP/1.1\r\nHost: localhost:"...)
	return append(strconv.AppendInt(b, int64(port), 10), "\r\nUser-Agent: procman\r\nAccept: */*\r\nConnection: close\r\n\r\n"...)
}

// requestTarget returns the path, with its query, as it goes into the request line.
func requestTarget(path string) (string, error) {
	if clean(path) {
		return path, nil
	}
	return byURL(path)
}

func byURL(path string) (string, error) {
	u, err := url.ParseRequestURI(path)
	if err != nil || !strings.HasPrefix(path, "/") || strings.ContainsFunc(path, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
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

// statusError is a response that is complete, but not 200.
type statusError struct {
	status   int
	location string
}

func (e *statusError) Error() string {
	switch {
	case e.status >= 300 && e.status < 400 && e.location != "":
		return "redirect to " + printable(e.location)
	case e.status >= 200 && e.status < 300:
		return fmt.Sprintf("status %d, only 200 is healthy", e.status)
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
		return fmt.Sprintf("timed out after %v: status %d came, but not the end of its body", t.Policy.Timeout, e.status)
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
