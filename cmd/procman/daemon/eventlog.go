package daemon

import (
	"context"
	"iter"

	"procman/messages"
	"procman/supervisor/events"
)

// eventLog is the daemon's event log. It is never nil: without a log it says why there is none.
type eventLog struct {
	log *events.Log
	err error
}

// openEventLog opens the event log. Without one the daemon runs all the same.
func openEventLog(path string, log log) eventLog {
	l, err := events.Open(path, events.Options{Logger: log.Logger})
	if err != nil {
		log.Error("events are not kept; instances are run all the same", "error", err)
	}
	return eventLog{l, err}
}

func (c eventLog) Append(e messages.Event) {
	if c.log != nil {
		c.log.Append(e)
	}
}

func (c eventLog) Close() error {
	if c.log == nil {
		return nil
	}
	return c.log.Close()
}

func (c eventLog) Read(ctx context.Context, q messages.EventQuery) iter.Seq2[messages.LoggedEvent, error] {
	if c.log != nil {
		return c.log.Read(ctx, q)
	}
	return func(yield func(messages.LoggedEvent, error) bool) { yield(messages.LoggedEvent{}, c.err) }
}
