package output

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

func TestEveryLineBecomesARecordOfItsRun(t *testing.T) {
	onEveryDisk(t, func(t *testing.T, root string) {
		h := newHouse(t, root, Options{Forward: true})
		f := h.out.Follow(web, 7, os.Getpid())
		h.stdout("hello\n") // the file comes after its follower
		h.stderr("oops\n\nagain\r\n")
		h.rec.await(t, 4, 0)
		h.stdout("more\n")
		h.rec.await(t, 5, 0)
		f.Stop()
		f.Stop()
		require.Equal(t, []string{"hello", "more"}, h.rec.texts("stdout"))
		require.Equal(t, []string{"oops", "", "again\r"}, h.rec.texts("stderr"))
		for _, l := range h.rec.lines() {
			require.Equal(t, 7, l.Run)
			require.Equal(t, os.Getpid(), l.PID)
		}
		require.Empty(t, h.rec.others())
		forwarded, skipped := h.out.Counters()
		require.Equal(t, int64(len("hello\nmore\noops\n\nagain\r\n")), forwarded)
		require.Zero(t, skipped)
	})
}

func TestStopForwardsALastLineWithoutLineEnd(t *testing.T) {
	h := newHouse(t, t.TempDir(), Options{Forward: true})
	h.stdout("panic: no newl")
	h.out.Follow(web, 1, gonePID(t)).Stop()
	require.Equal(t, []line{{Stream: "stdout", Text: "panic: no newl", Run: 1, PID: h.rec.lines()[0].PID}},
		h.rec.lines())

	// The next run's first line is a line of its own.
	h.stdout("hello\n")
	h.out.Follow(web, 2, gonePID(t)).Stop()
	require.Equal(t, "hello", h.rec.lines()[1].Text)
	require.Equal(t, 2, h.rec.lines()[1].Run)
}

func TestALineOfALivingProcessGoesOnUnderTheNextManager(t *testing.T) {
	root := t.TempDir()
	h := newHouse(t, root, Options{Forward: true})
	h.stdout("half a")
	h.out.Follow(web, 1, os.Getpid()).Stop()
	require.True(t, h.rec.lines()[0].Partial)
	h.close()
	h.open(Options{Forward: true})
	h.stdout(" line\n")
	h.out.Follow(web, 1, os.Getpid()).Stop()
	require.Equal(t, []line{{Stream: "stdout", Text: " line", Run: 1, PID: os.Getpid()}}, h.rec.lines())
}

func TestANewFollowerEndsTheOneBeforeIt(t *testing.T) {
	h := newHouse(t, t.TempDir(), Options{Forward: true})
	first := h.out.Follow(web, 1, os.Getpid())
	h.stdout("one\nha")
	h.rec.await(t, 1, 0)
	second := h.out.Follow(web, 1, os.Getpid()) // an actor was lost, its successor adopts
	h.stdout("lf\n")
	h.rec.await(t, 2, 0)
	third := h.out.Follow(web, 2, os.Getpid())
	h.stdout("two\n")
	h.rec.await(t, 3, 0)
	for _, f := range []interface{ Stop() }{third, first, second} {
		f.Stop()
	}
	require.Equal(t, []string{"one", "half", "two"}, h.rec.texts("stdout"))
}

func TestWhatARunLeftWhenItsManagerDiedIsForwardedAsThatRuns(t *testing.T) {
	root := t.TempDir()
	h := newHouse(t, root, Options{Forward: true})
	h.stdout("one\n")
	h.out.Follow(web, 4, os.Getpid())
	h.rec.await(t, 1, 0)
	h.close() // without Stop: as if it had died, but for the checkpoint
	h.stdout("fatal: last wor")
	h.open(Options{Forward: true})
	f := h.out.Follow(web, 5, 99)
	h.rec.await(t, 1, 0)
	h.stdout("hello\n")
	f.Stop()
	require.Equal(t, []line{
		{Stream: "stdout", Text: "fatal: last wor", Run: 4, PID: os.Getpid()},
		{Stream: "stdout", Text: "hello", Run: 5, PID: 99},
	}, h.rec.lines())
}

