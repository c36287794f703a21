package output

import (
	"encoding/binary"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestALostWatchIsReplacedByLookingEverySecond(t *testing.T) {
	h := newHouse(t, t.TempDir(), Options{Forward: true})
	f := h.out.Follow(web, 1, os.Getpid())
	h.stdout("one\n")
	h.rec.await(t, 1, 0)
	h.out.mu.Lock()
	h.out.watch.broken = os.ErrInvalid
	h.out.wakeAll()
	h.out.mu.Unlock()
	h.stdout("two\n")
	h.stderr("three\n")
	h.rec.await(t, 3, 1)
	require.Len(t, h.rec.others(), 1)
	require.Contains(t, h.rec.others()[0], "looked at every second")
	f.Stop()
}

func TestLostEventsMakeEverybodyLook(t *testing.T) {
	h := newHouse(t, t.TempDir(), Options{Forward: true})
	h.stdout("one\n")
	h.stderr("one\n")
	f := h.out.Follow(web, 1, os.Getpid())
	h.rec.await(t, 2, 0)
	w := h.out.watch
	require.Eventually(t, func() bool { // until nothing but an event will wake it
		h.out.mu.Lock()
		defer h.out.mu.Unlock()
		r, err := loadCheckpoints(h.dir.Instance(web) + "/" + checkpointName)
		return err == nil && r.Stdout.Next == 4 && r.Stderr.Next == 4 && len(w.tails) == 2
	}, 5*time.Second, time.Millisecond)
	// As if the kernel's queue had overflown: what the watches told was not heard.
	h.out.mu.Lock()
	for wd, t := range w.tails {
		delete(w.tails, wd)
		t.wd += 1 << 20
	}
	for _, t := range h.out.sources[web].tails {
		w.tails[t.wd] = t
	}
	h.out.mu.Unlock()
	h.stdout("two\n")
	overflow := make([]byte, unix.SizeofInotifyEvent)
	binary.NativeEndian.PutUint32(overflow[4:], unix.IN_Q_OVERFLOW)
	h.out.mu.Lock()
	w.tell(overflow)
	h.out.mu.Unlock()
	h.rec.await(t, 3, 0)
	h.stdout("three\n")
	h.rec.await(t, 4, 0)
	f.Stop()
}

// A watch is made without a lock, since its disk may stall: what it tells may be there before anybody knows whose it
// is, and so may be its end, if it is one that had told and was not gone yet.
func TestAnEventThatIsThereBeforeItsWatchIsKnownMakesItsSourceLook(t *testing.T) {
	h := newHouse(t, t.TempDir(), Options{Forward: true})
	h.stdout("one\n")
	w := h.out.watch
	heard := func() int {
		h.out.mu.Lock()
		defer h.out.mu.Unlock()
		return w.unheard
	}
	watched := func() int32 {
		wd, err := unix.InotifyAddWatch(w.fd, h.dir.Stdout(web), unix.IN_MODIFY|unix.IN_ONESHOT)
		require.NoError(t, err)
		return int32(wd)
	}
	for _, c := range []struct {
		events  int
		happens func(wd int32)
	}{
		{2, func(int32) { h.stdout("two\n") }}, // it tells, and ends
		{1, func(wd int32) {
			_, err := unix.InotifyRmWatch(w.fd, uint32(wd))
			require.NoError(t, err)
		}},
	} {
		before := heard()
		wd := watched()
		c.happens(wd)
		require.Eventually(t, func() bool { return heard() == before+c.events }, time.Minute, time.Millisecond)
		s := newSource(h.out, web)
		s.busy = true // as while it is armed
		w.claim(s.tails[0], wd, before)
		require.True(t, s.queued, "it looks again")
		require.Zero(t, s.tails[0].wd, "and makes another watch")
	}
	s := newSource(h.out, web)
	wd := watched()
	w.claim(s.tails[0], wd, heard())
	require.Equal(t, wd, s.tails[0].wd)
}

// A file is not opened that is as it was: its watch, its size and its time tell.
func TestAFileThatIsOverwrittenInPlaceBeginsAnewThoughItsSizeIsTheSame(t *testing.T) {
	h := newHouse(t, t.TempDir(), Options{Forward: true})
	h.stdout("one\n")
	h.stderr("")
	f := h.out.Follow(web, 1, gonePID(t))
	h.rec.await(t, 1, 0)
	require.Eventually(t, func() bool {
		h.out.mu.Lock()
		defer h.out.mu.Unlock()
		return len(h.out.watch.tails) == 2
	}, time.Minute, time.Millisecond)
	require.NoError(t, os.WriteFile(h.dir.Stdout(web), []byte("two\n"), 0o600))
	h.rec.await(t, 2, 1)
	f.Stop()

	// And by the next run, before it has a watch.
	f = h.out.Follow(web, 2, gonePID(t))
	f.Stop()
	h.close()
	require.NoError(t, os.WriteFile(h.dir.Stdout(web), []byte("six\n"), 0o600))
	h.open(Options{Forward: true})
	h.out.Follow(web, 3, gonePID(t)).Stop()
	require.Equal(t, []string{"six"}, h.rec.texts("stdout"))
}
