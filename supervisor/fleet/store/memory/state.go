package memory

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"procman/supervisor/fleet/store"
)

// State is a store, at one moment. The zero State is an empty one. Its errors are those of package store, not wrapped.
type State struct {
	changes   store.Revision // how many there were; the revision of an empty store is 1
	entries   map[string]store.Entry
	leases    map[store.Lease]lease
	granted   store.Lease // the last one
	history   []store.Changes
	compacted store.Revision
}

type lease struct {
	ttl     time.Duration
	expires time.Time
}

// Clone returns another store with the same content.
func (s *State) Clone() *State {
	c := *s
	c.entries, c.leases, c.history = maps.Clone(s.entries), maps.Clone(s.leases), slices.Clone(s.history)
	return &c
}

// Revision returns that of the last change.
func (s *State) Revision() store.Revision { return s.changes + 1 }

// Expire ends the leases that have run out, those first that ran out first.
func (s *State) Expire(now time.Time) {
	var out []store.Lease
	for id, l := range s.leases {
		if !now.Before(l.expires) {
			out = append(out, id)
		}
	}
	slices.SortFunc(out, func(a, b store.Lease) int {
		return cmp.Or(s.leases[a].expires.Compare(s.leases[b].expires), cmp.Compare(a, b))
	})
	for _, id := range out {
		s.end(id)
	}
}

// NextExpiry returns when the next lease runs out; the zero time: none does.
func (s *State) NextExpiry() time.Time {
	var next time.Time
	for _, l := range s.leases {
		if next.IsZero() || l.expires.Before(next) {
			next = l.expires
		}
	}
	return next
}

// Elect is a change of the store's leader: every lease lasts for its TTL anew.
func (s *State) Elect(now time.Time) {
	for id, l := range s.leases {
		l.expires = now.Add(l.ttl)
		s.leases[id] = l
	}
}

// Compact forgets the changes before the revision.
func (s *State) Compact(upTo store.Revision) {
	upTo = min(upTo, s.Revision())
	s.compacted = max(s.compacted, upTo)
	s.history = slices.DeleteFunc(slices.Clone(s.history),
		func(c store.Changes) bool { return c.Revision < s.compacted })
}

// Grant makes a lease. Names are given in turn, from 1.
func (s *State) Grant(now time.Time, ttl time.Duration) (store.Lease, error) {
	if err := store.CheckTTL(ttl); err != nil {
		return 0, fmt.Errorf("%w: %w", store.ErrInvalid, err)
	}
	s.granted++
	if s.leases == nil {
		s.leases = map[store.Lease]lease{}
	}
	s.leases[s.granted] = lease{ttl: ttl, expires: now.Add(ttl)}
	return s.granted, nil
}

// KeepAlive renews the lease.
func (s *State) KeepAlive(now time.Time, id store.Lease) (time.Duration, error) {
	l, there := s.leases[id]
	if !there {
		return 0, store.ErrLeaseLost
	}
	l.expires = now.Add(l.ttl)
	s.leases[id] = l
	return l.ttl, nil
}

// Revoke ends the lease.
func (s *State) Revoke(id store.Lease) error {
	if _, there := s.leases[id]; !there {
		return store.ErrLeaseLost
	}
	s.end(id)
	return nil
}

func (s *State) end(id store.Lease) {
	delete(s.leases, id)
	var gone []store.Op
	for key, e := range s.entries {
		if e.Lease == id {
			gone = append(gone, store.Delete(key))
		}
	}
	slices.SortFunc(gone, func(a, b store.Op) int { return strings.Compare(a.Key, b.Key) })
	s.apply(gone)
}

// Get returns the entry.
func (s *State) Get(key string) store.Entry { return s.entries[key] }

// List returns the entries whose keys begin with the prefix.
func (s *State) List(prefix string) store.Snapshot {
	var found []store.Entry
	for key, e := range s.entries {
		if strings.HasPrefix(key, prefix) {
			found = append(found, e)
		}
	}
	slices.SortFunc(found, func(a, b store.Entry) int { return strings.Compare(a.Key, b.Key) })
	return store.Snapshot{Revision: s.Revision(), Entries: found}
}

// Commit carries out the transaction if its compares hold.
func (s *State) Commit(t store.Transaction) (store.Outcome, error) {
	if err := t.Check(); err != nil {
		return store.Outcome{}, fmt.Errorf("%w: %w", store.ErrInvalid, err)
	}
	for _, c := range t.If {
		if !s.holds(c) {
			return store.Outcome{Revision: s.Revision()}, nil
		}
	}
	for _, o := range t.Then {
		if _, there := s.leases[o.Lease]; o.Lease != 0 && !there {
			return store.Outcome{}, store.ErrLeaseLost
		}
	}
	s.apply(t.Then)
	return store.Outcome{Done: true, Revision: s.Revision()}, nil
}

func (s *State) holds(c store.Compare) bool {
	e := s.entries[c.Key]
	switch c.Is {
	case store.IsUnchanged:
		return e.Modified == c.Modified
	case store.IsAbsent:
		return !e.Exists()
	case store.IsPresent:
		return e.Exists()
	}
	return e.Exists() && e.Value == c.Value
}

func (s *State) apply(ops []store.Op) {
	next := s.Revision() + 1
	var events []store.Event
	for _, o := range ops {
		had := s.entries[o.Key]
		if o.Delete {
			if had.Exists() {
				delete(s.entries, o.Key)
				events = append(events, store.Event{Entry: store.Entry{Key: o.Key, Modified: next}, Deleted: true})
			}
			continue
		}
		e := store.Entry{Key: o.Key, Value: o.Value, Created: cmp.Or(had.Created, next), Modified: next, Lease: o.Lease}
		if s.entries == nil {
			s.entries = map[string]store.Entry{}
		}
		s.entries[o.Key] = e
		events = append(events, store.Event{Entry: e})
	}
	if len(events) > 0 {
		s.changes++
		s.history = append(s.history, store.Changes{Revision: next, Events: events})
	}
}

// Since returns what happened to the keys of the prefix after that revision, up to now.
func (s *State) Since(prefix string, after store.Revision) (store.Changes, error) {
	if after+1 < s.compacted {
		return store.Changes{}, store.ErrCompacted
	}
	c := store.Changes{Revision: max(after, s.Revision())}
	from, _ := slices.BinarySearchFunc(s.history, after+1,
		func(c store.Changes, r store.Revision) int { return cmp.Compare(c.Revision, r) })
	for _, h := range s.history[from:] {
		for _, e := range h.Events {
			if strings.HasPrefix(e.Entry.Key, prefix) {
				c.Events = append(c.Events, e)
			}
		}
	}
	return c, nil
}
