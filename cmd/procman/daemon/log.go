package daemon

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"time"

	"procman/cmd/procman/systemd"
	"procman/supervisor/config"
)

// log is where the daemon's records go.
type log struct {
	*slog.Logger
	output *slog.Logger // for the output of instances; may wait, the other one never does
	writer *logWriter
}

func newLog(to io.Writer, c config.Log, verbose, quiet bool) log {
	level := c.Level
	switch {
	case verbose:
		level = slog.LevelDebug
	case quiet:
		level = max(level, slog.LevelWarn)
	}
	plain := func(replace func([]string, slog.Attr) slog.Attr) func(io.Writer) slog.Handler {
		o := &slog.HandlerOptions{Level: level, ReplaceAttr: replace}
		return func(to io.Writer) slog.Handler {
			if c.Format == config.LogText {
				return slog.NewTextHandler(to, o)
			}
			return slog.NewJSONHandler(to, o)
		}
	}
	journalled := systemd.IsJournal(to)
	handler := func(to io.Writer, of systemd.Priorities, plain func(io.Writer) slog.Handler) slog.Handler {
		if journalled {
			return systemd.Prioritise(to, of, plain)
		}
		return plain(to)
	}
	own := plain(readable)
	output := plain(nil) // it has no durations; attributes that might be replaced cost a good part of a line
	w := newLogWriter(to, logBacklog, func(dropped int) []byte {
		var b bytes.Buffer
		r := slog.NewRecord(time.Now(), slog.LevelWarn, "log records dropped", 0)
		r.AddAttrs(slog.Int("records", dropped), slog.String("cause", "stderr took nothing, or failed"))
		if err := handler(&b, systemd.OwnPriority, own).Handle(context.Background(), r); err != nil {
			return nil // a buffer does not fail
		}
		return b.Bytes()
	})
	return log{
		Logger: slog.New(handler(w, systemd.OwnPriority, own)),
		output: slog.New(handler(w.Patient(), systemd.OutputPriority, output)),
		writer: w,
	}
}

// readable writes durations as a configuration file does, in JSON too: 1.05s.
func readable(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().Round(time.Millisecond).String())
	}
	return a
}

// flushTime is how long the last records may take.
const flushTime = 2 * time.Second

// Close writes what still waits.
func (l log) Close() { l.writer.Close(flushTime) }
