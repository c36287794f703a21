package spawn

import (
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/actors/record"
	"procman/messages"
)

// stall takes all that the spawner has for the state disk, as a file system that does not answer does, until heal.
func stall(t *testing.T, s *Spawner) (heal func()) {
	t.Helper()
	gate := make(chan struct{})
	for taken := 0; taken < diskThreads; {
		left, err := s.disk.Do(t.Context(), time.Millisecond, func() error { <-gate; return nil }, nil)
		require.Error(t, err)
		if left { // else something before it was not written yet
			taken++
		}
	}
	return func() { close(gate) }
}

func TestADiskThatStallsHidesNoDeathAndTheRecordCatchesUp(t *testing.T) {
	t.Parallel()
	dir := stateDir(t)
	s := opened(t, dir)
	p := spawned(t, s, shell("exit 7"))
	before := spawned(t, s, sleeper("b"))
	heal := stall(t, s)
	require.NoError(t, before.Signal(syscall.SIGKILL, messages.LeftoversEnd))
	require.Equal(t, 7, p.Wait().Code)
	require.Equal(t, "KILL", before.Wait().Signal)
	eventually(t, "it is said", func() bool { return s.Stalled() != nil })
	heal()
	eventually(t, "the end is on record", func() bool {
		var r runRecord
		return record.Read(dir.Run("b"), runKind, &r) == nil && r.Exit != nil && r.Exit.Signal == "KILL"
	})
}

func TestAStartOnADiskThatStallsSaysSoAndForksNothing(t *testing.T) {
	t.Parallel()
	dir := stateDir(t)
	s := opened(t, dir)
	heal := stall(t, s)
	_, err := s.Spawn(t.Context(), messages.Launch{App: sleeper("a"), Run: 1, Port: 30001})
	var start *messages.StartError
	require.ErrorAs(t, err, &start)
	require.Equal(t, messages.FaultStateDir, start.Fault)
	require.ErrorContains(t, err, "the state disk does not answer since")
	heal()
	require.Empty(t, tagged(t, dir))
	spawned(t, s, sleeper("a"))
}

func TestWhatWasPutInTheWayOfARecordKeepsNobodyWaiting(t *testing.T) {
	t.Parallel()
	dir := stateDir(t)
	s := opened(t, dir)
	p := spawned(t, s, sleeper("a"))
	for _, path := range []string{dir.Run("a"), dir.Memory("a")} {
		require.NoError(t, syscall.Mkfifo(record.Staged(path), 0o600))
	}
	require.NoError(t, p.Signal(syscall.SIGKILL, messages.LeftoversEnd))
	require.Equal(t, "KILL", p.Wait().Signal)
	require.NoError(t, s.Remember(messages.Memory{ID: "a", Run: 1, Held: true}))
	eventually(t, "the end is on record", func() bool {
		var r runRecord
		return record.Read(dir.Run("a"), runKind, &r) == nil && r.Exit != nil
	})
	require.NoError(t, os.Remove(dir.Stdout("a")))
	require.NoError(t, syscall.Mkfifo(dir.Stdout("a"), 0o600))
	_, err := s.Spawn(t.Context(), messages.Launch{App: sleeper("a"), Run: 2, Port: 30001})
	require.ErrorContains(t, err, "is a fifo, not a regular file; move it away")
}
