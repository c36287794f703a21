package api

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

func TestAQueryForOutputArrivesAsItWasAsked(t *testing.T) {
	w := newWorld("web")
	_, _, c := w.serve(t, nil)
	for _, q := range []messages.OutputQuery{
		{ID: "web", Lines: -1},
		{ID: "web", Lines: 0, Follow: true},
		{ID: "web", Lines: 7, Stream: messages.Stderr, Since: 90 * time.Second},
		{ID: "web", Lines: 0, Follow: true, Place: true, After: "o12.0e3.1~"},
		{ID: "web", Lines: 5, Earlier: true},
		{ID: "web", Lines: 5, Until: time.Hour, Grep: "a&b=?é", Times: true},
	} {
		for range c.Logs(t.Context(), q) {
			break
		}
		require.Equal(t, q, <-w.queries)
	}
	response := httpGet(t, c, "/v1/instances/web/logs")
	require.Equal(t, "application/x-ndjson", response.Header.Get("Content-Type"))
	require.Equal(t, messages.OutputQuery{ID: "web", Lines: -1}, <-w.queries, "without a word it is everything")
}

func TestOutputIsGivenLineByLine(t *testing.T) {
	w := newWorld("web")
	want := []messages.OutputLine{
		{ID: "web", Stream: messages.Stdout, Text: "a <b> \x1b[1m\t\"c\""},
		{ID: "web", Stream: messages.Stderr, Skipped: 4096},
		{ID: "web", Stream: messages.Stderr, Text: ""},
	}
	w.logs = func(context.Context, messages.OutputQuery) iter.Seq2[messages.OutputLine, error] {
		return func(yield func(messages.OutputLine, error) bool) {
			for _, line := range want {
				if !yield(line, nil) {
					return
				}
			}
		}
	}
	_, _, c := w.serve(t, nil)
	var got []messages.OutputLine
	for line, err := range c.Logs(t.Context(), messages.OutputQuery{ID: "web", Lines: -1}) {
		require.NoError(t, err)
		got = append(got, line)
	}
	require.Equal(t, want, got)
}

func TestALineIsSentAsItComesAndTheStreamOutlivesTheTimeForTheRequest(t *testing.T) {
	w := newWorld("web")
	lines := make(chan string)
	w.logs = func(ctx context.Context, q messages.OutputQuery) iter.Seq2[messages.OutputLine, error] {
		return func(yield func(messages.OutputLine, error) bool) {
			for {
				select {
				case text := <-lines:
					if !yield(messages.OutputLine{ID: q.ID, Text: text}, nil) {
						return
					}
				case <-ctx.Done():
					return
				}
			}
		}
	}
	_, _, c := w.serve(t, func(o *Options) { o.readTimeout, o.writeTimeout = 50*time.Millisecond, 50*time.Millisecond })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	next, stop := iter.Pull2(c.Logs(ctx, messages.OutputQuery{ID: "web", Follow: true}))
	defer stop()
	for n := range 5 {
		go func() {
			time.Sleep(30 * time.Millisecond) // the timeouts are over before the last of them
			lines <- fmt.Sprint(n)
		}()
		line, err, more := next()
		require.True(t, more)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(n), line.Text)
	}
	cancel()
	_, _, more := next()
	require.False(t, more, "a reader who leaves is told of no error")
}

func TestTroubleOnTheWayIsTold(t *testing.T) {
	w := newWorld("web")
	w.logs = func(_ context.Context, q messages.OutputQuery) iter.Seq2[messages.OutputLine, error] {
		return func(yield func(messages.OutputLine, error) bool) {
			_ = yield(messages.OutputLine{ID: q.ID, Text: "one"}, nil) && yield(messages.OutputLine{}, errDisk)
		}
	}
	_, _, c := w.serve(t, nil)
	for _, follow := range []bool{false, true} {
		var texts []string
		var failure error
		for line, err := range c.Logs(t.Context(), messages.OutputQuery{ID: "web", Follow: follow}) {
			if failure = err; err == nil {
				texts = append(texts, line.Text)
			}
		}
		require.Equal(t, []string{"one"}, texts)
		require.ErrorContains(t, failure, errDisk.Error())
	}
}

func TestAReaderWhoDoesNotReadIsDropped(t *testing.T) {
	w := newWorld("web")
	over := make(chan struct{})
	w.logs = func(ctx context.Context, q messages.OutputQuery) iter.Seq2[messages.OutputLine, error] {
		return func(yield func(messages.OutputLine, error) bool) {
			defer close(over)
			counting("0123456789012345678901234567890123456789")(ctx, q)(yield)
		}
	}
	socket, _, c := w.serve(t, func(o *Options) { o.writeTimeout = 100 * time.Millisecond })
	conn, err := net.Dial("unix", socket)
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	_, err = io.WriteString(conn, "GET /v1/instances/web/logs?follow=true HTTP/1.1\r\nHost: procman\r\n\r\n")
	require.NoError(t, err)

	require.NoError(t, c.Healthy(t.Context()), "others are served meanwhile")
	select {
	case <-over:
	case <-time.After(time.Minute):
		require.Fail(t, "the stream goes on")
	}
	text, err := io.ReadAll(conn)
	require.NotContains(t, string(text), "\r\n0\r\n\r\n", "it must not look complete")
	_ = err // a reset or an end, as the kernel likes
}

