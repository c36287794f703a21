package storetest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/supervisor/fleet/store"
)

// Clauses returns the contract.
func Clauses() []Clause {
	return []Clause{
		{"what was put is read with its revisions and what is not there reads so", reads},
		{"a prefix is read as a whole in the order of its keys", lists},
		{"a transaction happens as a whole and only if all its compares hold", commits},
		{"of many who claim the same key one gets it", claims},
		{"what cannot succeed is refused as invalid and changes nothing", refusals},
		{"a lease that is kept alive lasts and takes its keys with it when it is not", expiry},
		{"a revoked lease is lost at once with its keys and says so to whoever uses it", revocation},
		{"a put binds its key to the lease that it names and to no other", bindings},
		{"a watch tells every change after its revision in order and once", watches},
		{"a watch tells how far it is also when nothing happened to its keys", progress},
		{"a watch from a revision that is forgotten says so", compaction},
		{"a call that is cut off ends with its context as unavailable", cuts},
		{"what was asked for may have happened although no answer came", losses},
		{"a watch that was cut off skips nothing", interruptions},
		{"a closed store ends its watches and takes no calls", closing},
	}
}

func reads(t *testing.T, w World) {
	c := w.Client(t)
	_, before, err := c.Get(soon(t), "a")
	require.NoError(t, err)
	require.False(t, get(t, c, "a").Exists())

	first := commit(t, c, store.Put("a", "1"))
	require.Greater(t, first, before)
	require.Equal(t, store.Entry{Key: "a", Value: "1", Created: first, Modified: first}, get(t, c, "a"))
	second := commit(t, c, store.Put("a", "\x00\xff"))
	require.Equal(t, store.Entry{Key: "a", Value: "\x00\xff", Created: first, Modified: second},
		get(t, w.Client(t), "a"))
	require.False(t, get(t, c, "aa").Exists(), "the key is no prefix")

	gone := commit(t, c, store.Delete("a"))
	require.Greater(t, gone, second)
	require.False(t, get(t, c, "a").Exists())
	require.Equal(t, gone, commit(t, c, store.Delete("a")), "nothing changed")
	again := commit(t, c, store.Put("a", ""))
	require.Equal(t, store.Entry{Key: "a", Created: again, Modified: again}, get(t, c, "a"))
}

func lists(t *testing.T, w World) {
	c := w.Client(t)
	none, err := c.List(soon(t), "p/")
	require.NoError(t, err)
	require.Empty(t, none.Entries)
	require.NotZero(t, none.Revision)

	const n = 2500
	for from := 0; from < n; from += store.MaxOps {
		var ops []store.Op
		for i := from; i < min(n, from+store.MaxOps); i++ {
			ops = append(ops, store.Put(fmt.Sprintf("p/%05d", n-1-i), fmt.Sprint(i)))
		}
		commit(t, c, ops...)
	}
	last := commit(t, c, store.Put("p", "before"), store.Put("p0", "after"))
	all, err := c.List(soon(t), "p/")
	require.NoError(t, err)
	require.Equal(t, last, all.Revision)
	require.Len(t, all.Entries, n)
	for i, e := range all.Entries {
		require.Equal(t, fmt.Sprintf("p/%05d", i), e.Key)
		require.Equal(t, fmt.Sprint(n-1-i), e.Value)
	}
	every, err := c.List(soon(t), "")
	require.NoError(t, err)
	require.Len(t, every.Entries, n+2)
}

