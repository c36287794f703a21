package output

import (
	"context"
	"fmt"
	"hash/crc32"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

func (h *house) earlier(lines int) []string {
	h.t.Helper()
	return h.readTexts(messages.OutputQuery{Lines: lines, Stream: messages.Stderr, Earlier: true})
}

func TestWhatEarlierRunsWroteEndsWhereTheNewestBegins(t *testing.T) {
	onEveryDisk(t, func(t *testing.T, root string) {
		h := newHouse(t, root, Options{Forward: true})
		require.Empty(t, h.earlier(-1), "there is nothing at all")
		h.stdout("")
		h.stderr("")
		require.NoError(h.t, h.out.Begin(context.Background(), web))
		f := h.out.Follow(web, 1, gonePID(t))
		h.stderr("first 1\nfirst 2\n")
		h.rec.await(t, 2, 0)
		require.Empty(t, h.earlier(-1), "the newest run is the first one")
		h.stderr("first: last wor")
		f.Stop()

		require.NoError(h.t, h.out.Begin(context.Background(), web))
		require.Equal(t, []string{"first 2", "first: last wor"}, h.earlier(2), "as soon as it is about to start")
		f = h.out.Follow(web, 2, os.Getpid())
		h.stderr("second\n")
		h.rec.await(t, 4, 0)
		require.Equal(t, []string{"first 2", "first: last wor"}, h.earlier(2))
		f.Stop()

		// The next manager adopts.
		h.close()
		h.open(Options{Forward: true})
		require.Equal(t, []string{"first 1", "first 2", "first: last wor"}, h.earlier(-1), "nobody follows yet")
		f = h.out.Follow(web, 2, os.Getpid())
		h.stderr("second again\n")
		h.rec.await(t, 1, 0)
		require.Equal(t, []string{"first: last wor"}, h.earlier(1))
		require.Equal(t, []string{"first: last wor", "second", "second again"},
			h.readTexts(messages.OutputQuery{Lines: -1, Stream: messages.Stderr})[2:])
		f.Stop()

		require.NoError(h.t, h.out.Begin(context.Background(), web))
		f = h.out.Follow(web, 3, gonePID(t))
		require.Equal(t, []string{"second again"}, h.earlier(1))
		f.Stop()
	})
}

func TestWhereTheNewestRunBeginsIsKnownAfterACrash(t *testing.T) {
	o, dead := mortal(Options{Forward: true, MaxSize: 64 << 10, saveEvery: time.Hour})
	h := newHouse(t, t.TempDir(), o)
	for i := range 8000 {
		if i == 7000 {
			h.stderr("fatal\n")
			break
		}
		h.stderr(numbered(i) + "\n")
	}
	require.NoError(h.t, h.out.Begin(context.Background(), web))
	h.stderr("hello\n")
	h.out.Follow(web, 2, os.Getpid()) // of the first run nobody ever knew; the head goes in the same turn
	h.rec.await(t, 1, 0)
	require.Equal(t, []string{"fatal"}, h.earlier(1))
	require.Eventually(t, func() bool {
		r, err := loadCheckpoints(h.dir.Instance(web) + "/" + checkpointName)
		return err == nil && r.Stderr.Start > 0
	}, 10*time.Second, time.Millisecond, "at once, and not when it is time to save")
	dead.Store(true)
	h.close()
	h.open(Options{Forward: true, MaxSize: 64 << 10})
	require.Equal(t, []string{numbered(6999), "fatal"}, h.earlier(2))

	// A run that began while this manager was down, or of which nobody noted it, makes it unknown.
	h.out.Follow(web, 3, os.Getpid()).Stop()
	require.Empty(t, h.earlier(-1))
}

func TestWhereTheNewestRunBeginsIsForgottenWithTheFile(t *testing.T) {
	h := newHouse(t, t.TempDir(), Options{Forward: true})
	h.stderr("old\n")
	require.NoError(h.t, h.out.Begin(context.Background(), web))
	f := h.out.Follow(web, 1, os.Getpid())
	defer f.Stop()
	h.rec.await(t, 1, 0)
	require.Equal(t, []string{"old"}, h.earlier(-1))
	require.NoError(t, os.Truncate(h.dir.Stderr(web), 0))
	h.stderr("new\n")
	h.rec.await(t, 2, 1)
	require.Empty(t, h.earlier(-1))
}

func TestARecordOfAnOlderManagerIsRead(t *testing.T) {
	h := newHouse(t, t.TempDir(), Options{Forward: true})
	h.stderr("one\ntwo\n")
	f, err := statPath(h.dir.Stderr(web))
	require.NoError(t, err)
	body := fmt.Sprintf(`{"version":1,"run":1,"pid":%d,"ended":false,"stdout":{"known":false,"base":0,"next":0},`+
		`"stderr":{"known":true,"inode":%d,"born":%d,"base":0,"next":4,"tail":"b25lCg=="}}`, os.Getpid(),
		f.Inode, f.Born)
	r, err := decodeCheckpoints(fmt.Appendf(nil, `{"crc32":%d,"record":%s}`, crc32.ChecksumIEEE([]byte(body)), body))
	require.NoError(t, err)
	require.NoError(t, r.save(h.dir.Instance(web)+"/"+checkpointName))
	h.out.Follow(web, 1, os.Getpid()).Stop()
	require.Equal(t, []string{"two"}, h.rec.texts("stderr"))
	require.Empty(t, h.earlier(-1))
}

// F150: `why` showed lines of earlier runs among those of the run that ended.
func TestALoneRunHasTheLinesOfNoOther(t *testing.T) {
	h := newHouse(t, t.TempDir(), Options{Forward: true})
	lone := func(earlier bool) []string {
		h.t.Helper()
		return h.readTexts(messages.OutputQuery{Lines: 10, Stream: messages.Stderr, Earlier: earlier, Lone: true})
	}
	h.stdout("")
	h.stderr("")
	run := func(n int, texts ...string) {
		require.NoError(h.t, h.out.Begin(context.Background(), web))
		f := h.out.Follow(web, n, gonePID(t))
		for _, text := range texts {
			h.stderr(text + "\n")
		}
		f.Stop()
	}
	run(1, "one")
	require.Equal(t, []string{"one"}, lone(false))
	run(2, "two", "two again")
	require.Equal(t, []string{"two", "two again"}, lone(false))
	require.Equal(t, []string{"one"}, lone(true))
	run(3)
	require.Empty(t, lone(false), "it said nothing")
	require.Equal(t, []string{"two", "two again"}, lone(true))
	require.NoError(h.t, h.out.Begin(context.Background(), web))
	require.Empty(t, lone(false), "the fourth has no process yet, and the third said nothing")

	h.close()
	h.open(Options{Forward: true})
	require.Equal(t, []string{"two", "two again"}, lone(true), "the next manager knows it, too")
	run(4, "four")
	require.Equal(t, []string{"four"}, lone(false))
	require.Empty(t, lone(true))
}
