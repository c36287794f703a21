package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"procman/messages"
)

// heartbeat is how often a stream of events says that it lives. It is also what finds out that a reader is gone.
const heartbeat = 15 * time.Second

// events streams the event log as server-sent events: the id of each is its cursor, its data a JSON document.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	q, err := eventQueryOf(r)
	if err != nil {
		s.no(w, r, answerTo(err))
		return
	}
	out, ctx, done := s.stream(w, r, "text/event-stream", 1, true)
	if out == nil {
		return
	}
	defer done()
	if err := s.tell(ctx, out, q); err != nil {
		s.log.Debug("a stream of events was cut short", "error", err)
		panic(http.ErrAbortHandler) // the reader must not take this for the end of the events
	}
}

// tell writes the events, and a heartbeat where nothing happens. Only one goroutine writes.
func (s *Server) tell(ctx context.Context, out *stream, q messages.EventQuery) error {
	ctx, cancel := context.WithCancel(ctx)
	next := make(chan eventOrError)
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(next)
		for e, err := range s.options.Events(ctx, q) {
			select {
			case next <- eventOrError{e, err}:
			case <-ctx.Done():
				return
			}
		}
	})
	defer reading.Wait()
	defer cancel()
	if err := errors.Join(out.begin(), out.raw(": procman\n\n")); err != nil {
		return err
	}
	beat := time.NewTicker(s.options.heartbeat)
	defer beat.Stop()
	for {
		var err error
		select {
		case e, more := <-next:
			switch {
			case !more:
				return out.renew()
			case e.err != nil:
				text, _ := json.Marshal(answerTo(e.err)) // two strings always have a form
				return out.raw("event: error\ndata: " + string(text) + "\n\n")
			}
			err = out.raw("id: " + strconv.FormatUint(uint64(e.Cursor), 10) + "\ndata: " + string(e.JSON) + "\n\n")
		case <-beat.C:
			err = out.raw(": procman\n\n")
		}
		if err != nil {
			return err
		}
	}
}

type eventOrError struct {
	messages.LoggedEvent
	err error
}

// eventQueryOf reads what is asked for. A reader that has been here before says so with Last-Event-ID.
func eventQueryOf(r *http.Request) (messages.EventQuery, error) {
	q := messages.EventQuery{Follow: true}
	v := r.URL.Query()
	for name := range v {
		if !slices.Contains([]string{"since", "instance", "last", "follow"}, name) {
			return q, refuse("unknown parameter %.100q; there are since, instance, last and follow", name)
		}
	}
	since := v.Get("since")
	if since == "" {
		since = r.Header.Get("Last-Event-ID")
	}
	var err error
	if q.Since, q.Age, err = ParseSince(since); err != nil {
		return q, refuse("%v", err)
	}
	if q.ID = messages.InstanceID(v.Get("instance")); q.ID != "" {
		if err := q.ID.Validate(); err != nil {
			return q, refuse("instance: %v", err)
		}
	}
	if s := v.Get("last"); s != "" {
		if q.Last, err = strconv.Atoi(s); err != nil || q.Last < 0 {
			return q, refuse("last is %.100q; it must be a number that is not negative", s)
		}
		if q.Last == 0 {
			q.Last = -1
		}
	}
	if s := v.Get("follow"); s != "" {
		if q.Follow, err = strconv.ParseBool(s); err != nil {
			return q, refuse("follow is %.100q; it must be true or false", s)
		}
	}
	return q, nil
}

// ParseSince reads a cursor, or a duration such as 10m; nothing is before all events.
func ParseSince(text string) (messages.Cursor, time.Duration, error) {
	if text == "" {
		return 0, 0, nil
	}
	if cursor, err := strconv.ParseUint(text, 10, 64); err == nil {
		return messages.Cursor(cursor), 0, nil
	}
	if age, err := time.ParseDuration(text); err == nil && age > 0 {
		return 0, age, nil
	}
	return 0, 0, fmt.Errorf("since is %.100q; it must be a cursor, which is the number of an event, or a duration "+
		"such as 10m", text)
}

// Events returns the events that are asked for. With q.Follow it goes on until ctx ends, without an error, or until the
// daemon ends, with ErrUnreachable. After an error nothing follows.
func (c *Client) Events(ctx context.Context, q messages.EventQuery) iter.Seq2[messages.LoggedEvent, error] {
	return func(yield func(messages.LoggedEvent, error) bool) {
		v := url.Values{"follow": {strconv.FormatBool(q.Follow)}}
		if q.Since != 0 {
			v.Set("since", strconv.FormatUint(uint64(q.Since), 10))
		} else if q.Age != 0 {
			v.Set("since", q.Age.String())
		}
		if q.ID != "" {
			v.Set("instance", string(q.ID))
		}
		if q.Last != 0 {
			v.Set("last", strconv.Itoa(max(0, q.Last)))
		}
		err := c.listen(ctx, "/v1/events?"+v.Encode(), q.Follow, yield)
		if err != nil && !(q.Follow && ctx.Err() != nil) {
			yield(messages.LoggedEvent{}, err)
		}
	}
}

// listen reads server-sent events.
func (c *Client) listen(ctx context.Context, path string, follow bool,
	yield func(messages.LoggedEvent, error) bool) error {
	response, err := c.do(ctx, http.MethodGet, path, "", nil)
	if err != nil {
		return err
	}
	defer response.Body.Close() // what is not read is not wanted
	var e messages.LoggedEvent
	failed := false
	for lines := bufio.NewReaderSize(response.Body, 64<<10); ; {
		line, err := lines.ReadBytes('\n')
		switch {
		case errors.Is(err, io.EOF) && follow:
			return fmt.Errorf("%w any more at %s: it ended the stream", ErrUnreachable, c.socket)
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return c.broken(ctx, err)
		}
		name, value, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(": "))
		switch string(name) {
		case "id":
			cursor, err := strconv.ParseUint(string(value), 10, 64)
			if err != nil {
				return c.broken(ctx, err)
			}
			e.Cursor = messages.Cursor(cursor)
		case "event":
			failed = string(value) == "error"
		case "data":
			e.JSON = value
		case "":
			switch {
			case failed:
				refusal := &Error{Status: http.StatusInternalServerError}
				if err := json.Unmarshal(e.JSON, refusal); err != nil {
					return c.broken(ctx, err)
				}
				return refusal
			case e.JSON != nil && !yield(e, nil):
				return nil
			}
			e = messages.LoggedEvent{}
		}
	}
}
