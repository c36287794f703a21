package api

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"procman/messages"
)

// Why is what GET /v1/instances/{id}/why answers, and what `procman why -o json` prints.
type Why struct {
	Schema   int             `json:"schema"`
	Instance messages.Status `json:"instance"`
	messages.Verdict
	// the command line, secrets masked; empty for an instance that is not in the list
	Command string      `json:"command"`
	Probes  []SeenProbe `json:"probes"` // the newest three at the most, newest last
	// Stderr and Stdout are what the process said last that the last exit was of; before the first exit they are empty.
	Stderr []messages.OutputLine `json:"stderr_before_exit"`
	Stdout []messages.OutputLine `json:"stdout_before_exit"`
	// Now and NowOut are what the process that runs said last on either, unless it is healthy.
	Now    []messages.OutputLine `json:"stderr"`
	NowOut []messages.OutputLine `json:"stdout"`
	// Events are what happened to the instance last, newest last.
	Events []messages.Event `json:"events"`
	// Fleet is how it stands with the fleet, without its spec; nil: it is not on the fleet's list.
	Fleet *messages.FleetInstance `json:"fleet,omitempty"`
	// Missing says what of the above could not be read.
	Missing []string `json:"missing,omitempty"`
}

// SeenProbe is a probe with what was answered.
type SeenProbe struct {
	At             time.Time `json:"at"`
	OK             bool      `json:"ok"`
	Status         int       `json:"status"`
	LatencySeconds float64   `json:"latency_seconds"`
	Error          string    `json:"error"`
	Body           string    `json:"body"` // its first bytes
}

// How much of each is shown.
const (
	whyLines  = 10
	whyNow    = 5
	whyEvents = 6
)

func (s *Server) why(w http.ResponseWriter, r *http.Request) {
	id := messages.InstanceID(r.PathValue("id"))
	x, known := s.options.Supervisor.Explain(id)
	if !known {
		s.no(w, r, answerTo(messages.ErrUnknownInstance{ID: id}))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), decideTimeout)
	defer cancel()
	d := Why{Schema: Schema, Instance: whole(x.Status), Verdict: x.Verdict, Probes: []SeenProbe{},
		Stderr: []messages.OutputLine{}, Stdout: []messages.OutputLine{}, Now: []messages.OutputLine{},
		NowOut: []messages.OutputLine{}, Events: []messages.Event{}}
	one := []messages.Status{x.Status}
	s.outdated(ctx, one)
	d.Instance.Outdated = one[0].Outdated
	if app := x.Desired; app != nil {
		args := app.Args // without a port they cannot be filled in
		if x.Status.Port != 0 {
			args = app.CommandLine(x.Status.Port)
		}
		d.Command = messages.NewMasker(app.SecretValues()).Mask(app.Executable + " " + strings.Join(args, " "))
	}
	for _, p := range x.Probes {
		d.Probes = append(d.Probes, SeenProbe{At: p.At, OK: p.OK, Status: p.Status, LatencySeconds: p.Latency.Seconds(),
			Error: p.Error, Body: p.Body})
	}
	tail := func(lines int, earlier bool) (stderr, stdout []messages.OutputLine) {
		of := map[messages.Stream][]messages.OutputLine{}
		for _, stream := range []messages.Stream{messages.Stderr, messages.Stdout} {
			list, err := s.tail(ctx, messages.OutputQuery{ID: id, Stream: stream, Lines: lines, Earlier: earlier,
				Lone: true})
			if err != nil {
				d.Missing = append(d.Missing, string(stream)+": "+err.Error())
			}
			of[stream] = list
		}
		return of[messages.Stderr], of[messages.Stdout]
	}
	lives := x.Status.PID != 0
	if exit := x.Status.LastExit; exit != nil && exit.Reason != messages.ReasonStartFailed {
		d.Stderr, d.Stdout = tail(whyLines, lives)
	}
	if lives && x.Status.Health != messages.Healthy {
		d.Now, d.NowOut = tail(whyNow, false)
	}
	if exit := x.Status.LastExit; exit != nil && s.options.Holds != nil && s.options.Holds() &&
		CannotBind(*exit, d.Stderr, d.Stdout) {
		d.Change = append([]string{HeldPort}, d.Change...)
	}
	for logged, err := range s.options.Events(ctx, messages.EventQuery{ID: id, Last: whyEvents}) {
		e, bad := logged.Event()
		if err = cmp.Or(err, bad); err != nil {
			d.Missing = append(d.Missing, "events: "+err.Error())
			break
		}
		d.Events = append(d.Events, e)
	}
	if s.options.Fleet != nil {
		some, err := s.options.Fleet.Instances(ctx, id)
		var own messages.ErrUnknownInstance
		switch {
		case errors.As(err, &own):
		case err != nil:
			d.Missing = append(d.Missing, "the fleet: "+err.Error())
		case len(some) == 1:
			of := shown(some[0])
			of.Spec = nil
			d.Fleet = &of
		}
	}
	s.yes(w, r, http.StatusOK, d)
}

// tail reads the lines of a query to their end.
func (s *Server) tail(ctx context.Context, q messages.OutputQuery) ([]messages.OutputLine, error) {
	lines := []messages.OutputLine{}
	for line, err := range s.options.Logs(ctx, q) {
		if err != nil {
			return lines, err
		}
		line.Text = clip(line.Text)
		lines = append(lines, line)
	}
	return lines, nil
}

// lineShown is how many bytes of a line are of use on a screen.
const lineShown = 1024

func clip(text string) string {
	if len(text) > lineShown {
		return text[:lineShown] + "…"
	}
	return text
}

// HeldPort is the advice for an instance that cannot bind the port which the manager holds for it.
const HeldPort = "if the port in use is its own: procman keeps that bound for it (ports.hold), and a program that " +
	"does not set SO_REUSEADDR cannot bind it then; " +
	"`ports: {hold: false}` in the configuration lets go of it, from the next start on"

var inUse = regexp.MustCompile(`(?i)EADDRINUSE|address (is )?already in use|address in use`)

// CannotBind reports whether a process that has ended by itself said last that an address is in use. One whose port
// somebody else took has another reason on record.
func CannotBind(exit messages.Exit, streams ...[]messages.OutputLine) bool {
	if exit.Reason != messages.ReasonExit || exit.Known && exit.Code == 0 {
		return false
	}
	for _, lines := range streams {
		if slices.ContainsFunc(lines, func(l messages.OutputLine) bool { return inUse.MatchString(l.Text) }) {
			return true
		}
	}
	return false
}
