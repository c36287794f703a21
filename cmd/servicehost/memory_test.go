package main

import (
	"bytes"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAMemoryBeginsAsTheImageAndGrowsInItsPlace(t *testing.T) {
	if !mappable {
		t.Skip("wazero's own memory is used here")
	}
	c, _ := testCache(t)
	var written atomic.Int32
	e, err := c.get(t.Context(), entryName+"x", writer(&written))
	require.NoError(t, err)
	const most = 4 * wasmPage
	one, err := e.newMemory(most)
	require.NoError(t, err)
	defer one.Free()
	other, err := e.newMemory(most)
	require.NoError(t, err)
	defer other.Free()

	b := one.Allocate(wasmPage, most).Reallocate(wasmPage)
	require.Len(t, b, wasmPage)
	require.Equal(t, "an image", string(b[:8]))
	require.Empty(t, bytes.Trim(b[8:], "\x00"))
	copy(b, "changed!")
	larger := one.Reallocate(3 * wasmPage)
	require.Len(t, larger, 3*wasmPage)
	require.Same(t, &b[0], &larger[0])
	require.Equal(t, "changed!", string(larger[:8]))
	require.Empty(t, bytes.Trim(larger[8:], "\x00"))
	require.Nil(t, one.Reallocate(most+1))
	one.Free()
	one.Free()

	require.Equal(t, "an image", string(other.Reallocate(wasmPage)[:8]), "nobody else sees what an instance writes")
	requireEntry(t, e)
}

func TestAtRestOneInstanceIsEnough(t *testing.T) {
	h := openHost(t, "counter", func(o *options) { o.restAfter = 50 * time.Millisecond })
	for round := range 2 {
		var clients sync.WaitGroup
		for range 3 {
			h.module.used <- struct{}{} // three requests at once
			i, err := h.module.instantiate(t.Context())
			require.NoError(t, err)
			clients.Go(func() {
				h.module.idle <- i
				<-h.module.used
			})
		}
		clients.Wait()
		require.Equal(t, 200, ask(h, "POST", "/increment", "").Code)
		require.Eventually(t, func() bool { return len(h.module.idle) == 1 }, time.Minute, time.Millisecond, round)
	}
	require.Equal(t, 200, ask(h, "POST", "/increment", "").Code)
	require.JSONEq(t, `{"name": "default", "value": 3}`, ask(h, "GET", "/?name=default", "").Body.String())
}

func TestAnEntryMayBeRemovedWhileItIsUsed(t *testing.T) {
	t.Parallel()
	cache, _ := warmCache(t, "counter")
	p := start(t, t.TempDir(), "counter", "-cache", cache)
	require.NoError(t, os.RemoveAll(cache))
	var clients sync.WaitGroup
	for range 4 { // of which some need a new instance
		clients.Go(func() { _, _ = p.try("POST", "/increment", "", "") })
	}
	clients.Wait()
	require.Equal(t, `{"name":"default","value":5}`, strings.TrimSpace(p.do(t, "POST", "/increment", "", "").body))
}
