package output

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

// mortal makes options of a manager that can be killed: from then on it saves nothing.
func mortal(o Options) (Options, *atomic.Bool) {
	dead := &atomic.Bool{}
	o.Settled = func() bool { return !dead.Load() }
	return o, dead
}

// burst writes numbered lines and returns the number behind the last.
func (h *house) burst(from, count int) int {
	var b strings.Builder
	for i := from; i < from+count; i++ {
		b.WriteString(numbered(i) + "\n")
	}
	h.stdout(b.String())
	return from + count
}

func TestAReaderComesBackToEveryPlace(t *testing.T) {
	h := newHouse(t, t.TempDir(), Options{})
	h.stdout("o1\no2\n" + strings.Repeat("x", 2*maxLine) + "\no4\n")
	h.stderr("e1\n\ne3")
	for _, stream := range []messages.Stream{"", messages.Stdout, messages.Stderr} {
		all := h.read(messages.OutputQuery{Lines: -1, Stream: stream, Place: true})
		require.Empty(t, all[0].Stream)
		require.NotEmpty(t, all[0].Cursor, "the place where it begins")
		for i, l := range all {
			rest := h.read(messages.OutputQuery{Stream: stream, After: l.Cursor})
			require.Equal(t, all[i+1:], append([]messages.OutputLine{}, rest...), "after %q", l.Cursor)
		}
	}
	both := h.read(messages.OutputQuery{Lines: -1})
	require.Equal(t, "e3", h.readTexts(messages.OutputQuery{After: both[len(both)-2].Cursor,
		Stream: messages.Stderr})[0], "one of two")
	last := both[len(both)-1].Cursor
	require.Empty(t, h.read(messages.OutputQuery{After: last, Lines: 3}), "lines do not count")
	h.stderr(" goes on\n")
	require.Equal(t, []string{" goes on"}, h.readTexts(messages.OutputQuery{After: last}))
}

func TestACursorThatIsNoneIsRefused(t *testing.T) {
	h := newHouse(t, t.TempDir(), Options{})
	h.stdout("one\n")
	for _, after := range []string{"x", "o1", "o1.0"} {
		for _, err := range h.out.Read(t.Context(), messages.OutputQuery{ID: web, After: after}) {
			require.ErrorContains(t, err, fmt.Sprintf("the cursor %q", after))
		}
	}
}

// TestAReaderGoesOnAfterACrash reads in bits with a cursor, while the writer writes, the file is trimmed, and the
// manager dies again and again, with checkpoints on the disk that is older than what was read.
func TestAReaderGoesOnAfterACrash(t *testing.T) {
	onEveryDisk(t, func(t *testing.T, root string) {
		const size = 64 << 10
		o, dead := mortal(Options{MaxSize: size, Forward: true})
		h := newHouse(t, root, o)
		h.stdout("")
		h.out.Follow(web, 1, os.Getpid())
		cursor, wrote, next, skips := "", 1, 1, 0
		read := func(most int) {
			q := messages.OutputQuery{ID: web, Lines: -1, After: cursor, Stream: messages.Stdout}
			for l, err := range h.out.Read(t.Context(), q) {
				require.NoError(t, err)
				cursor = l.Cursor
				if l.Skipped != 0 {
					skips++
					for l.Skipped > 0 {
						l.Skipped -= int64(len(numbered(next)) + 1)
						next++
					}
					require.Zero(t, l.Skipped, "not whole lines were skipped")
				} else {
					if l.Text != numbered(next) {
						require.FailNow(t, "lost, repeated or torn", "%q instead of line %d", l.Text, next)
					}
					next++
				}
				if most--; most == 0 {
					return
				}
			}
		}
		forwarded := func(bytes int64) {
			require.Eventually(t, func() bool { n, _ := h.out.Counters(); return n >= bytes }, time.Minute,
				time.Millisecond)
		}
		for life := range 30 {
			for range 4 {
				before := wrote
				wrote = h.burst(wrote, 200+100*(life%7))
				read((wrote - before) / (1 + life%2) * 4 / 5)
				forwarded(1)
			}
			dead.Store(true)
			h.close()
			o, dead = mortal(Options{MaxSize: size, Forward: true})
			h.open(o)
			read(50) // nobody follows yet
			h.out.Follow(web, 1, os.Getpid())
			read(50)
		}
		wrote = h.burst(wrote, 10)
		h.out.Follow(web, 2, gonePID(t)).Stop()
		read(-1)
		require.Equal(t, wrote, next, "everything was read, or told to be gone")
		require.NotZero(t, skips)
		t.Logf("%d lines, %d times some were gone", wrote, skips)
	})
}

