package output

import (
	"context"
	"fmt"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"procman/actors/record"
	"procman/messages"
)

// hold takes what a worker holds while it trims a file, which lasts for ever on a disk that does not answer.
func (h *house) hold(id messages.InstanceID) (release func()) {
	h.out.mu.Lock()
	s := h.out.source(id)
	h.out.mu.Unlock()
	s.mu.Lock()
	return s.mu.Unlock
}

func TestAStartIsToldOfADiskThatDoesNotAnswerAndOthersStart(t *testing.T) {
	h := newHouse(t, t.TempDir(), Options{})
	release := h.hold(web)
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
		s := newSource(&Outputs{}, web)
		s.mu.Lock()
		began := time.Now()
		var stalled *record.StalledError
		require.ErrorAs(t, s.rlock(), &stalled)
		require.Less(t, time.Since(began), 6*time.Second)
		s.mu.Unlock()
		require.NoError(t, s.rlock())
	})
}

// More instances than there are workers write to a disk that does not answer: the output of another disk goes on, no more workers
// than allowed wait, and what has waited goes on as soon as the disk answers.
func TestWorkersThatADiskKeepsWaitingAreReplaced(t *testing.T) {
	onEveryDisk(t, func(t *testing.T, root string) {
		other := otherDisk(t, root)
		h := newHouse(t, root, Options{Forward: true, patience: 50 * time.Millisecond})
		require.NoError(t, os.Remove(h.dir.Instance(web)))
		require.NoError(t, os.Symlink(other, h.dir.Instance(web)))
		h.stdout("one\n")
		h.out.Follow(web, 1, os.Getpid())
		h.rec.await(t, 1, 0)
		stalled := workers() + 2
		for n := range stalled {
			id := messages.InstanceID(fmt.Sprint("s", n))
			require.NoError(t, os.MkdirAll(h.dir.Instance(id), 0o700))
			h.write(h.dir.Stdout(id), "one\n")
			h.out.Follow(id, 1, os.Getpid())
		}
		h.rec.await(t, 1+stalled, 0)
		var releases []func()
		for n := range stalled {
			id := messages.InstanceID(fmt.Sprint("s", n))
			releases = append(releases, h.hold(id))
			h.write(h.dir.Stdout(id), "two\n")
		}
		h.rec.await(t, 1+stalled, 1)
		require.Contains(t, h.rec.others()[0], "output is not forwarded, nor its place saved")
		for n := range 3 {
			h.stdout(fmt.Sprint("line ", n, "\n"))
			h.rec.await(t, 1+stalled+n+1, 1)
		}
		h.out.mu.Lock()
		waiting := h.out.stalled
		require.Len(t, waiting, 1)
		for _, workers := range waiting {
			require.LessOrEqual(t, workers, mostStalled)
		}
		h.out.mu.Unlock()
		for _, release := range releases {
			release()
		}
		h.rec.await(t, 1+stalled+3+stalled, 2)
		require.Len(t, h.rec.others(), 2)
		require.Contains(t, h.rec.others()[1], "well again")
	})
}

// otherDisk returns a directory on another file system.
func otherDisk(t *testing.T, root string) string {
	t.Helper()
	for _, base := range []string{"/dev/shm", os.TempDir()} {
		if deviceOf(base) == deviceOf(root) {
			continue
		}
		dir, err := os.MkdirTemp(base, "output")
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
		return dir
	}
	t.Skip("there is one file system only")
	return ""
}
