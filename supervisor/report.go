package supervisor

import (
	"context"
	"log/slog"

	"procman/messages"
	"procman/supervisor/plan"
)

// show publishes what Status and Lookup return.
func (r *root) show(e *entry) {
	s := r.status(e)
	r.handle.shown.Store(e.ID, &s)
}

func (r *root) status(e *entry) messages.Status {
	s := e.Status()
	s.Held = e.held
	if app := e.desired; app != nil {
		s.WasmPath, s.DbName, s.Labels = app.WasmPath, app.DbName, app.Labels
		if s.Phase == messages.Stopped && s.Reason == "" {
			switch {
			case e.held:
				s.Reason = "stopped by an operator; `procman start` ends that"
			case app.Disabled:
				s.Reason = "disabled in the configuration"
			}
		}
	}
	return s
}

// note writes what a step has to say to the log.
func (r *root) note(e *entry, n plan.Note) {
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
	if n.Detail != "" {
		attrs = append(attrs, slog.String("detail", n.Detail))
	}
	if x := n.Exit; x != nil {
		attrs = append(attrs, slog.Int("code", x.Code), slog.String("signal", x.Signal), slog.Bool("known", x.Known), slog.String("reason", string(x.Reason)))
	}
	if n.Msg == "instance restarting" {
		attrs = append(attrs, slog.Duration("delay", n.Delay), slog.Int("attempt", n.Attempt))
	}
	r.log.LogAttrs(context.Background(), level, n.Msg, attrs...)
}
