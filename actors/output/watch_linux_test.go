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
	h.out.watch.mu.Lock()
	h.out.watch.broken = os.ErrInvalid
	h.out.watch.mu.Unlock()
	h.out.wakeAll()
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
		w.mu.Lock()
		defer w.mu.Unlock()
		r, err := loadRecord(h.dir.Instance(web) + "/" + recordName)
		return err == nil && r.Stdout.Next == 4 && r.Stderr.Next == 4 && len(w.streams) == 2
	}, 5*time.Second, time.Millisecond)
	// As if the kernel's queue had overflown: what the watches told was not heard.
	w.mu.Lock()
	for wd, s := range w.streams {
		delete(w.streams, wd)
		s.wd += 1 << 20
	}
	for _, s := range h.out.spools[web].streams {
		w.streams[s.wd] = s
	}
	w.mu.Unlock()
	h.stdout("two\n")
	overflow := make([]byte, unix.SizeofInotifyEvent)
	binary.NativeEndian.PutUint32(overflow[4:], unix.IN_Q_OVERFLOW)
	w.tell(overflow)
	h.rec.await(t, 3, 0)
	h.stdout("three\n")
	h.rec.await(t, 4, 0)
	f.Stop()
}
