package etcd

import (
	"context"
	"fmt"
	"strings"
	"time"

	"procman/supervisor/fleet/store"
)

func invalid(op, key string, err error) error {
	return &store.Error{Op: op, Key: key, Kind: store.ErrInvalid, Cause: err}
}

// Grant makes a lease. If its answer is lost one may be left that nobody knows, until its time is over.
func (s *Store) Grant(ctx context.Context, ttl time.Duration) (store.Lease, time.Duration, error) {
	const op = "get a lease"
	if err := store.CheckTTL(ttl); err != nil {
		return 0, 0, invalid(op, "", err)
	}
	a, err := s.ask(ctx, request{
		op: op, method: "Lease/LeaseGrant", message: numberRequest(1, int64(ttl/time.Second)), again: true, decode: grantAnswer,
	})
	return a.lease, time.Duration(a.ttl) * time.Second, err
}

// KeepAlive renews the lease.
func (s *Store) KeepAlive(ctx context.Context, l store.Lease) (time.Duration, error) {
	const op = "renew the lease"
	a, err := s.ask(ctx, request{
		op: op, method: "Lease/LeaseKeepAlive", message: numberRequest(1, int64(l)), again: true, decode: leaseAnswer,
	})
	if err == nil && a.ttl <= 0 {
		err = &store.Error{Op: op, Kind: store.ErrLeaseLost}
	}
	if err != nil {
		return 0, err
	}
	return time.Duration(a.ttl) * time.Second, nil
}

// Revoke ends the lease.
func (s *Store) Revoke(ctx context.Context, l store.Lease) error {
	_, err := s.ask(ctx, request{
		op: "give up the lease", method: "Lease/LeaseRevoke", message: numberRequest(1, int64(l)), decode: leaseAnswer,
	})
	return err
}

// Get returns the entry.
func (s *Store) Get(ctx context.Context, key string) (store.Entry, store.Revision, error) {
	const op = "read"
	if key == "" {
		return store.Entry{}, 0, invalid(op, "", fmt.Errorf("the key is empty"))
	}
	a, err := s.ask(ctx, request{
		op: op, key: key, method: "KV/Range", message: rangeRequest(s.o.Prefix+key, "", 0, 0), again: true, decode: rangeAnswer,
	})
	if err != nil || len(a.entries) == 0 {
		return store.Entry{}, a.revision, err
	}
	return s.own(a.entries[0]), a.revision, nil
}

// page is how many entries are read at once: etcd answers with all at once otherwise, and has them in memory several times.
const page = 1000

// List returns the entries whose keys begin with the prefix.
func (s *Store) List(ctx context.Context, prefix string) (store.Snapshot, error) {
	var all store.Snapshot
	from, to := s.bounds(prefix)
	for {
		a, err := s.ask(ctx, request{
			op: "read", key: prefix, method: "KV/Range", message: rangeRequest(from, to, page, all.Revision), again: true, decode: rangeAnswer,
		})
		if err != nil {
			return store.Snapshot{}, err
		}
		if all.Revision == 0 {
			all.Revision = a.revision
		}
		for _, e := range a.entries {
			all.Entries = append(all.Entries, s.own(e))
		}
		if !a.more || len(a.entries) == 0 {
			return all, nil
		}
		from = a.entries[len(a.entries)-1].Key + "\x00"
	}
}

// bounds returns the range of the keys that begin with the prefix.
func (s *Store) bounds(prefix string) (from, to string) {
	from = s.o.Prefix + prefix
	if from == "" {
		return "\x00", "\x00"
	}
	return from, after(from)
}

// own returns the entry as callers know it.
func (s *Store) own(e store.Entry) store.Entry {
	e.Key = strings.TrimPrefix(e.Key, s.o.Prefix)
	return e
}

// Commit carries out the transaction.
func (s *Store) Commit(ctx context.Context, t store.Transaction) (store.Outcome, error) {
	const op = "commit"
	if err := t.Check(); err != nil {
		return store.Outcome{}, invalid(op, "", err)
	}
	a, err := s.ask(ctx, request{op: op, method: "KV/Txn", message: txnRequest(s.o.Prefix, t), decode: txnAnswer})
	return store.Outcome{Done: a.done, Revision: a.revision}, err
}

// Watch tells what happens.
func (s *Store) Watch(ctx context.Context, prefix string, after store.Revision, tell func(store.Changes)) error {
	const op = "watch"
	caller := ctx
	ctx, leave, ok := s.enter(ctx)
	if !ok {
		return &store.Error{Op: op, Key: prefix, Kind: store.ErrClosed}
	}
	defer leave()
	w := &watch{store: s, prefix: prefix, after: after, tell: tell}
	renewed, quiet := false, true
	for n := 0; ; n++ {
		if err := s.pause(ctx, n); err != nil {
			if s.life.Err() != nil {
				return &store.Error{Op: op, Key: prefix, Kind: store.ErrClosed}
			}
			return caller.Err()
		}
		server, at := s.current()
		before := w.after
		err := w.follow(ctx, server)
		if w.after != before {
			n, renewed, quiet = 0, false, true
		}
		advice, kind := kindOf(err)
		switch {
		case ctx.Err() != nil:
		case unauthenticated(err) && s.o.User != "" && !renewed:
			renewed = true
			s.forget()
		case kind == store.ErrUnavailable || elsewhere(err) && len(s.servers) > 1:
			s.next(at)
			if quiet {
				quiet = false // it is tried again and again
				s.log.Warn("a watch of the fleet's store was interrupted; it is begun again", "server", server.url, "keys", prefix, "error", err)
			}
		default:
			return &store.Error{Op: op, Key: prefix, Kind: kind, Cause: err, Advice: advice}
		}
	}
}
