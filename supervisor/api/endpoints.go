package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"

	"procman/messages"
	"procman/supervisor"
)

func (s *Server) instances(w http.ResponseWriter, r *http.Request) {
	all, err := s.asked(r.Context(), r.URL.Query()["id"])
	if err != nil {
		s.no(w, r, answerTo(err))
		return
	}
	use, no := flag(r, "use")
	brief, also := flag(r, "brief")
	if no = cmp.Or(no, also); no != nil {
		s.no(w, r, no)
		return
	}
	s.outdated(r.Context(), all)
	head, err := json.Marshal(Document{Schema: Schema, Manager: s.manager(), Instances: []messages.Status{}})
	if err != nil {
		s.noForm(w, r, err)
		return
	}
	s.begin(w, http.StatusOK)
	text := append(make([]byte, 0, 2*pieceOfAnswer), bytes.TrimSuffix(head, []byte("]}"))...)
	for n := range all {
		if n > 0 {
			text = append(text, ',')
		}
		switch {
		case brief:
			text = all[n].AppendBrief(text)
		case use && s.options.Use != nil && all[n].PID != 0:
			shown := all[n] // the list is everybody's
			shown.Use = s.options.Use(shown.PID)
			text = shown.AppendJSON(text)
		default:
			text = all[n].AppendJSON(text)
		}
		if len(text) >= pieceOfAnswer {
			if _, err := w.Write(text); err != nil {
				s.unsent(r, err)
				return
			}
			text = text[:0]
		}
	}
	if _, err := w.Write(append(text, "]}\n"...)); err != nil {
		s.unsent(r, err)
	}
}

// flag reads a parameter that is true or false, and is false if it is not given.
func flag(r *http.Request, name string) (bool, *Error) {
	given := r.URL.Query().Get(name)
	is, err := strconv.ParseBool(cmp.Or(given, "false"))
	if err != nil {
		return false, refuse("%s is %.100q; it must be true or false", name, given)
	}
	return is, nil
}

// pieceOfAnswer is how many bytes of a long answer are put together at a time.
const pieceOfAnswer = 32 << 10

// asked returns the instances with these ids, as far as they are known; all, if there are no ids.
func (s *Server) asked(ctx context.Context, ids []string) ([]messages.Status, error) {
	if len(ids) == 0 {
		return s.options.Supervisor.Status(ctx)
	}
	some := []messages.Status{}
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		if status, known := s.options.Supervisor.Lookup(messages.InstanceID(id)); known {
			some = append(some, status)
		}
	}
	return some, nil
}

func (s *Server) instance(w http.ResponseWriter, r *http.Request) {
	id := messages.InstanceID(r.PathValue("id"))
	status, known := s.options.Supervisor.Lookup(id)
	if !known {
		s.no(w, r, answerTo(messages.ErrUnknownInstance{ID: id}))
		return
	}
	one := []messages.Status{status}
	s.outdated(r.Context(), one)
	s.yes(w, r, http.StatusOK, whole(one[0]))
}

// command returns the endpoint that has do done to an instance and answers what then is known of it.
func (s *Server) command(do func(context.Context, messages.InstanceID) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), decideTimeout)
		defer cancel()
		id := messages.InstanceID(r.PathValue("id"))
		err := do(ctx, id)
		var lost *messages.UnsavedError // it is done
		if err != nil && !errors.As(err, &lost) {
			s.no(w, r, answerTo(err))
			return
		}
		status, known := s.options.Supervisor.Lookup(id)
		if !known {
			// It was taken from the list in the same instant.
			s.no(w, r, answerTo(messages.ErrUnknownInstance{ID: id}))
			return
		}
		if lost != nil {
			status.Unsaved = lost.Error()
		}
		s.yes(w, r, http.StatusOK, whole(status))
	}
}

// signal has the signal sent that the query names.
func (s *Server) signal(w http.ResponseWriter, r *http.Request) {
	name := messages.SignalName(r.URL.Query().Get("signal"))
	if err := name.Check(); err != nil {
		s.no(w, r, refuse("%v", err))
		return
	}
	s.command(func(ctx context.Context, id messages.InstanceID) error {
		return s.options.Supervisor.Signal(ctx, id, name)
	})(w, r)
}

func (s *Server) reload(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), decideTimeout)
	defer cancel()
	if err := s.options.Supervisor.Reload(ctx); err != nil {
		e := answerTo(err)
		if e.Code == CodeFailed {
			e.Code, e.Status = CodeInvalid, http.StatusUnprocessableEntity
		}
		s.no(w, r, e)
		return
	}
	s.yes(w, r, http.StatusOK, Reloaded{Instances: s.options.Supervisor.Desired(),
		Pending: append([]string{}, s.options.Pending()...)})
}

func (s *Server) prune(w http.ResponseWriter, r *http.Request) {
	list, err := s.options.Supervisor.Prune(r.Context())
	if err != nil {
		s.no(w, r, answerTo(err))
		return
	}
	s.yes(w, r, http.StatusOK, Pruning{Instances: append([]messages.Pruned{}, list...)})
}

func (s *Server) shutdown(w http.ResponseWriter, r *http.Request) {
	mode, err := modeOf(r)
	if err != nil {
		s.no(w, r, answerTo(err))
		return
	}
	s.yes(w, r, http.StatusAccepted, Ending{Manager: s.manager(), Mode: mode})
	// On its way before the end begins: the daemon may be gone in a millisecond.
	if err := http.NewResponseController(w).Flush(); err != nil {
		s.log.Debug("the answer to a shutdown could not be sent; it begins all the same", "error", err)
	}
	s.options.Shutdown(mode, supervisor.Operator(r.Context()))
}

