package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

// numbered gives events from the cursor on, up to the greatest, and then waits if it is to follow.
func numbered(greatest int) func(context.Context, messages.EventQuery) iter.Seq2[messages.LoggedEvent, error] {
	return func(ctx context.Context, q messages.EventQuery) iter.Seq2[messages.LoggedEvent, error] {
		return func(yield func(messages.LoggedEvent, error) bool) {
			for n := int(q.Since) + 1; n <= greatest; n++ {
				if !yield(messages.LoggedEvent{Cursor: messages.Cursor(n),
					JSON: fmt.Appendf(nil, `{"cursor":%d,"event":"instance ready"}`, n)}, nil) {
					return
				}
			}
			if q.Follow {
				<-ctx.Done()
			}
		}
	}
}

func TestEventsComeAsServerSentEventsBehindTheCursor(t *testing.T) {
	w := newWorld("web")
	w.events = numbered(4)
	_, _, c := w.serve(t, nil)
	response := httpGet(t, c, "/v1/events?since=2&follow=false")
	require.Equal(t, "text/event-stream", response.Header.Get("Content-Type"))
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Equal(t, ": procman\n\nid: 3\ndata: {\"cursor\":3,\"event\":\"instance ready\"}\n\nid: 4\ndata: "+
		"{\"cursor\":4,\"event\":\"instance ready\"}\n\n", string(text))

	var cursors []messages.Cursor
	for e, err := range c.Events(t.Context(), messages.EventQuery{Since: 1}) {
		require.NoError(t, err)
		event, err := e.Event()
		require.NoError(t, err)
		require.Equal(t, messages.InstanceReady, event.What)
		cursors = append(cursors, e.Cursor)
	}
	require.Equal(t, []messages.Cursor{2, 3, 4}, cursors)
}

func TestWhatIsAskedForReachesTheEventLog(t *testing.T) {
	w := newWorld("web")
	asked := make(chan messages.EventQuery, 1)
	w.events = func(_ context.Context, q messages.EventQuery) iter.Seq2[messages.LoggedEvent, error] {
		asked <- q
		return func(func(messages.LoggedEvent, error) bool) {}
	}
	_, _, c := w.serve(t, nil)
	for _, q := range []messages.EventQuery{{}, {Since: 7, ID: "web", Last: 3}, {Age: 10 * time.Minute}, {Last: -1}} {
		for _, err := range c.Events(t.Context(), q) {
			require.NoError(t, err)
		}
		require.Equal(t, q, <-asked)
	}
	for _, wrong := range []string{"since=x", "since=-1m", "instance=..", "last=-1", "last=x", "follow=x", "bogus=1"} {
		response := httpGet(t, c, "/v1/events?"+wrong)
		require.Equal(t, 400, response.StatusCode, wrong)
	}
}

func TestAReaderThatComesBackNamesTheLastEventItHasSeen(t *testing.T) {
	w := newWorld()
	w.events = numbered(3)
	socket, _, _ := w.serve(t, nil)
	conn, err := net.Dial("unix", socket)
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "GET /v1/events HTTP/1.1\r\nHost: procman\r\nLast-Event-ID: 2\r\n\r\n")
	require.NoError(t, err)
	for lines := bufio.NewScanner(conn); ; {
		require.True(t, lines.Scan(), "the event comes though nothing follows it")
		require.NotEqual(t, "id: 2", lines.Text())
		if lines.Text() == "id: 3" {
			return
		}
	}
}

func TestAStreamOfEventsSaysThatItLives(t *testing.T) {
	w := newWorld()
	w.events = numbered(0)
	_, _, c := w.serve(t, func(o *Options) { o.heartbeat = 10 * time.Millisecond })
	response := httpGet(t, c, "/v1/events")
	beats := 0
	for lines := bufio.NewScanner(response.Body); beats < 3; {
		require.True(t, lines.Scan())
		if lines.Text() == ": procman" {
			beats++
		}
	}
}

func TestWhatGoesWrongOnTheWayIsTheLastEvent(t *testing.T) {
	w := newWorld()
	w.events = func(context.Context, messages.EventQuery) iter.Seq2[messages.LoggedEvent, error] {
		return func(yield func(messages.LoggedEvent, error) bool) {
			if yield(messages.LoggedEvent{Cursor: 1, JSON: []byte(`{}`)}, nil) {
				yield(messages.LoggedEvent{}, errDisk)
			}
		}
	}
	_, _, c := w.serve(t, nil)
	var failure error
	for _, err := range c.Events(t.Context(), messages.EventQuery{}) {
		failure = err
	}
	var refusal *Error
	require.ErrorAs(t, failure, &refusal)
	require.Equal(t, errDisk.Error(), refusal.Message)
}

func TestAReaderOfEventsThatNeverReadsIsDroppedAndHarmsNobody(t *testing.T) {
	w := newWorld("web")
	ended := make(chan struct{}, 2)
	w.events = func(ctx context.Context, q messages.EventQuery) iter.Seq2[messages.LoggedEvent, error] {
		return func(yield func(messages.LoggedEvent, error) bool) {
			defer func() { ended <- struct{}{} }()
			for n := uint64(1); ctx.Err() == nil && yield(messages.LoggedEvent{Cursor: messages.Cursor(n),
				JSON: []byte(`{"x":"` + strings.Repeat("x", 500) + `"}`)}, nil); n++ {
			}
		}
	}
	socket, _, c := w.serve(t, func(o *Options) { o.writeTimeout = 50 * time.Millisecond })
	conn, err := net.Dial("unix", socket)
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "GET /v1/events HTTP/1.1\r\nHost: procman\r\n\r\n")
	require.NoError(t, err)
	<-ended // without anything having been read
	require.NoError(t, c.Healthy(t.Context()))
	read := 0
	for _, err := range c.Events(t.Context(), messages.EventQuery{}) {
		require.NoError(t, err)
		if read++; read == 1000 {
			break
		}
	}
	<-ended
}

func TestTheEndOfTheServerEndsAStreamOfEvents(t *testing.T) {
	w := newWorld()
	w.events = numbered(1)
	_, s, c := w.serve(t, nil)
	var failure error
	for _, err := range c.Events(t.Context(), messages.EventQuery{Follow: true}) {
		if failure = err; err == nil {
			require.NoError(t, s.Close())
		}
	}
	require.ErrorIs(t, failure, ErrUnreachable)
	require.False(t, errors.Is(failure, context.Canceled))
}