func TestEveryByteReachesTheLog(t *testing.T) {
	var log bytes.Buffer
	h := newHouse(t, t.TempDir(), Options{Forward: true, Logger: slog.New(slog.NewJSONHandler(&log, nil))})
	want := []string{"plain", "\x00NUL", "\x1b[31mred\x1b[0m", "latin \xe9", "\xff\xfe\x00", "h\u00e9 \u2028 \"q\" \\",
		"cr\r", "\xe2\x82"}
	h.stdout(strings.Join(want, "\n") + "\n")
	h.out.Follow(web, 1, gonePID(t)).Stop()
	var got []string
	for d := json.NewDecoder(&log); d.More(); {
		var r struct {
			Line   string
			Quoted bool
		}
		require.NoError(t, d.Decode(&r))
		if r.Quoted {
			var err error
			r.Line, err = strconv.Unquote(r.Line)
			require.NoError(t, err)
		}
		got = append(got, r.Line)
	}
	require.Equal(t, want, got)
}

func TestAHugeLineIsForwardedInPieces(t *testing.T) {
	h := newHouse(t, t.TempDir(), Options{Forward: true, MaxSize: 64 << 20})
	huge := strings.Repeat("0123456789€", 10<<20/13)
	h.stdout("before\n" + huge + "\nafter\n" + huge)
	h.out.Follow(web, 1, gonePID(t)).Stop()
	var got []string
	var b strings.Builder
	for _, l := range h.rec.lines() {
		require.LessOrEqual(t, len(l.Text), maxLine)
		require.False(t, l.Quoted, "no rune is torn")
		b.WriteString(l.Text)
		if !l.Partial {
			got = append(got, b.String())
			b.Reset()
		}
	}
	require.Equal(t, 4, len(got))
	require.Equal(t, "before", got[0])
	require.True(t, huge == got[1])
	require.Equal(t, "after", got[2])
	require.Less(t, len(got[3]), len(huge)+1)
	require.True(t, huge == got[3])
}

// TestNoLineIsLostOrTornWhileTheFileIsTrimmed: FAULTS 93.
func TestNoLineIsLostOrTornWhileTheFileIsTrimmed(t *testing.T) {
	onEveryDisk(t, func(t *testing.T, root string) {
		const size = 1 << 20
		count := 200_000
		if strings.HasPrefix(root, "/dev/shm") || testing.Short() {
			count = 60_000 // the steps are the same, on a tmpfs the cut is missing
		}
		h := newHouse(t, root, Options{Forward: true, MaxSize: size})
		out, err := os.OpenFile(h.dir.Stdout(web), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		require.NoError(t, err)
		cmd := role(t, "writer", fmt.Sprint("COUNT=", count))
		cmd.Stdout = out
		require.NoError(t, cmd.Start())
		f := h.out.Follow(web, 1, cmd.Process.Pid)
		require.NoError(t, cmd.Wait())
		require.NoError(t, out.Close())
		f.Stop()
		got := h.rec.texts("stdout")
		require.Equal(t, count, len(got))
		for i, s := range got {
			if s != numbered(i+1) {
				require.FailNow(t, "torn, lost or repeated", "line %d is %q", i+1, s)
			}
		}
		require.Empty(t, h.rec.others())
		require.LessOrEqual(t, occupied(t, h.dir.Stdout(web)), int64(size+size/4+64<<10))

		kept := h.readTexts(messages.OutputQuery{Lines: -1})
		require.Greater(t, len(kept), size/64)
		for i, s := range kept {
			require.Equal(t, numbered(count-len(kept)+i+1), s)
		}
	})
}

func TestAFloodDoesNotStarveTheOthers(t *testing.T) {
	h := newHouse(t, t.TempDir(), Options{Forward: true})
	for i := range workers() {
		id := messages.InstanceID(fmt.Sprint("flood", i))
		require.NoError(t, os.MkdirAll(h.dir.Instance(id), 0o700))
		h.write(h.dir.Stdout(id), strings.Repeat("flood flood flood flood flood flood\n", 12<<20/36))
		h.out.Follow(id, 1, os.Getpid())
	}
	h.stdout("quiet\n")
	f := h.out.Follow(web, 1, os.Getpid())
	f.Stop()
	flood := 0
	for _, l := range h.rec.lines() {
		if l.Text == "quiet" {
			break
		}
		flood += len(l.Text) + 1
	}
	require.LessOrEqual(t, flood, workers()*4*turnBytes, "before the quiet one had its turn")
}

func TestWhatIsTooMuchIsSkippedAndSaid(t *testing.T) {
	onEveryDisk(t, func(t *testing.T, root string) {
		const size = 64 << 10
		h := newHouse(t, root, Options{Forward: true, MaxSize: size})
		var all strings.Builder
		for i := 1; all.Len() < 3*size; i++ {
			all.WriteString(numbered(i) + "\n")
		}
		h.stdout(all.String())
		h.out.Follow(web, 1, gonePID(t)).Stop()
		lines := h.rec.lines()
		require.NotZero(t, number(lines[0].Text), "begins with a whole line: %q", lines[0].Text)
		forwarded, skipped := h.out.Counters()
		require.Equal(t, int64(all.Len()), forwarded+skipped)
		require.InDelta(t, size, forwarded, 100)
		require.Len(t, h.rec.others(), 1)
		require.Contains(t, h.rec.others()[0], "output skipped instance=web run=1")
		require.Contains(t, h.rec.others()[0], fmt.Sprint("bytes=", skipped))
	})
}

func TestAFileSomebodyReplacesOrTruncatesBeginsAnew(t *testing.T) {
	for name, how := range map[string]func(h *house) string{
		"truncated": func(h *house) string {
			require.NoError(h.t, os.Truncate(h.dir.Stdout(web), 0))
			return "truncated"
		},
		"replaced": func(h *house) string {
			require.NoError(h.t, os.WriteFile(h.dir.Stdout(web)+".new", nil, 0o600))
			require.NoError(h.t, os.Rename(h.dir.Stdout(web)+".new", h.dir.Stdout(web)))
			return "replaced"
		},
		"deleted": func(h *house) string {
			require.NoError(h.t, os.Remove(h.dir.Stdout(web)))
			h.rec.await(h.t, 1, 1)
			require.Contains(h.t, h.rec.others()[0], "output file is gone")
			h.rec.shared.others = nil
			return "replaced"
		},
		"overwritten": func(h *house) string {
			require.NoError(h.t, os.WriteFile(h.dir.Stdout(web), []byte("something quite different\n"), 0o600))
			return "reason="
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, t.TempDir(), Options{Forward: true})
			h.stdout("old\n")
			f := h.out.Follow(web, 1, os.Getpid())
			h.rec.await(t, 1, 0)
			reason := how(h)
			h.stdout("new\n")
			h.rec.await(t, 2, 1)
			f.Stop()
			require.Equal(t, "new", h.rec.texts("stdout")[len(h.rec.texts("stdout"))-1])
			require.Len(t, h.rec.others(), 1)
			require.Contains(t, h.rec.others()[0], "output begins anew")
			require.Contains(t, h.rec.others()[0], reason)
		})
	}
}