func commits(t *testing.T, w World) {
	c := w.Client(t)
	at := commit(t, c, store.Put("is", "x"))
	for name, clause := range map[string]struct {
		If   []store.Compare
		done bool
	}{
		"nothing":               {nil, true},
		"unchanged":             {[]store.Compare{store.Unchanged("is", at)}, true},
		"changed":               {[]store.Compare{store.Unchanged("is", at-1)}, false},
		"unchanged, not there":  {[]store.Compare{store.Unchanged("no", 0)}, true},
		"unchanged, is there":   {[]store.Compare{store.Unchanged("is", 0)}, false},
		"unchanged, was there":  {[]store.Compare{store.Unchanged("no", at)}, false},
		"absent":                {[]store.Compare{store.Absent("no")}, true},
		"absent, is there":      {[]store.Compare{store.Absent("is")}, false},
		"present":               {[]store.Compare{store.Present("is")}, true},
		"present, not there":    {[]store.Compare{store.Present("no")}, false},
		"valued":                {[]store.Compare{store.Valued("is", "x")}, true},
		"valued otherwise":      {[]store.Compare{store.Valued("is", "y")}, false},
		"valued, not there":     {[]store.Compare{store.Valued("no", "")}, false},
		"all of several":        {[]store.Compare{store.Present("is"), store.Absent("no")}, true},
		"one of several is not": {[]store.Compare{store.Present("is"), store.Present("no")}, false},
	} {
		_, before, err := c.Get(soon(t), "is")
		require.NoError(t, err)
		out, err := c.Commit(soon(t), store.Transaction{If: clause.If,
			Then: []store.Op{store.Put("a", name), store.Put("b", name)}})
		require.NoError(t, err, name)
		require.Equal(t, clause.done, out.Done, name)
		a, b := get(t, c, "a"), get(t, c, "b")
		require.Equal(t, clause.done, a.Value == name, name)
		require.Equal(t, a.Modified, b.Modified, "one revision")
		if clause.done {
			require.Equal(t, out.Revision, a.Modified, name)
		} else {
			require.Equal(t, before, out.Revision, name)
		}
	}
	out, err := c.Commit(soon(t), store.Transaction{If: []store.Compare{store.Present("is")}})
	require.NoError(t, err)
	require.True(t, out.Done, "without changes it asks")
	commit(t, c, store.Put("c", "1"), store.Delete("a"))
	require.False(t, get(t, c, "a").Exists())
	require.True(t, get(t, c, "c").Exists())
}

func claims(t *testing.T, w World) {
	var all sync.WaitGroup
	var mu sync.Mutex
	winners := 0
	for i := range 8 {
		c := w.Client(t)
		all.Go(func() {
			out, err := c.Commit(soon(t), store.Transaction{
				If: []store.Compare{store.Absent("claim")}, Then: []store.Op{store.Put("claim", fmt.Sprint(i))},
			})
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			} else if out.Done {
				winners++
			}
		})
	}
	all.Wait()
	require.Equal(t, 1, winners)
}

func refusals(t *testing.T, w World) {
	c := w.Client(t)
	_, before, err := c.Get(soon(t), "a")
	require.NoError(t, err)
	var many []store.Op
	for i := range store.MaxOps + 1 {
		many = append(many, store.Put(fmt.Sprint(i), ""))
	}
	for name, txn := range map[string]store.Transaction{
		"no key":            {Then: []store.Op{store.Put("", "x")}},
		"no key to compare": {If: []store.Compare{store.Absent("")}},
		"no condition":      {If: []store.Compare{{Key: "a"}}},
		"twice":             {Then: []store.Op{store.Put("a", "1"), store.Delete("a")}},
		"too many":          {Then: many},
		"too large":         {Then: []store.Op{store.Put("a", strings.Repeat("x", store.MaxSize))}},
	} {
		_, err := c.Commit(soon(t), txn)
		require.ErrorIs(t, err, store.ErrInvalid, name)
	}
	_, _, err = c.Get(soon(t), "")
	require.ErrorIs(t, err, store.ErrInvalid)
	for _, ttl := range []time.Duration{0, time.Second, 2500 * time.Millisecond, -time.Hour} {
		_, _, err = c.Grant(soon(t), ttl)
		require.ErrorIs(t, err, store.ErrInvalid, ttl)
	}
	_, after, err := c.Get(soon(t), "a")
	require.NoError(t, err)
	require.Equal(t, before, after)
	commit(t, c, many[:store.MaxOps]...)
	commit(t, c, store.Put("a", strings.Repeat("x", store.MaxSize-1)))
}

func expiry(t *testing.T, w World) {
	c := w.Client(t)
	kept, left := grant(t, c), grant(t, c)
	commit(t, c, store.PutLeased("kept", "", kept), store.PutLeased("left", "", left), store.Put("own", ""))
	told := begin(t, c, "", get(t, c, "left").Modified)
	began := time.Now()
	eventually(t, "a lease that nobody renews ends", func() bool {
		got, err := c.KeepAlive(soon(t), kept)
		require.NoError(t, err)
		require.GreaterOrEqual(t, got, ttl)
		return !get(t, c, "left").Exists()
	})
	require.GreaterOrEqual(t, time.Since(began)+time.Second, ttl, "a lease lasts for its time")
	require.True(t, get(t, c, "kept").Exists())
	require.True(t, get(t, c, "own").Exists())
	e := told.events(t, 1)[0]
	require.True(t, e.Deleted)
	require.Equal(t, "left", e.Entry.Key)

	_, err := c.KeepAlive(soon(t), left)
	require.ErrorIs(t, err, store.ErrLeaseLost)
	eventually(t, "it does so by itself", func() bool { return !get(t, c, "kept").Exists() })
}

