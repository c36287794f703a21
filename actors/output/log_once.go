package output

import (
	"log/slog"
	"sync"
)

// logOnce is trouble that more than one goroutine notes.
type logOnce struct {
	mu sync.Mutex // held while it logs, so that the two are told in their order
	trouble
}

func (l *logOnce) note(log *slog.Logger, err error, msg string, attrs ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.trouble.note(log, err, msg, attrs...)
}

// trouble logs that something goes wrong when it begins to, and that it is well again; what happens in between is not
// repeated.
type trouble bool

func (l *trouble) note(log *slog.Logger, err error, msg string, attrs ...any) {
	changed := bool(*l) != (err != nil)
	*l = err != nil
	switch {
	case !changed:
	case err != nil:
		log.Warn(msg, append(attrs, "error", err)...)
	default:
		log.Info("well again: "+msg, attrs...)
	}
}
