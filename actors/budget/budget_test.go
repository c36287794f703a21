package budget

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"procman/messages"
)

func TestTheSharesLeaveRoomForControlUnderAnyLimit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.Uint64Range(0, 1<<40).Draw(t, "limit")
		s := Of(limit)
		require.LessOrEqual(t, uint64(s.Reserve), max(limit/2, 1))
		require.Positive(t, s.Probes)
		require.Positive(t, s.Connections)
		if limit >= 64 {
			require.GreaterOrEqual(t, s.Reserve, min(24, s.Probes+s.Connections))
			require.Positive(t, Fits(limit, OwnFiles, 2))
		}
	})
}

func TestAsManyStartsAreAdmittedAsAreSaidToFit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit, each := rapid.IntRange(20, 5000).Draw(t, "limit"), rapid.IntRange(1, 3).Draw(t, "each")
		used := OwnFiles
		b := New(Options{look: func(bool) usage { return usage{files: limit, filesUsed: used} }})
		started := 0
		for ; ; started++ {
			landed, err := b.Admit(context.Background())
			if err != nil {
				require.NotNil(t, messages.HostFault(err), "the host's fault: it waits, and spends no attempt")
				break
			}
			used += each
			landed()
		}
		require.Equal(t, Fits(uint64(limit), OwnFiles, each), started)
		require.LessOrEqual(t, used, max(OwnFiles, limit-Of(uint64(limit)).Reserve), "the reserve is not touched")
	})
}

func TestStartsUnderWayAreCountedAndWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		used := 10
		b := New(Options{look: func(bool) usage { return usage{files: 64, filesUsed: used} }}) // 40 but for the reserve
		var landed []func()
		for range 3 {
			l, err := b.Admit(t.Context())
			require.NoError(t, err)
			landed = append(landed, l)
		}
		admitted := make(chan error, 1)
		go func() {
			l, err := b.Admit(t.Context())
			if err == nil {
				l()
			}
			admitted <- err
		}()
		synctest.Wait()
		require.Empty(t, admitted, "a fourth might be one too many")
		landed[0]()
		landed[0]() // it lands once
		require.NoError(t, <-admitted)

		ctx, cancel := context.WithCancel(t.Context())
		l, err := b.Admit(ctx)
		require.NoError(t, err)
		cancel()
		_, err = b.Admit(ctx)
		require.ErrorIs(t, err, context.Canceled)
		l()
	})
}

func TestWhatCanBeSparedIsLetGoBeforeAStartIsRefused(t *testing.T) {
	used, spared := 38, 0
	b := New(Options{
		look:    func(bool) usage { return usage{files: 64, filesUsed: used} },
		Relieve: func() bool { spared++; used -= 5; return true },
	})
	_, err := b.Admit(t.Context())
	require.ErrorContains(t, err, "of 64 file descriptors 33 are open, 24 are kept for status, stop and reload")
	require.Equal(t, 1, spared)
	landed, err := b.Admit(t.Context())
	require.NoError(t, err)
	landed()
}

func TestWhatControlHasOpenIsTakenFromItsReserve(t *testing.T) {
	b := New(Options{look: func(bool) usage { return usage{files: 64, filesUsed: 38} }})
	_, err := b.Admit(t.Context())
	require.Error(t, err)
	b.Lend(8)
	landed, err := b.Admit(t.Context())
	require.NoError(t, err)
	landed()
	b.Lend(-8)
	_, err = b.Admit(t.Context())
	require.Error(t, err)
}

func TestWhatRunsAlreadyIsHeldUpToTheReserve(t *testing.T) {
	used := 39
	b := New(Options{look: func(tasks bool) usage {
		require.False(t, tasks, "it is a process already")
		return usage{files: 64, filesUsed: used}
	}})
	require.NoError(t, b.Room())
	used = 40
	require.ErrorContains(t, b.Room(), "of 64 file descriptors 40 are open, 24 are kept for status, stop and reload; "+
		"raise the limit")
	b.Lend(1)
	require.NoError(t, b.Room())
}

func TestTheProcessesOfTheUserAreLeftToTheManagerInPart(t *testing.T) {
	u := usage{tasks: 32, tasksUsed: 19, each: 5, tasksBy: "ulimit -u"}
	b := New(Options{look: func(bool) usage { return u }})
	landed, err := b.Admit(t.Context())
	require.NoError(t, err)
	landed()
	u.tasksUsed = 24
	_, err = b.Admit(t.Context())
	require.ErrorContains(t, err, "of the 32 processes and threads that ulimit -u allows 24 exist, 8 are kept for "+
		"the manager")
}

func TestThisProcessIsLookedAt(t *testing.T) {
	u := look(true)
	require.Positive(t, u.files)
	require.Greater(t, u.filesUsed, 3)
	require.Nil(t, u.short(1))
}
