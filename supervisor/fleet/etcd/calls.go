package etcd

import (
	"context"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

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
	a, err := s.ask(ctx, request{op: op, again: true, do: func(ctx context.Context, c *connection) (answer, error) {
		got, err := c.Client.Grant(ctx, int64(ttl/time.Second))
		if err != nil {
			return answer{}, err
		}
		return answer{lease: store.Lease(got.ID), ttl: time.Duration(got.TTL) * time.Second}, nil
	}})
	return a.lease, a.ttl, err
}

// KeepAlive renews the lease.
func (s *Store) KeepAlive(ctx context.Context, l store.Lease) (time.Duration, error) {
	a, err := s.ask(ctx, request{op: "renew the lease", again: true,
		do: func(ctx context.Context, c *connection) (answer, error) {
			ctx, cancel := oneAttempt(ctx)
			defer cancel()
			got, err := c.KeepAliveOnce(ctx, clientv3.LeaseID(l))
			if err != nil {
				return answer{}, err
			}
			return answer{ttl: time.Duration(got.TTL) * time.Second}, nil
		}})
	return a.ttl, err
}

// Revoke ends the lease.
func (s *Store) Revoke(ctx context.Context, l store.Lease) error {
	_, err := s.ask(ctx, request{op: "give up the lease", do: func(ctx context.Context, c *connection) (answer, error) {
		_, err := c.Client.Revoke(ctx, clientv3.LeaseID(l))
		return answer{}, err
	}})
	return err
}

// Get returns the entry.
func (s *Store) Get(ctx context.Context, key string) (store.Entry, store.Revision, error) {
	const op = "read"
	if key == "" {
		return store.Entry{}, 0, invalid(op, "", fmt.Errorf("the key is empty"))
	}
	a, err := s.ask(ctx, request{op: op, key: key, again: true,
		do: func(ctx context.Context, c *connection) (answer, error) {
			return s.read(c.Client.Get(ctx, s.o.Prefix+key))
		}})
	if err != nil || len(a.entries) == 0 {
		return store.Entry{}, a.revision, err
	}
	return a.entries[0], a.revision, nil
}

// page is how many entries are read at once: etcd answers with all at once otherwise, and has them in memory several
// times.
const page = 1000

// List returns the entries whose keys begin with the prefix.
func (s *Store) List(ctx context.Context, prefix string) (store.Snapshot, error) {
	var all store.Snapshot
	from, to := s.bounds(prefix)
	for {
		a, err := s.ask(ctx, request{op: "read", key: prefix, again: true,
			do: func(ctx context.Context, c *connection) (answer, error) {
				return s.read(c.Client.Get(ctx, from, clientv3.WithRange(to), clientv3.WithLimit(page),
					clientv3.WithRev(int64(all.Revision))))
			}})
		if err != nil {
			return store.Snapshot{}, err
		}
		if all.Revision == 0 {
			all.Revision = a.revision
		}
		all.Entries = append(all.Entries, a.entries...)
		if !a.more || len(a.entries) == 0 {
			return all, nil
		}
		from = s.o.Prefix + a.entries[len(a.entries)-1].Key + "\x00"
	}
}

// bounds returns the range of the keys that begin with the prefix.
func (s *Store) bounds(prefix string) (from, to string) {
	from = s.o.Prefix + prefix
	if from == "" {
		return "\x00", "\x00"
	}
	return from, clientv3.GetPrefixRangeEnd(from)
}

// read is the answer to a read.
func (s *Store) read(got *clientv3.GetResponse, err error) (answer, error) {
	if err != nil {
		return answer{}, err
	}
	a := answer{revision: store.Revision(got.Header.Revision), more: got.More}
	for _, kv := range got.Kvs {
		a.entries = append(a.entries, s.entry(kv))
	}
	return a, nil
}

// entry is a key as callers know it.
func (s *Store) entry(kv *mvccpb.KeyValue) store.Entry {
	return store.Entry{Key: strings.TrimPrefix(string(kv.Key), s.o.Prefix), Value: string(kv.Value),
		Created:  store.Revision(kv.CreateRevision),
		Modified: store.Revision(kv.ModRevision), Lease: store.Lease(kv.Lease)}
}

// Commit carries out the transaction.
func (s *Store) Commit(ctx context.Context, t store.Transaction) (store.Outcome, error) {
	const op = "commit"
	if err := t.Check(); err != nil {
		return store.Outcome{}, invalid(op, "", err)
	}
	conditions, ops := s.transaction(t)
	a, err := s.ask(ctx, request{op: op, do: func(ctx context.Context, c *connection) (answer, error) {
		got, err := c.Txn(ctx).If(conditions...).Then(ops...).Commit()
		if err != nil {
			return answer{}, err
		}
		return answer{done: got.Succeeded, revision: store.Revision(got.Header.Revision)}, nil
	}})
	return store.Outcome{Done: a.done, Revision: a.revision}, err
}

// transaction is t in the words of etcd.
func (s *Store) transaction(t store.Transaction) (conditions []clientv3.Cmp, ops []clientv3.Op) {
	for _, c := range t.If {
		key := s.o.Prefix + c.Key
		switch c.Is {
		case store.IsUnchanged:
			conditions = append(conditions, clientv3.Compare(clientv3.ModRevision(key), "=", int64(c.Modified)))
		case store.IsAbsent:
			conditions = append(conditions, clientv3.Compare(clientv3.CreateRevision(key), "=", 0))
		case store.IsPresent:
			conditions = append(conditions, clientv3.Compare(clientv3.CreateRevision(key), ">", 0))
		case store.IsValued:
			conditions = append(conditions, clientv3.Compare(clientv3.Value(key), "=", c.Value))
		}
	}
	for _, o := range t.Then {
		if o.Delete {
			ops = append(ops, clientv3.OpDelete(s.o.Prefix+o.Key))
		} else {
			ops = append(ops, clientv3.OpPut(s.o.Prefix+o.Key, o.Value, clientv3.WithLease(clientv3.LeaseID(o.Lease))))
		}
	}
	return conditions, ops
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
			s.tokens.set("")
		case kind == store.ErrUnavailable || elsewhere(err) && len(s.servers) > 1:
			s.next(at)
			if quiet {
				quiet = false // it is tried again and again
				s.log.Warn("a watch of the fleet's store was interrupted; it is begun again", "server", server.url,
					"keys", prefix, "error", err)
			}
		default:
			return &store.Error{Op: op, Key: prefix, Kind: kind, Cause: err, Advice: advice}
		}
	}
}
