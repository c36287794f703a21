package output

import (
	"log/slog"
	"sync"
)

// ailment logs that something goes wrong when it begins to, and that it is well again; what happens in between is not
// repeated.
type ailment struct {
	mu  sync.Mutex
	ill bool
}

func (a *ailment) note(log *slog.Logger, err error, msg string, attrs ...any) {
	a.mu.Lock()
	changed := a.ill != (err != nil)
	a.ill = err != nil
	a.mu.Unlock()
	switch {
	case !changed:
	case err != nil:
		log.Warn(msg, append(attrs, "error", err)...)
	default:
		log.Info("well again: "+msg, attrs...)
	}
}
