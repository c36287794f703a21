package output

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	opening "procman/actors/record"
	"procman/messages"
)

// hold takes what a worker holds while it takes a head away, which lasts for ever on a disk that does not answer.
func (h *house) hold() (release func()) {
	h.out.mu.Lock()
	s := h.out.spool(web)
	h.out.mu.Unlock()
	s.mu.Lock()
	return s.mu.Unlock
}

func TestAStartIsToldOfADiskThatDoesNotAnswerAndOthersStart(t *testing.T) {
	h := newHouse(t, t.TempDir(), Options{})
	release := h.hold()
	err := h.out.Begin(context.Background(), web)
	host := messages.HostFault(err)
	require.NotNil(t, host, "it waits, and that is no failure of its own")
	require.Equal(t, messages.FaultStateDir, host.Fault)
	require.ErrorContains(t, err, "the disk of its output does not answer since")
	require.NoError(t, h.out.Begin(context.Background(), "db"))
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, h.out.Begin(gone, web), context.Canceled)
	release()
	require.NoError(t, h.out.Begin(context.Background(), web))
}

func TestAReaderIsToldOfADiskThatDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpool(web, "", "", "")
		s.mu.Lock()
		began := time.Now()
		var stalled *opening.StalledError
		require.ErrorAs(t, s.rlock(), &stalled)
		require.Less(t, time.Since(began), 6*time.Second)
		s.mu.Unlock()
		require.NoError(t, s.rlock())
	})
}
