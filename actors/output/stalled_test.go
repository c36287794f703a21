package output

import (
	"context"
	"fmt"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
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

// More instances than there are workers write to a disk that does not answer: the output of another disk goes on, no
// more workers than allowed wait, and what has waited goes on as soon as the disk answers.
func TestWorkersThatADiskKeepsWaitingAreReplaced(t *testing.T) {
	root := t.TempDir()
	other := otherDisk(t, root)
	h := newHouse(t, root, Options{Forward: true, patience: 300 * time.Millisecond})
	require.NoError(t, os.Remove(h.dir.Instance(web)))
	require.NoError(t, os.Symlink(other, h.dir.Instance(web)))
	ids := []messages.InstanceID{web}
	for n := range workers() + 2 {
		ids = append(ids, messages.InstanceID(fmt.Sprint("s", n)))
	}
	for _, id := range ids {
		require.NoError(t, os.MkdirAll(h.dir.Instance(id), 0o700))
		h.write(h.dir.Stdout(id), "one\n")
		h.out.Follow(id, 1, os.Getpid())
	}
	lines := len(ids)
	h.rec.await(t, lines, 0)
	device, _ := deviceOf(root)
	waiting := func(least, most int) func() bool {
		return func() bool {
			h.out.mu.Lock()
			defer h.out.mu.Unlock()
			n := h.out.stalled[device]
			return least <= n && n <= most && len(h.out.stalled) == min(n, 1)
		}
	}
	var releases []func()
	for _, id := range ids[1:] {
		releases = append(releases, h.hold(id))
		h.write(h.dir.Stdout(id), "two\n")
	}
	stalled := assert.Eventually(t, waiting(mostStalled, workers()+1), time.Minute, time.Millisecond)
	for range 3 {
		h.stdout("more\n")
		lines++
		h.rec.await(t, lines, 1)
	}
	for _, release := range releases {
		release()
	}
	require.True(t, stalled)
	h.rec.await(t, lines+len(releases), 2)
	require.Eventually(t, waiting(0, 0), time.Minute, time.Millisecond)
	require.Contains(t, h.rec.others()[0], "output is not forwarded, nor its place saved")
	require.Contains(t, h.rec.others()[1], "well again")
}

// otherDisk returns a directory on another file system.
func otherDisk(t *testing.T, root string) string {
	t.Helper()
	here, _ := deviceOf(root)
	for _, base := range []string{"/dev/shm", os.TempDir()} {
		if there, _ := deviceOf(base); there == here {
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
