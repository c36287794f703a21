package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/supervisor/fleet/store"
)

// World is a store with what a test has to do to it.
type World interface {
	// Client returns another client of the store, with nothing below its keys yet. The test closes it.
	Client(t *testing.T) store.Store
	// Compact makes the store forget the changes before that revision.
	Compact(t *testing.T, before store.Revision)
	// Cut has nothing go from that client to the store, nor back; Deaf has what it asks for get there, and no answer
	// come back. Heal undoes both.
	Cut(t *testing.T, c store.Store)
	Deaf(t *testing.T, c store.Store)
	Heal(t *testing.T, c store.Store)
}

// Clause is one sentence of the contract.
type Clause struct {
	Name  string
	Check func(t *testing.T, w World)
}

// ttl is the shortest that a store has. patience is how long something may take that has to happen, on a host that is
// busy.
const (
	ttl      = 2 * time.Second
	patience = time.Minute
)

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func commit(t *testing.T, c store.Store, ops ...store.Op) store.Revision {
	t.Helper()
	out, err := c.Commit(soon(t), store.Transaction{Then: ops})
	require.NoError(t, err)
	require.True(t, out.Done)
	return out.Revision
}

func get(t *testing.T, c store.Store, key string) store.Entry {
	t.Helper()
	e, at, err := c.Get(soon(t), key)
	require.NoError(t, err)
	require.GreaterOrEqual(t, at, e.Modified)
	return e
}

func grant(t *testing.T, c store.Store) store.Lease {
	t.Helper()
	l, got, err := c.Grant(soon(t), ttl)
	require.NoError(t, err)
	require.NotZero(t, l)
	require.GreaterOrEqual(t, got, ttl)
	return l
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(50 * time.Millisecond) {
		require.True(t, time.Now().Before(end), what)
	}
}

// watch is a watch under way.
type watch struct {
	told   chan store.Changes
	ended  chan error
	cancel context.CancelFunc
}

func begin(t *testing.T, c store.Store, prefix string, after store.Revision) *watch {
	ctx, cancel := context.WithCancel(context.Background())
	w := &watch{told: make(chan store.Changes, 10_000), ended: make(chan error, 1), cancel: cancel}
	go func() { w.ended <- c.Watch(ctx, prefix, after, func(c store.Changes) { w.told <- c }) }()
	t.Cleanup(func() { w.end(t) })
	return w
}

func (w *watch) end(t *testing.T) error {
	w.cancel()
	select {
	case err := <-w.ended:
		w.ended <- err
		return err
	case <-time.After(patience):
		t.Error("the watch does not end with its context")
		return nil
	}
}

// events returns so many events, and checks that they come in order.
func (w *watch) events(t *testing.T, n int) []store.Event {
	t.Helper()
	late := time.After(patience)
	var all []store.Event
	var last store.Revision
	for len(all) < n {
		select {
		case c := <-w.told:
			require.Greater(t, c.Revision, last, "told twice")
			for _, e := range c.Events {
				require.Greater(t, e.Entry.Modified, last, "told before, or out of order")
				require.LessOrEqual(t, e.Entry.Modified, c.Revision)
			}
			last = c.Revision
			all = append(all, c.Events...)
		case err := <-w.ended:
			w.ended <- err
			require.NoError(t, err, "the watch ended")
		case <-late:
			require.Fail(t, "not told", "%d of %d", len(all), n)
		}
	}
	require.Len(t, all, n)
	return all
}
