package fleet

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"procman/supervisor/fleet/place"
	"procman/supervisor/fleet/store"
	"procman/supervisor/fleet/store/memory"
)

func TestAClaimThatIsRefusedTakesNoneOfThoseItIsSentWithAlong(t *testing.T) {
	client := memory.New(nil).Client()
	h := &Host{config: Config{Fleet: "f", Name: "own", Store: client}, keys: keysOf("f")}
	put := func(key, value string) store.Revision {
		out, err := client.Commit(t.Context(), store.Transaction{Then: []store.Op{store.Put(key, value)}})
		require.NoError(t, err)
		return out.Revision
	}
	created := put(h.keys.host("own"), "{}")
	put(h.keys.assign(id(7)), encode(assignValue{Host: "other"}))
	var list []claim
	for n := range claimsAtOnce {
		list = append(list, claim{place.Claim{ID: string(id(n)), From: "lost"}, created, "i"})
	}
	outcomes := h.claimAll(t.Context(), list)
	require.Len(t, outcomes, len(list))
	for n, c := range outcomes {
		require.Equal(t, string(id(n)), c.ID)
		require.Equal(t, n == 7, c.epoch == 0)
	}
	snap, err := client.List(t.Context(), h.keys.assign(""))
	require.NoError(t, err)
	require.Len(t, snap.Entries, len(list))
	at := slices.IndexFunc(snap.Entries, func(e store.Entry) bool { return e.Key == h.keys.assign(id(7)) })
	require.Equal(t, encode(assignValue{Host: "other"}), snap.Entries[at].Value)

	put(h.keys.host("own"), "{}")
	for _, c := range h.claimAll(t.Context(), []claim{{place.Claim{ID: "late"}, created, "i"},
		{place.Claim{ID: "later"}, created, "i"}}) {
		require.Zero(t, c.epoch, "it was decided for another key of this host")
	}
}
