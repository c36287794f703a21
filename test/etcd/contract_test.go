package main

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/supervisor/fleet/store"
	"procman/supervisor/fleet/store/storetest"
)

// The same clauses hold for the store in memory.
func TestTheStoreOnEtcdKeepsTheContract(t *testing.T) {
	cluster := start(t, Config{Members: 1})
	ref := reference(t, cluster.Endpoints...)
	for i, clause := range storetest.Clauses() {
		t.Run(clause.Name, func(t *testing.T) {
			clause.Check(t, &world{
				servers: cluster.Endpoints, prefix: fmt.Sprintf("/procman/%d/", i), reference: ref,
				links: map[store.Store][]*link{},
			})
		})
	}
}

func TestTheStoreGoesOnWithAnotherMemberWhenOneIsCutOffOrGone(t *testing.T) {
	cluster := start(t, Config{Members: 3})
	w := &world{servers: cluster.Endpoints, prefix: "/p/", reference: reference(t, cluster.Endpoints...),
		links: map[store.Store][]*link{}}
	c := w.Client(t)
	lease, _, err := c.Grant(t.Context(), 60*time.Second)
	require.NoError(t, err)
	told := make(chan store.Changes, 1000)
	ended := make(chan error, 1)
	ctx := t.Context()
	_, at, err := c.Get(t.Context(), "a")
	require.NoError(t, err)
	go func() { ended <- c.Watch(ctx, "", at, func(c store.Changes) { told <- c }) }()
	n := 0
	everythingWorks := func(what string) {
		t.Helper()
		began := time.Now()
		_, err := c.KeepAlive(t.Context(), lease)
		require.NoError(t, err, what)
		t.Logf("%s: renewed after %v", what, time.Since(began).Round(time.Millisecond))
		n++
		require.Eventually(t, func() bool {
			_, err = c.Commit(t.Context(), store.Transaction{Then: []store.Op{store.Put("a", fmt.Sprint(n))}})
			return err == nil
		}, time.Minute, 10*time.Millisecond, what)
		e, _, err := c.Get(t.Context(), "a")
		require.NoError(t, err, what)
		require.Equal(t, fmt.Sprint(n), e.Value)
		for last := ""; last != e.Value; {
			select {
			case change := <-told:
				for _, e := range change.Events {
					last = e.Entry.Value
				}
			case err := <-ended:
				require.NoError(t, err, what)
			case <-time.After(time.Minute):
				require.Fail(t, "the watch does not go on", what)
			}
		}
		t.Logf("%s: all works after %v", what, time.Since(began).Round(time.Millisecond))
	}
	everythingWorks("at first")
	for i := range w.links[c] {
		w.links[c][i].set(true, true)
		everythingWorks(fmt.Sprintf("link %d cut", i))
		w.links[c][i].set(false, false)
	}
	gone := cluster.Members[1]
	cluster.Members = slices.Delete(cluster.Members, 1, 2)
	gone.Close()
	everythingWorks("a member gone")
}
