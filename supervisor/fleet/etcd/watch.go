package etcd

import (
	"context"
	"errors"
	"strings"
	"time"

	"procman/supervisor/fleet/store"
)

// watch is one that goes on over several connections.
type watch struct {
	store  *Store
	prefix string
	after  store.Revision
	tell   func(store.Changes)
}

// follow tells what one server says, until it says no more.
func (w *watch) follow(ctx context.Context, server *server) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// A server that is cut off may take the request and never begin.
	late := time.AfterFunc(3*w.store.o.Patience, func() { cancel(context.DeadlineExceeded) })
	defer late.Stop()
	c, err := server.connection(w.store.o.tls)
	if err != nil {
		return notSentError{err}
	}
	// While nothing happens a watch is as silent as a dead one. Other calls find out sooner.
	defer context.AfterFunc(c.trusted, func() { cancel(errDistrusted) })()
	from, to := w.store.bounds(w.prefix)
	r := request{method: "Watch/Watch", message: watchRequest(from, to, w.after+1)}
	stream, done, err := w.store.open(ctx, server, c, r, true)
	if err != nil {
		return err
	}
	defer stream.close()
	for {
		m, err := stream.receive()
		if err == nil {
			late.Stop()
			err = w.take(m)
		}
		if err != nil {
			done(err)
			if cause := context.Cause(ctx); cause != nil {
				err = cause
			}
			return err
		}
	}
}

var errDistrusted = errors.New("the server did not answer another call")

// take tells what the message says.
func (w *watch) take(m []byte) error {
	a, err := watchAnswer(m)
	switch {
	case err != nil:
		return err
	case a.compacted != 0:
		return &status{codeOutOfRange, "etcdserver: mvcc: required revision has been compacted"}
	case a.canceled:
		return cancellation(a.reason)
	case a.created:
		return nil // what it says of the revision is true of the server, and not of what was told
	}
	c := store.Changes{Revision: a.revision}
	for _, e := range a.events {
		e.Entry = w.store.own(e.Entry)
		c.Events = append(c.Events, e)
		c.Revision = e.Entry.Modified
	}
	if c.Revision > w.after {
		w.after = c.Revision
		w.tell(c)
	}
	return nil
}

// cancellation is why a server ended a watch, which it says in words.
func cancellation(reason string) error {
	for text, code := range map[string]int{
		"permission denied": codePermissionDenied, "invalid auth token": codeUnauthenticated,
		"user name is empty": codeInvalidArgument, "revision of auth store is old": codeInvalidArgument,
	} {
		if strings.Contains(reason, text) {
			return &status{code, reason}
		}
	}
	return &status{codeUnavailable, "the server ended the watch: " + reason}
}
