package supervisor

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"procman/messages"
	"procman/supervisor/plan"
)

// show publishes what Status and Lookup return.
func (r *root) show(e *entry) {
	r.handle.shown.Store(e.ID, &shown{absent: r.absent(e), status: r.status(e), probes: e.probes, desired: e.desired, hold: e.hold, killAt: e.KillAt, stopAs: e.StopAs, leaving: e.leaving})
}

// shown is what the handle's readers see of an instance. It is never changed.
type shown struct {
	absent  bool // only its hold is known
	status  messages.Status
	probes  []messages.Probe
	desired *plan.App
	hold    hold
	killAt  time.Time
	stopAs  messages.ExitReason // in Stopping: why
	leaving string
}

// probed keeps the newest probes, in a slice that nobody else has.
func (e *entry) probed(p messages.Probe) {
	kept := make([]messages.Probe, 0, messages.KeptProbes)
	kept = append(append(kept, e.probes[max(0, len(e.probes)-messages.KeptProbes+1):]...), p)
	if n := len(kept); n > 1 && kept[n-2].Body == p.Body {
		kept[n-1].Body = kept[n-2].Body // one copy for all: a healthy instance says the same every time
	}
	e.probes = kept
}

func (r *root) status(e *entry) messages.Status {
	s := e.Status()
	s.Held, s.Unsaved = e.hold.on, e.unsaved
	if app := e.desired; app != nil {
		s.WasmPath, s.DbName, s.Labels, s.Disabled = app.WasmPath, app.DbName, app.Labels, app.Disabled
		if s.Phase == messages.Stopped && (s.Reason == "" || s.Left() != "") {
			why := ""
			switch {
			case e.hold.on:
				why = e.hold.String()
			case app.Disabled:
				why = "disabled in the configuration"
			}
			s.Reason = strings.TrimSuffix(strings.TrimPrefix(why+"; "+s.Reason, "; "), "; ")
		}
	}
	if e.leaving != "" && s.Reason == "" {
		s.Reason = "its entry has left the configuration; `procman reload` confirms that"
	}
	return s
}

func (h hold) String() string {
	by, when := h.by, ""
	if by == "" {
		by = "an operator"
	}
	if !h.at.IsZero() {
		when = " at " + h.at.Format(time.RFC3339)
	}
	return "stopped by " + by + when + "; `procman start` ends that"
}

// note tells the log and the event stream what a step has to say.
func (r *root) note(e *entry, n plan.Note) {
	r.handle.tell(messages.Event{At: time.Now(), What: messages.Happening(n.Msg), ID: e.ID, By: r.by, Phase: e.Phase, Run: n.Run, PID: n.PID,
		Port: n.Port, OldPort: n.Was, Why: n.Detail, Bad: n.Bad, Exit: n.Exit, Delay: n.Delay, Attempt: n.Attempt})
	level := slog.LevelInfo
	if n.Bad {
		level = slog.LevelWarn
	}
	attrs := make([]slog.Attr, 0, 10)
	attrs = append(attrs, slog.String("instance", string(e.ID)), slog.Int("run", n.Run))
	if n.PID != 0 {
		attrs = append(attrs, slog.Int("pid", n.PID))
	}
	if n.Port != 0 {
		attrs = append(attrs, slog.Int("port", n.Port))
	}
	if n.Was != 0 {
		attrs = append(attrs, slog.Int("old_port", n.Was))
	}
	if n.Detail != "" {
		attrs = append(attrs, slog.String("detail", n.Detail))
	}
	if r.by != messages.ByManager {
		attrs = append(attrs, slog.String("by", r.by))
	}
	if x := n.Exit; x != nil {
		attrs = append(attrs, slog.Int("code", x.Code), slog.String("signal", x.Signal), slog.Bool("known", x.Known), slog.String("reason", string(x.Reason)))
	}
	if n.Msg == "instance restarting" {
		attrs = append(attrs, slog.Duration("delay", n.Delay), slog.Int("attempt", n.Attempt))
	}
	r.log.LogAttrs(context.Background(), level, n.Msg, attrs...)
}