func TestACheckpointThatIsLostRepeatsWhatIsKept(t *testing.T) {
	root := t.TempDir()
	h := newHouse(t, root, Options{Forward: true})
	h.stdout("one\ntwo\n")
	h.out.Follow(web, 1, gonePID(t)).Stop()
	h.close()
	require.NoError(t, os.WriteFile(h.dir.Instance(web)+"/"+checkpointName, []byte(`{"crc32":1,"rec`), 0o600))
	h.open(Options{Forward: true})
	h.out.Follow(web, 1, gonePID(t)).Stop()
	require.Equal(t, []string{"one", "two"}, h.rec.texts("stdout"))
	require.Len(t, h.rec.others(), 1)
	require.Contains(t, h.rec.others()[0], "the place in the output is lost")
}

func TestACheckpointThatCannotBeSavedIsSaidOnceAndHurtsNobody(t *testing.T) {
	h := newHouse(t, t.TempDir(), Options{Forward: true})
	path := h.dir.Instance(web) + "/" + checkpointName
	require.NoError(t, os.MkdirAll(path+".tmp/x", 0o700)) // root is not stopped by permissions
	h.stdout("one\n")
	f := h.out.Follow(web, 1, os.Getpid())
	h.rec.await(t, 1, 1)
	h.stdout("two\n")
	h.rec.await(t, 2, 1)
	require.Len(t, h.rec.others(), 1)
	require.Contains(t, h.rec.others()[0], "cannot be saved")
	require.NoError(t, os.RemoveAll(path+".tmp"))
	h.stdout("three\n")
	f.Stop()
	require.Equal(t, []string{"one", "two", "three"}, h.rec.texts("stdout"))
	require.Contains(t, h.rec.others()[1], "well again")
}