func revocation(t *testing.T, w World) {
	c := w.Client(t)
	l := grant(t, c)
	commit(t, c, store.PutLeased("a", "", l), store.PutLeased("b", "", l))
	require.NoError(t, w.Client(t).Revoke(soon(t), l))
	require.False(t, get(t, c, "a").Exists())
	require.False(t, get(t, c, "b").Exists())

	_, err := c.KeepAlive(soon(t), l)
	require.ErrorIs(t, err, store.ErrLeaseLost)
	require.ErrorIs(t, c.Revoke(soon(t), l), store.ErrLeaseLost)
	_, err = c.Commit(soon(t), store.Transaction{Then: []store.Op{store.Put("a", ""), store.PutLeased("b", "", l)}})
	require.ErrorIs(t, err, store.ErrLeaseLost)
	require.False(t, get(t, c, "a").Exists(), "the whole transaction did not happen")
	require.NotErrorIs(t, err, store.ErrUnavailable)
}

func bindings(t *testing.T, w World) {
	c := w.Client(t)
	first, second := grant(t, c), grant(t, c)
	commit(t, c, store.PutLeased("moved", "", first), store.PutLeased("freed", "", first),
		store.PutLeased("stays", "", first))
	commit(t, c, store.PutLeased("moved", "", second), store.Put("freed", ""))
	require.Equal(t, second, get(t, c, "moved").Lease)
	require.Zero(t, get(t, c, "freed").Lease)
	require.NoError(t, c.Revoke(soon(t), first))
	require.False(t, get(t, c, "stays").Exists())
	require.True(t, get(t, c, "freed").Exists())
	if e := get(t, c, "moved"); e.Exists() { // on a slow host the second lease may be over by now
		require.Equal(t, second, e.Lease)
	} else {
		_, err := c.KeepAlive(soon(t), second)
		require.ErrorIs(t, err, store.ErrLeaseLost)
	}
}

func watches(t *testing.T, w World) {
	c, other := w.Client(t), w.Client(t)
	start := commit(t, c, store.Put("w/a", "0"), store.Put("x", "0"))
	before := commit(t, c, store.Put("w/a", "1"))
	seen := begin(t, c, "w/", start)
	all := seen.events(t, 1)
	require.Equal(t, store.Event{Entry: store.Entry{Key: "w/a", Value: "1", Created: start, Modified: before}}, all[0])

	both := commit(t, other, store.Put("w/b", "2"), store.Put("w/c", "3"))
	all = seen.events(t, 2)
	require.Equal(t, both, all[0].Entry.Modified)
	require.Equal(t, both, all[1].Entry.Modified)
	l := grant(t, other)
	commit(t, other, store.PutLeased("w/d", "", l), store.Put("w", ""), store.Put("w0", ""))
	require.NoError(t, other.Revoke(soon(t), l))
	gone := commit(t, other, store.Delete("w/b"))
	all = seen.events(t, 3)
	require.Equal(t, l, all[0].Entry.Lease)
	require.True(t, all[1].Deleted)
	require.Equal(t, store.Event{Entry: store.Entry{Key: "w/b", Modified: gone}, Deleted: true}, all[2])

	const n = 300
	for i := range n {
		commit(t, other, store.Put("w/n", fmt.Sprint(i)))
	}
	for i, e := range seen.events(t, n) {
		require.Equal(t, fmt.Sprint(i), e.Entry.Value)
	}
	require.ErrorIs(t, seen.end(t), context.Canceled)
	again := begin(t, other, "w/", start)
	require.Equal(t, before, again.events(t, 1+2+3+n)[0].Entry.Modified, "another watch tells all of it")
}

func progress(t *testing.T, w World) {
	c := w.Client(t)
	seen := begin(t, c, "p/", commit(t, c, store.Put("q/", "")))
	at := commit(t, c, store.Put("q/", ""))
	late := time.After(patience)
	for {
		select {
		case change := <-seen.told:
			require.Empty(t, change.Events)
			if change.Revision >= at {
				return
			}
		case <-late:
			require.Fail(t, "not told how far it is")
		}
	}
}

