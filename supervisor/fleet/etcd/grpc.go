package etcd

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
)

// status is how a gRPC call ended.
type status struct {
	code    int
	message string
}

func (s *status) Error() string { return s.message }

// The codes of gRPC that etcd uses.
const (
	codeOK                 = 0
	codeInvalidArgument    = 3
	codeNotFound           = 5
	codePermissionDenied   = 7
	codeResourceExhausted  = 8
	codeFailedPrecondition = 9
	codeOutOfRange         = 11
	codeUnavailable        = 14
	codeUnauthenticated    = 16
)

// maxMessage is more than any answer has: a page of a list, or what happened to a watch meanwhile.
const maxMessage = 1 << 29

// notSentError says that the server has not got the request.
type notSentError struct{ error }

func (e notSentError) Unwrap() error { return e.error }

// upload is the body of a request: one message, and if open is set the stream stays open until it is closed.
type upload struct {
	message *bytes.Reader
	open    chan struct{} // nil: nothing follows
	once    sync.Once
}

func newUpload(m message, open bool) *upload {
	frame := make([]byte, 5, 5+len(m))
	binary.BigEndian.PutUint32(frame[1:], uint32(len(m)))
	u := &upload{message: bytes.NewReader(append(frame, m...))}
	if open {
		u.open = make(chan struct{})
	}
	return u
}

func (u *upload) Read(p []byte) (int, error) {
	n, err := u.message.Read(p)
	if err == io.EOF && u.open != nil {
		<-u.open
	}
	return n, err
}

func (u *upload) Close() error {
	if u.open != nil {
		u.once.Do(func() { close(u.open) })
	}
	return nil
}

// stream is a call whose answer comes in messages.
type stream struct {
	response *http.Response
	upload   *upload
}

// call sends the request. The stream ends with ctx; it must be closed.
func call(ctx context.Context, t http.RoundTripper, server, method, token string, m message, open bool) (*stream, error) {
	var sent atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { sent.Store(true) }})
	u := newUpload(m, open)
	context.AfterFunc(ctx, func() { _ = u.Close() }) // while the transport reads it does not see that the context has ended
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, server+"/etcdserverpb."+method, u)
	if err != nil {
		return nil, notSentError{err}
	}
	r.Header.Set("Content-Type", "application/grpc")
	r.Header.Set("Te", "trailers")
	r.Header.Set("User-Agent", "procman")
	r.Header.Set("Hasleader", "true") // or one that was cut off from the others answers what it remembers
	if token != "" {
		r.Header.Set("Token", token)
	}
	response, err := t.RoundTrip(r)
	if err != nil {
		_ = u.Close() // RoundTrip may leave it to a goroutine that waits for it
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if !sent.Load() {
			err = notSentError{err}
		}
		return nil, err
	}
	s := &stream{response: response, upload: u}
	if response.StatusCode != http.StatusOK {
		s.close()
		return nil, fmt.Errorf("it is not etcd that answers there: HTTP %s", response.Status)
	}
	if st := statusOf(response.Header); st != nil && st.code != codeOK {
		s.close()
		return nil, st
	}
	return s, nil
}

func (s *stream) close() {
	_ = s.upload.Close()
	_ = s.response.Body.Close() // what was not read of it nobody wants
}

// receive returns the next message; io.EOF after the last one. Any other error is that of the call.
func (s *stream) receive() ([]byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(s.response.Body, head[:]); err == io.EOF {
		st := statusOf(s.response.Trailer)
		switch {
		case st == nil:
			return nil, io.ErrUnexpectedEOF
		case st.code != codeOK:
			return nil, st
		}
		return nil, io.EOF
	} else if err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(head[1:])
	if head[0] != 0 || size > maxMessage {
		return nil, errWire
	}
	// It grows with what comes, and not by what is announced.
	var b bytes.Buffer
	b.Grow(int(min(size, 64<<10)))
	if n, err := io.CopyN(&b, s.response.Body, int64(size)); err != nil || n < int64(size) {
		return nil, errors.Join(io.ErrUnexpectedEOF, err)
	}
	return b.Bytes(), nil
}

// one returns the only message of the call.
func (s *stream) one() ([]byte, error) {
	m, err := s.receive()
	if err == io.EOF {
		return nil, errWire
	}
	if err != nil {
		return nil, err
	}
	if _, err := s.receive(); err != io.EOF {
		if err == nil {
			err = errWire
		}
		return nil, err
	}
	return m, nil
}

func statusOf(h http.Header) *status {
	text := h.Get("Grpc-Status")
	if text == "" {
		return nil
	}
	code, err := strconv.Atoi(text)
	if err != nil {
		code = codeUnavailable
	}
	message := h.Get("Grpc-Message")
	if plain, err := url.PathUnescape(message); err == nil {
		message = plain
	}
	return &status{code, message}
}
