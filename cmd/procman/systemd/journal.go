package systemd

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"

	"github.com/coreos/go-systemd/v22/journal"
)

// Priorities says which priority the journal gives a record. It has no other way to learn it from what is written to a
// stream.
type Priorities func(slog.Level) journal.Priority

func OwnPriority(level slog.Level) journal.Priority {
	switch {
	case level >= slog.LevelError:
		return journal.PriErr
	case level >= slog.LevelWarn:
		return journal.PriWarning
	case level >= slog.LevelInfo:
		return journal.PriInfo
	}
	return journal.PriDebug
}

// OutputPriority is for what instances print. The journal bounds what it takes of a service within a time, each class
// of Priorities for itself, and drops the rest: lines of an instance that counted with the records of the daemon would
// silence it. A stream or an identifier of its own would not help, as the bound is the service's.
func OutputPriority(level slog.Level) journal.Priority {
	if level == slog.LevelInfo {
		return journal.PriDebug
	}
	return OwnPriority(level)
}

// prioritised begins each record with its priority, as the journal reads it.
type prioritised struct {
	of       Priorities
	handlers map[journal.Priority]slog.Handler
}

func Prioritise(to io.Writer, of Priorities, handler func(io.Writer) slog.Handler) slog.Handler {
	p := prioritised{of, map[journal.Priority]slog.Handler{}}
	for _, priority := range []journal.Priority{journal.PriErr, journal.PriWarning, journal.PriInfo, journal.PriDebug} {
		p.handlers[priority] = handler(prefixed{to, mark(priority)})
	}
	return p
}

func mark(p journal.Priority) []byte { return []byte{'<', '0' + byte(p), '>'} }

func (p prioritised) Enabled(ctx context.Context, level slog.Level) bool {
	return p.handlers[p.of(level)].Enabled(ctx, level)
}

func (p prioritised) Handle(ctx context.Context, r slog.Record) error {
	return p.handlers[p.of(r.Level)].Handle(ctx, r)
}

func (p prioritised) WithAttrs(attrs []slog.Attr) slog.Handler {
	return p.each(func(h slog.Handler) slog.Handler { return h.WithAttrs(attrs) })
}

func (p prioritised) WithGroup(name string) slog.Handler {
	return p.each(func(h slog.Handler) slog.Handler { return h.WithGroup(name) })
}

func (p prioritised) each(f func(slog.Handler) slog.Handler) slog.Handler {
	q := prioritised{p.of, make(map[journal.Priority]slog.Handler, len(p.handlers))}
	for priority, h := range p.handlers {
		q.handlers[priority] = f(h)
	}
	return q
}

// prefixed writes a mark before each line.
type prefixed struct {
	to   io.Writer
	mark []byte
}

func (p prefixed) Write(text []byte) (int, error) {
	var b bytes.Buffer
	for line := range bytes.Lines(text) {
		b.Write(p.mark)
		b.Write(line)
	}
	if _, err := p.to.Write(b.Bytes()); err != nil {
		return 0, err
	}
	return len(text), nil
}

// IsJournal reports whether what is written there goes to the journal as a stream, and not anywhere else though the
// variable that says so was inherited.
func IsJournal(to io.Writer) bool {
	if to != io.Writer(os.Stderr) {
		return false
	}
	is, err := journal.StderrIsJournalStream()
	return err == nil && is // a variable that is not understood is nobody's word
}

// ErrorWriter is where to say why a command failed.
func ErrorWriter(stderr io.Writer) io.Writer {
	if IsJournal(stderr) {
		return prefixed{stderr, mark(journal.PriErr)}
	}
	return stderr
}