// upgrade is answered once the new program has shown that it can take over, and before it does.
func (s *Server) upgrade(w http.ResponseWriter, r *http.Request) {
	program, err := s.options.Upgrade(r.Context())
	if err != nil {
		s.no(w, r, &Error{err.Error(), CodeConflict, http.StatusConflict})
		return
	}
	s.yes(w, r, http.StatusAccepted, Upgrading{Manager: s.manager(), Program: program})
}

// modeOf reads the mode from the query, else from the body; it is stop where neither says it.
func modeOf(r *http.Request) (Mode, error) {
	mode := Mode(r.URL.Query().Get("mode"))
	if mode == "" {
		var body struct {
			Mode Mode `json:"mode"`
		}
		d := json.NewDecoder(r.Body)
		d.DisallowUnknownFields()
		switch err := d.Decode(&body); {
		case errors.Is(err, io.EOF): // no body
		case err != nil:
			var tooLarge *http.MaxBytesError
			if errors.As(err, &tooLarge) {
				return "", err
			}
			return "", refuse(`the body is not of the form {"mode": "stop"}: %v`, err)
		}
		mode = body.Mode
	}
	switch mode {
	case "":
		return ModeStop, nil
	case ModeStop, ModeLeave:
		return mode, nil
	}
	return "", refuse("the mode is %.100q; it must be stop or leave", string(mode))
}

// metrics is the one endpoint that does not answer in JSON.
func (s *Server) metrics(w http.ResponseWriter, r *http.Request) {
	if s.options.Metrics == nil {
		s.no(w, r, &Error{"this program keeps no metrics", CodeNotFound, http.StatusNotFound})
		return
	}
	s.options.Metrics.ServeHTTP(w, r)
}

func (s *Server) healthz(w http.ResponseWriter, r *http.Request) {
	if closed(s.options.Supervisor.Done()) {
		s.no(w, r, &Error{"the supervisor has ended", CodeEnding, http.StatusServiceUnavailable})
		return
	}
	s.yes(w, r, http.StatusOK, Condition{Status: "ok"})
}

func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	switch {
	case closed(s.options.Supervisor.Done()):
		s.healthz(w, r)
	case !closed(s.options.Supervisor.Ready()):
		s.no(w, r, &Error{"not every desired instance has been healthy yet", CodeNotReady,
			http.StatusServiceUnavailable})
	default:
		s.yes(w, r, http.StatusOK, Condition{Status: "ready"})
	}
}

func (s *Server) manager() Manager {
	m := s.options.Manager
	m.Ready = closed(s.options.Supervisor.Ready())
	if s.options.ConfigError != nil {
		m.ConfigError = s.options.ConfigError()
	}
	if s.options.Waits != nil {
		m.Waits = s.options.Waits()
	}
	if s.options.Fleet != nil {
		m.Fleet = s.fleetReport()
	}
	return m
}

// whole gives a status the form that is promised: a mapping is never null.
func whole(s messages.Status) messages.Status {
	if s.Labels == nil {
		s.Labels = map[string]string{}
	}
	return s
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func (s *Server) yes(w http.ResponseWriter, r *http.Request, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		s.noForm(w, r, err)
		return
	}
	s.write(w, r, status, text)
}

func (s *Server) noForm(w http.ResponseWriter, r *http.Request, err error) {
	s.log.Error("bug: an answer has no JSON form", "path", r.URL.Path, "error", err)
	s.no(w, r, answerTo(fmt.Errorf("the answer has no JSON form: %w", err)))
}

func (s *Server) no(w http.ResponseWriter, r *http.Request, e *Error) {
	text, err := json.Marshal(e)
	if err != nil { // two strings always have a form
		text = []byte(`{"error":"no JSON form","code":"failed"}`)
	}
	s.write(w, r, e.Status, text)
}

func (s *Server) write(w http.ResponseWriter, r *http.Request, status int, text []byte) {
	s.begin(w, status)
	if _, err := w.Write(append(text, '\n')); err != nil {
		s.unsent(r, err)
	}
}

func (s *Server) begin(w http.ResponseWriter, status int) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
}

func (s *Server) unsent(r *http.Request, err error) {
	s.log.Debug("an answer could not be sent", "path", r.URL.Path, "error", err)
}

// refuseRoute answers in JSON what the mux would answer in plain text: that there is no such path, or not for this
// method.
func (s *Server) refuseRoute(w http.ResponseWriter, r *http.Request, refusal http.Handler) {
	v := verdict{header: http.Header{}}
	refusal.ServeHTTP(&v, r)
	if allow := v.header.Get("Allow"); v.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", allow)
		s.no(w, r, &Error{fmt.Sprintf("%s %s: there is only %s", r.Method, r.URL.Path, allow), CodeMethod, v.status})
		return
	}
	s.no(w, r, &Error{fmt.Sprintf("no such path: %s", r.URL.Path), CodeNotFound, http.StatusNotFound})
}

// verdict keeps the header and the status of an answer.
type verdict struct {
	header http.Header
	status int
}

func (v *verdict) Header() http.Header         { return v.header }
func (v *verdict) Write(p []byte) (int, error) { return len(p), nil }
func (v *verdict) WriteHeader(status int)      { v.status = status }
