package leash

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

func TestWhoLeavesIsToldWhatTheLeashEndsAndWhen(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	require.NoError(t, Able())
	require.Empty(t, Farewell(h.dir))
	h.fence("a")
	h.fence("ended")
	require.Empty(t, Farewell(h.dir), "nothing of them lives")
	h.renewFor(10 * time.Minute)
	h.start("a", "")
	h.start("other", "")
	require.Contains(t, Farewell(h.dir), "there is no leash")
	require.NoError(t, newGuard(t, h).Ensure(func(string) {}))
	pid := h.leashOf()
	r, err := Look(h.dir)
	require.NoError(t, err)
	require.Equal(t, Report{Leash: pid, Lives: true, Fenced: []messages.InstanceID{"a"}, KillAt: r.KillAt}, r)
	require.Regexp(t, `^instance "a" is fenced: the leash ends what lives of them in (10m0|9m[0-9.]+)s, unless`,
		Farewell(h.dir))
}

func TestTheFarewellNamesAFewAndSaysWhyItIsNow(t *testing.T) {
	t.Parallel()
	r := Report{Lives: true, Fenced: []messages.InstanceID{"a", "b", "c", "d", "e", "f", "g"}, KillAt: 7_240_000_000}
	require.Equal(t,
		`instances "a", "b", "c", "d", "e" and 2 others are fenced: the leash ends what lives of them in 7.2s, `+
			`unless a daemon has renewed the lease of this host by then`, r.farewell(0))
	r.Over = ErrVoid
	require.Equal(t,
		`instances "a", "b", "c", "d", "e" and 2 others are fenced, and ended by the leash now: the lease does not count any more`, r.farewell(0))
}
