package port

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

func TestAClaimedPortIsHeldFromItsReleaseOn(t *testing.T) {
	for _, remains := range []bool{false, true} {
		t.Run(fmt.Sprintf("TIME_WAIT %v", remains), func(t *testing.T) {
			p := newPorts(t, freeRange(t, 2), 2, true)
			survivor := listen(t, "127.0.0.1", p.last)
			lease, err := p.Claim("a", p.last)
			require.NoError(t, err)
			require.Equal(t, map[messages.InstanceID]int{"a": p.last}, p.Leases())
			require.Nil(t, p.slots[p.last].held)
			require.NoError(t, survivor.Close())
			if remains {
				leaveTimeWait(t, p.last)
			}
			lease.Release()
			require.NotNil(t, p.slots[p.last].held)
			rival := newPorts(t, p.last, 1, true)
			requireNoPort(t, rival, "thief")
			again := acquire(t, p, "a")
			require.Equal(t, p.last, again.Port())
			listen(t, "0.0.0.0", again.Port())
		})
	}
}

func TestAPortAmongTimeWaitThatAnotherManagerHoldsIsNotShared(t *testing.T) {
	first := freeRange(t, 2)
	rival := newPorts(t, first, 1, true)
	held := acquire(t, rival, "theirs")
	leaveTimeWait(t, held.Port())

	p := newPorts(t, first, 2, true)
	lease, err := p.Claim("a", first)
	require.NoError(t, err)
	lease.Release()
	require.Nil(t, p.slots[first].held)
	require.Equal(t, first+1, acquire(t, p, "a").Port())
}

func TestAPortThatStillHasAListenerAfterAClaimIsNotLeasedAgain(t *testing.T) {
	p := newPorts(t, freeRange(t, 2), 2, true)
	listen(t, "127.0.0.1", p.first)
	lease, err := p.Claim("a", p.first)
	require.NoError(t, err)
	lease.Release()
	require.Equal(t, p.last, acquire(t, p, "a").Port())
}

func TestAClaimOfALeasedPortFails(t *testing.T) {
	p := newPorts(t, freeRange(t, 2), 2, true)
	a := acquire(t, p, "a")
	_, err := p.Claim("b", a.Port())
	require.ErrorContains(t, err, "leased to instance a")
	same, err := p.Claim("a", a.Port())
	require.NoError(t, err)
	require.Equal(t, a.Port(), same.Port())
	a.Release()
	_, err = p.Claim("b", a.Port())
	require.NoError(t, err, "a parked port goes to the process that listens on it")
	require.NotEqual(t, a.Port(), acquire(t, p, "a").Port())
	for _, bad := range []int{-1, 0, 65536} {
		_, err = p.Claim("c", bad)
		require.Error(t, err)
	}
}

func TestAClaimReplacesWhatTheInstanceHad(t *testing.T) {
	p := newPorts(t, freeRange(t, 2), 2, true)
	old := acquire(t, p, "a")
	other := p.first + p.last - old.Port()
	_, err := p.Claim("a", other)
	require.NoError(t, err)
	require.Equal(t, map[messages.InstanceID]int{"a": other}, p.Leases())
	old.Release()
	require.Equal(t, old.Port(), acquire(t, p, "b").Port())
}

func TestAClaimedPortOutsideTheRangeIsGivenUpAtItsEnd(t *testing.T) {
	first := freeRange(t, 3)
	p := newPorts(t, first, 2, true)
	lease, err := p.Claim("a", first+2)
	require.NoError(t, err)
	_, err = p.Claim("b", first+2)
	require.Error(t, err)
	lease.Release()
	require.Empty(t, p.slots)
	require.LessOrEqual(t, acquire(t, p, "a").Port(), p.last)
}