func TestAReaderWhoLeavesEndsItsStream(t *testing.T) {
	w := newWorld("web")
	w.logs = waiting
	_, s, c := w.serve(t, nil)
	for line, err := range c.Logs(t.Context(), messages.OutputQuery{ID: "web", Follow: true}) {
		require.NoError(t, err)
		require.Equal(t, "one", line.Text)
		break
	}
	require.Eventually(t, func() bool { return len(s.streams) == 0 }, time.Minute, time.Millisecond)
}

func TestThereAreOnlySoManyStreams(t *testing.T) {
	w := newWorld("web")
	w.logs = waiting
	_, s, c := w.serve(t, func(o *Options) { o.streams = 1 })
	q := messages.OutputQuery{ID: "web", Follow: true}
	next, stop := iter.Pull2(c.Logs(t.Context(), q))
	_, err, _ := next()
	require.NoError(t, err)

	for _, err = range c.Logs(t.Context(), q) {
	}
	var e *Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, CodeBusy, e.Code)

	stop()
	require.Eventually(t, func() bool { return len(s.streams) == 0 }, time.Minute, time.Millisecond)
	for _, err = range c.Logs(t.Context(), q) {
		break
	}
	require.NoError(t, err)
}

func TestTheEndOfTheServerEndsItsStreams(t *testing.T) {
	w := newWorld("web")
	w.logs = waiting
	_, s, c := w.serve(t, nil)
	next, stop := iter.Pull2(c.Logs(t.Context(), messages.OutputQuery{ID: "web", Follow: true}))
	defer stop()
	_, err, _ := next()
	require.NoError(t, err)
	began := time.Now()
	require.NoError(t, s.Close())
	require.Less(t, time.Since(began), farewell)
	_, err, more := next()
	require.True(t, more)
	require.ErrorIs(t, err, ErrUnreachable)
}

func TestOutputThatIsCutShortByTheEndOfTheServerDoesNotLookComplete(t *testing.T) {
	w := newWorld("web")
	w.logs = waiting
	socket, s, _ := w.serve(t, nil)
	conn, err := net.Dial("unix", socket)
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	_, err = io.WriteString(conn, "GET /v1/instances/web/logs HTTP/1.1\r\nHost: procman\r\n\r\n")
	require.NoError(t, err)
	require.Equal(t, messages.InstanceID("web"), (<-w.queries).ID)
	require.NoError(t, s.Close())
	text, _ := io.ReadAll(bufio.NewReader(conn))
	require.NotContains(t, string(text), "\r\n0\r\n\r\n")
}

func TestAnInstanceThatLeavesTheListEndsItsStreamWithWhatItWroteLast(t *testing.T) {
	w := newWorld("web", "other")
	w.logs = func(ctx context.Context, q messages.OutputQuery) iter.Seq2[messages.OutputLine, error] {
		return func(yield func(messages.OutputLine, error) bool) {
			if q.Follow {
				waiting(ctx, q)(yield)
				return
			}
			yield(messages.OutputLine{ID: q.ID, Text: "after " + q.After}, nil)
		}
	}
	_, _, c := w.serve(t, func(o *Options) { o.lookTime = time.Millisecond })
	next, stop := iter.Pull2(c.Logs(t.Context(), messages.OutputQuery{ID: "other", Follow: true}))
	defer stop()
	_, err, _ := next()
	require.NoError(t, err)

	var texts []string
	var failure error
	for line, err := range c.Logs(t.Context(), messages.OutputQuery{ID: "web", Follow: true, After: "o1.0e2.0"}) {
		if failure = err; err != nil {
			break
		}
		texts = append(texts, line.Text)
		if line.Text == "one" {
			w.mu.Lock()
			delete(w.statuses, "web")
			w.mu.Unlock()
		}
	}
	require.Equal(t, messages.ErrUnknownInstance{ID: "web"}, failure)
	require.Equal(t, []string{"one", "after o1.0e2.0"}, texts, "the line had no cursor of its own")
}

func TestAPlaceThatIsNoneIsRefused(t *testing.T) {
	w := newWorld("web")
	_, _, c := w.serve(t, nil)
	for _, q := range []messages.OutputQuery{
		{ID: "web", After: "nonsense"}, {ID: "web", After: "nonsense", Follow: true}, {ID: "web", After: "o1.0"},
		{ID: "web", Earlier: true, Follow: true},
	} {
		var failure error
		for _, failure = range c.Logs(t.Context(), q) {
		}
		var e *Error
		require.ErrorAs(t, failure, &e)
		require.Equal(t, CodeInvalid, e.Code)
		require.Equal(t, http.StatusBadRequest, e.Status)
	}
	for _, parameters := range []string{"place=perhaps", "earlier=x"} {
		require.Equal(t, http.StatusBadRequest, httpGet(t, c, "/v1/instances/web/logs?"+parameters).StatusCode)
	}
}