func compaction(t *testing.T, w World) {
	c := w.Client(t)
	start := commit(t, c, store.Put("a", "0"))
	for i := range 5 {
		commit(t, c, store.Put("a", fmt.Sprint(i)))
	}
	last := commit(t, c, store.Put("b", ""))
	w.Compact(t, last)
	err := c.Watch(soon(t), "", start, func(store.Changes) {})
	require.ErrorIs(t, err, store.ErrCompacted)
	require.NotErrorIs(t, err, store.ErrUnavailable)

	snap, err := c.List(soon(t), "")
	require.NoError(t, err)
	require.Len(t, snap.Entries, 2)
	seen := begin(t, c, "", snap.Revision)
	commit(t, c, store.Put("c", ""))
	require.Equal(t, "c", seen.events(t, 1)[0].Entry.Key)
}

func cuts(t *testing.T, w World) {
	c, other := w.Client(t), w.Client(t)
	at := commit(t, c, store.Put("a", "1"))
	l := grant(t, c)
	w.Cut(t, c)
	for name, call := range map[string]func(context.Context) error{
		"grant":     func(ctx context.Context) error { _, _, err := c.Grant(ctx, ttl); return err },
		"keepalive": func(ctx context.Context) error { _, err := c.KeepAlive(ctx, l); return err },
		"revoke":    func(ctx context.Context) error { return c.Revoke(ctx, l) },
		"get":       func(ctx context.Context) error { _, _, err := c.Get(ctx, "a"); return err },
		"list":      func(ctx context.Context) error { _, err := c.List(ctx, ""); return err },
		"commit": func(ctx context.Context) error {
			_, err := c.Commit(ctx, store.Transaction{Then: []store.Op{store.Put("cut", "2")}})
			return err
		},
	} {
		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		err := call(ctx)
		cancel()
		require.ErrorIs(t, err, store.ErrUnavailable, name)
		require.NotErrorIs(t, err, store.ErrLeaseLost, name)
	}
	require.Equal(t, at, get(t, other, "a").Modified, "another is not cut off")
	w.Heal(t, c)
	eventually(t, "it is reached again", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_, _, err := c.Get(ctx, "a")
		return err == nil
	})
}

func losses(t *testing.T, w World) {
	c, other := w.Client(t), w.Client(t)
	commit(t, c, store.Put("before", ""))
	w.Deaf(t, c)
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	_, err := c.Commit(ctx, store.Transaction{If: []store.Compare{store.Absent("claim")},
		Then: []store.Op{store.Put("claim", "mine")}})
	require.ErrorIs(t, err, store.ErrUnavailable)
	eventually(t, "it happened", func() bool { return get(t, other, "claim").Value == "mine" })
	w.Heal(t, c)
	eventually(t, "it is reached again", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		e, _, err := c.Get(ctx, "claim")
		return err == nil && e.Value == "mine"
	})
	require.Equal(t, get(t, other, "claim").Created, get(t, other, "claim").Modified, "once")
}

func interruptions(t *testing.T, w World) {
	c, other := w.Client(t), w.Client(t)
	after := commit(t, c, store.Put("i/0", ""))
	seen := begin(t, c, "i/", after)
	after = commit(t, c, store.Put("i/1", ""))
	require.Equal(t, after, seen.events(t, 1)[0].Entry.Modified)
	w.Cut(t, c)
	for i := range 10 {
		commit(t, other, store.Put("i/cut", fmt.Sprint(i)))
	}
	time.Sleep(500 * time.Millisecond)
	w.Heal(t, c)
	commit(t, other, store.Put("i/cut", "10"))
	var got []string
	for len(got) < 11 {
		select {
		case change := <-seen.told:
			for _, e := range change.Events {
				got = append(got, e.Entry.Value)
			}
			after = max(after, change.Revision)
		case err := <-seen.ended:
			require.ErrorIs(t, err, store.ErrUnavailable)
			seen = begin(t, c, "i/", after)
		case <-soon(t).Done():
			require.Fail(t, "not told")
		}
	}
	for i, v := range got {
		require.Equal(t, fmt.Sprint(i), v)
	}
}

func closing(t *testing.T, w World) {
	c := w.Client(t)
	at := commit(t, c, store.Put("a", ""))
	seen := begin(t, c, "", at)
	commit(t, c, store.Put("a", ""))
	seen.events(t, 1)
	require.NoError(t, c.Close())
	select {
	case err := <-seen.ended:
		seen.ended <- err
		require.ErrorIs(t, err, store.ErrClosed)
	case <-time.After(patience):
		require.Fail(t, "the watch goes on")
	}
	_, _, err := c.Get(soon(t), "a")
	require.ErrorIs(t, err, store.ErrClosed)
	require.ErrorIs(t, c.Watch(soon(t), "", at, func(store.Changes) {}), store.ErrClosed)
	require.NoError(t, c.Close(), "twice is once")
}