func TestACursorOfAnotherFileBeginsWithWhatIsKept(t *testing.T) {
	replace := func(h *house) {
		require.NoError(h.t, os.WriteFile(h.dir.Stdout(web)+".new",
			[]byte("new 1\nnew 2 is longer than all that was\n"), 0o600))
		require.NoError(h.t, os.Rename(h.dir.Stdout(web)+".new", h.dir.Stdout(web)))
	}
	t.Run("replaced while nobody looked", func(t *testing.T) {
		o, dead := mortal(Options{Forward: true})
		h := newHouse(t, t.TempDir(), o)
		h.stdout("1\n")
		h.out.Follow(web, 1, os.Getpid())
		h.rec.await(t, 1, 0)
		h.stdout("2\n3\n")
		h.rec.await(t, 3, 0)
		dead.Store(true) // within a second: the checkpoint does not know of 2 and 3
		lines := h.read(messages.OutputQuery{Lines: -1, Stream: messages.Stdout})
		h.close()
		replace(h)
		h.open(Options{Forward: true})
		for range 2 {
			got := h.read(messages.OutputQuery{After: lines[2].Cursor, Stream: messages.Stdout})
			require.Len(t, got, 3)
			require.NotZero(t, got[0].Skipped)
			require.Equal(t, "new 1", got[1].Text)
			h.out.Follow(web, 1, os.Getpid()).Stop() // it makes no difference to the next reader
		}
	})
	t.Run("beyond the end", func(t *testing.T) {
		h := newHouse(t, t.TempDir(), Options{})
		h.stdout("one\ntwo\n")
		got := h.read(messages.OutputQuery{After: "o999999.0", Stream: messages.Stdout})
		require.Equal(t, int64(-1), got[0].Skipped)
		require.Equal(t, "one", got[1].Text)
	})
	t.Run("the record has decayed", func(t *testing.T) {
		h := newHouse(t, t.TempDir(), Options{Forward: true})
		h.stdout("one\ntwo\n")
		h.out.Follow(web, 1, os.Getpid()).Stop()
		lines := h.read(messages.OutputQuery{Lines: -1, Stream: messages.Stdout})
		h.close()
		require.NoError(t, os.WriteFile(h.dir.Instance(web)+"/"+checkpointName, []byte("{"), 0o600))
		h.open(Options{Forward: true})
		for range 2 {
			got := h.read(messages.OutputQuery{After: lines[0].Cursor, Stream: messages.Stdout})
			require.Equal(t, int64(-1), got[0].Skipped)
			require.Equal(t, "one", got[1].Text)
			require.Empty(t, h.read(messages.OutputQuery{After: got[2].Cursor, Stream: messages.Stdout}))
			h.out.Follow(web, 1, os.Getpid()).Stop()
		}
	})
	t.Run("while it is read", func(t *testing.T) {
		h := newHouse(t, t.TempDir(), Options{Forward: true})
		h.stdout("1\n")
		f := h.out.Follow(web, 1, os.Getpid())
		defer f.Stop()
		h.rec.await(t, 1, 0)
		var got []string
		for l, err := range h.out.Read(t.Context(), messages.OutputQuery{ID: web, Lines: -1, Follow: true,
			Stream: messages.Stdout}) {
			require.NoError(t, err)
			if got = append(got, l.Text); len(got) == 1 {
				replace(h)
			}
			if len(got) == 3 {
				break
			}
		}
		require.Equal(t, []string{"1", "new 1", "new 2 is longer than all that was"},
			got, "all of the old one had been read")
	})
}

func TestAReaderOfAFileThatComesLaterMissesNothing(t *testing.T) {
	h := newHouse(t, t.TempDir(), Options{Forward: true})
	h.stdout("old\n")
	f := h.out.Follow(web, 1, os.Getpid())
	defer f.Stop()
	h.rec.await(t, 1, 0)
	require.NoError(t, os.Remove(h.dir.Stdout(web)))
	h.rec.await(t, 1, 1) // that it is gone
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for l, err := range h.out.Read(ctx, messages.OutputQuery{ID: web, Follow: true, Place: true}) {
		require.NoError(t, err)
		if l.Stream == "" {
			h.stdout("new\n")
			continue
		}
		require.Zero(t, l.Skipped)
		require.Equal(t, "new", l.Text)
		break
	}
	require.NoError(t, ctx.Err())
}