func TestUnforwardedOutputIsBoundedAllTheSame(t *testing.T) {
	onEveryDisk(t, func(t *testing.T, root string) {
		const size = 64 << 10
		h := newHouse(t, root, Options{MaxSize: size})
		for range 8 {
			h.stdout(strings.Repeat("some line\n", size/10))
		}
		f := h.out.Follow(web, 1, gonePID(t))
		h.stdout("last\n")
		f.Stop()
		require.Empty(t, h.rec.lines())
		require.Empty(t, h.rec.others())
		require.LessOrEqual(t, occupied(t, h.dir.Stdout(web)), int64(size+size/4+8<<10))
		require.Equal(t, []string{"some line", "last"}, h.readTexts(messages.OutputQuery{Lines: 2}))
	})
}

func TestOutputIsFollowedWithoutAWatchToo(t *testing.T) {
	h := newHouse(t, t.TempDir(), Options{Forward: true})
	h.out.mu.Lock()
	lost := h.out.watch
	h.out.watch = nil
	h.out.mu.Unlock()
	if lost != nil {
		require.NoError(t, lost.Close())
	}
	f := h.out.Follow(web, 1, os.Getpid())
	h.stdout("one\n")
	h.rec.await(t, 1, 0)
	h.stdout("two\n")
	h.rec.await(t, 2, 0)
	f.Stop()
}

func TestBadInputIsAnswered(t *testing.T) {
	_, err := New("", Options{})
	require.Error(t, err)
	for _, o := range []Options{{MaxSize: -1}, {MaxSize: 100}, {MaxSize: 1 << 20, MaxBacklog: 5}} {
		_, err = New(messages.StateDir(t.TempDir()), o)
		require.Error(t, err)
	}
	h := newHouse(t, t.TempDir(), Options{})
	h.out.Follow("../x", 1, 1).Stop()
	require.Contains(t, h.rec.others()[0], "../x")
	h.close()
	h.out.Follow(web, 1, 1).Stop()
}

func TestCloseFreesWhoWaitsForStop(t *testing.T) {
	h := newHouse(t, t.TempDir(), Options{Forward: true})
	f := h.out.Follow(web, 1, os.Getpid())
	h.close()
	done := make(chan struct{})
	go func() { f.Stop(); close(done) }()
	select {
	case <-done:
	case <-time.After(time.Minute):
		require.Fail(t, "Stop hangs after Close")
	}
}

func TestARunIsSavedAtItsBeginAndAtItsEndAndOnceForWhatItWrote(t *testing.T) {
	var saves atomic.Int32
	h := newHouse(t, t.TempDir(), Options{Forward: true, saveEvery: 50 * time.Millisecond, step: func(name string) {
		if name == "saving" {
			saves.Add(1)
		}
	}})
	saved := func(is func(c checkpointFile) bool) {
		t.Helper()
		require.Eventually(t, func() bool {
			c, err := loadCheckpoints(h.dir.OutputPlace(web))
			return err == nil && is(c)
		}, time.Minute, time.Millisecond)
	}
	h.stdout("")
	h.stderr("")
	require.NoError(t, h.out.Begin(context.Background(), web))
	f := h.out.Follow(web, 1, gonePID(t))
	saved(func(c checkpointFile) bool { return c.Run == 1 && c.Stdout.Known && c.Stderr.Known })
	require.EqualValues(t, 1, saves.Load(), "with both files")
	h.stdout("one\n")
	h.rec.await(t, 1, 0)
	saved(func(c checkpointFile) bool { return c.Stdout.Next == 4 })
	require.EqualValues(t, 2, saves.Load())
	f.Stop()
	saved(func(c checkpointFile) bool { return c.Ended })
	require.EqualValues(t, 3, saves.Load())

	require.NoError(t, h.out.Begin(context.Background(), web))
	f = h.out.Follow(web, 2, gonePID(t))
	saved(func(c checkpointFile) bool { return c.Run == 2 && c.Stdout.Start == 4 })
	require.Eventually(t, func() bool { // it has nothing to save
		h.out.mu.Lock()
		defer h.out.mu.Unlock()
		s := h.out.sources[web]
		return !s.busy && !s.queued && s.timer == nil
	}, time.Minute, time.Millisecond)
	require.EqualValues(t, 4, saves.Load())
	f.Stop()
	require.EqualValues(t, 5, saves.Load())
}
