package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"procman/messages"
)

// logs streams an instance's output, one JSON document a line. Trouble on the way is a last line with an error in it.
func (s *Server) logs(w http.ResponseWriter, r *http.Request) {
	q, err := queryOf(r.URL.Query())
	if err != nil {
		s.no(w, r, answerTo(err))
		return
	}
	q.ID = messages.InstanceID(r.PathValue("id"))
	if _, known := s.options.Supervisor.Lookup(q.ID); !known {
		s.no(w, r, answerTo(messages.ErrUnknownInstance{ID: q.ID}))
		return
	}
	out, ctx, done := s.stream(w, r, "application/x-ndjson", 2, q.Follow)
	if out == nil {
		return
	}
	defer done()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if q.Follow {
		watched := s.whileListed(ctx, q.ID, cancel)
		defer func() { cancel(nil); <-watched }()
	}
	if err := s.pour(ctx, out, q); err != nil {
		s.log.Debug("a stream of output was cut short", "instance", string(q.ID), "error", err)
		panic(http.ErrAbortHandler) // the reader must not take this for the end of the output
	}
}

// stream begins a response that may take long: as long as its context. It is nil if there are too many; that has been
// answered then. It reads so many files at the most at a time. done ends it.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, form string, files int, live bool) (
	out *stream, _ context.Context, done func(),
) {
	select {
	case s.streams <- struct{}{}:
	default:
		w.Header().Set("Connection", "close") // others may wait for it
		s.no(w, r, &Error{"too many streams are being read at once; end one of them, or try again later", CodeBusy,
			http.StatusServiceUnavailable})
		return nil, nil, nil
	}
	s.options.Opened(files)
	ctx, cancel := context.WithCancel(r.Context())
	unhook := context.AfterFunc(s.life, cancel)
	h := w.Header()
	h.Set("Content-Type", form)
	h.Set("Cache-Control", "no-store")
	return &stream{to: http.NewResponseController(w), body: w, json: json.NewEncoder(w),
			patience: s.options.writeTimeout, live: live}, ctx, func() {
			unhook()
			cancel()
			s.options.Opened(-files)
			<-s.streams
		}
}

// whileListed cancels when the instance has left the list. The channel it returns is closed when it has ended.
func (s *Server) whileListed(ctx context.Context, id messages.InstanceID,
	cancel context.CancelCauseFunc) <-chan struct{} {
	ended := make(chan struct{})
	look := time.NewTicker(s.options.lookTime)
	go func() {
		defer close(ended)
		defer look.Stop()
		for {
			select {
			case <-look.C:
				if _, known := s.options.Supervisor.Lookup(id); !known {
					cancel(messages.ErrUnknownInstance{ID: id})
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return ended
}

func (s *Server) pour(ctx context.Context, out *stream, q messages.OutputQuery) error {
	if q.Follow {
		// The reader learns at once that it is heard, and not with the first line.
		if err := out.begin(); err != nil {
			return err
		}
	}
	last, err := s.copy(ctx, out, q)
	var gone messages.ErrUnknownInstance
	if err == nil && errors.As(context.Cause(ctx), &gone) {
		// What it wrote last belongs to it as well.
		q.Follow, q.Place = false, false
		if last != "" {
			q.After = last
		}
		if _, err = s.copy(context.WithoutCancel(ctx), out, q); err == nil {
			err = out.write(messages.OutputLine{ID: q.ID}, gone)
		}
	}
	if err == nil && ctx.Err() != nil && !q.Follow && gone.ID == "" {
		err = ctx.Err()
	}
	if err != nil {
		return err
	}
	// Also the end of the response has to reach the reader in time.
	return out.renew()
}

// copy sends what a query gives, and returns the last cursor.
func (s *Server) copy(ctx context.Context, out *stream, q messages.OutputQuery) (last string, err error) {
	for line, failure := range s.options.Logs(ctx, q) {
		if ctx.Err() != nil {
			break
		}
		if failure != nil {
			line = messages.OutputLine{ID: q.ID}
		}
		if err := out.write(line, failure); err != nil {
			return last, err
		}
		if failure != nil {
			break
		}
		last = line.Cursor
	}
	return last, nil
}

// stream writes lines to a reader that has so much patience's time to take each.
type stream struct {
	to       *http.ResponseController
	body     io.Writer
	json     *json.Encoder
	patience time.Duration
	live     bool // each line is sent as it comes
}

// renew gives the reader its time anew. Where there is no connection to set a time on, the writer's own rules hold.
func (o *stream) renew() error {
	if err := o.to.SetWriteDeadline(time.Now().Add(o.patience)); !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}

func (o *stream) begin() error {
	// The time for reading the request goes on otherwise, and would end the stream.
	if err := o.to.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return errors.Join(o.renew(), o.to.Flush())
}

func (o *stream) write(line messages.OutputLine, failure error) error {
	if err := o.renew(); err != nil {
		return err
	}
	l := outputLine{OutputLine: line}
	if failure != nil {
		l.Error, l.Code = failure.Error(), answerTo(failure).Code
	}
	if err := o.json.Encode(l); err != nil {
		return err
	}
	return o.flush()
}

// raw writes a text as it is.
func (o *stream) raw(text string) error {
	if err := o.renew(); err != nil {
		return err
	}
	if _, err := io.WriteString(o.body, text); err != nil {
		return err
	}
	return o.flush()
}

func (o *stream) flush() error {
	if o.live {
		return o.to.Flush()
	}
	return nil
}

// queryOf reads what is asked for. Without lines it is all that is kept.
func queryOf(v url.Values) (messages.OutputQuery, error) {
	q := messages.OutputQuery{Lines: -1}
	for name := range v {
		if !slices.Contains([]string{"lines", "stream", "since", "until", "grep", "times", "follow", "after",
			"place", "earlier"}, name) {
			return q, refuse("unknown parameter %.100q; there are lines, stream, since, until, grep, times, follow, "+
				"after, place and earlier", name)
		}
	}
	var err error
	if s := v.Get("lines"); s != "" {
		if q.Lines, err = strconv.Atoi(s); err != nil {
			return q, refuse("lines is %.100q; it must be a number", s)
		}
	}
	switch q.Stream = messages.Stream(v.Get("stream")); q.Stream {
	case "", messages.Stdout, messages.Stderr:
	default:
		return q, refuse("stream is %.100q; it must be stdout or stderr", string(q.Stream))
	}
	for name, age := range map[string]*time.Duration{"since": &q.Since, "until": &q.Until} {
		if s := v.Get(name); s != "" {
			if *age, err = time.ParseDuration(s); err != nil || *age < 0 {
				return q, refuse("%s is %.100q; it must be a duration such as 10m", name, s)
			}
		}
	}
	for name, is := range map[string]*bool{"follow": &q.Follow, "times": &q.Times, "place": &q.Place,
		"earlier": &q.Earlier} {
		if s := v.Get(name); s != "" {
			if *is, err = strconv.ParseBool(s); err != nil {
				return q, refuse("%s is %.100q; it must be true or false", name, s)
			}
		}
	}
	q.After, q.Grep = v.Get("after"), v.Get("grep")
	if err := q.Validate(); err != nil {
		return q, refuse("%v", err)
	}
	return q, nil
}
