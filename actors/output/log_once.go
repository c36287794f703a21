package output

import (
	"log/slog"
	"sync"
)

// logOnce logs that something goes wrong when it begins to, and that it is well again; what happens in between is not
// repeated.
type logOnce struct {
	mu      sync.Mutex // held while it logs, so that the two are told in their order
	failing bool
}

func (l *logOnce) note(log *slog.Logger, err error, msg string, attrs ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.noteLocked(log, err, msg, attrs...)
}

func (l *logOnce) noteLocked(log *slog.Logger, err error, msg string, attrs ...any) {
	changed := l.failing != (err != nil)
	l.failing = err != nil
	switch {
	case !changed:
	case err != nil:
		log.Warn(msg, append(attrs, "error", err)...)
	default:
		log.Info("well again: "+msg, attrs...)
	}
}
