package output

import (
	"context"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// reading is a slog.Handler that keeps nothing of a record but what it has made of its lines.
type reading struct {
	slog.Handler
	mu    sync.Mutex
	lines int
	bytes int
	other string // the first line that is not what it should be
	want  string
}

func (r *reading) Enabled(context.Context, slog.Level) bool { return true }
func (r *reading) WithAttrs([]slog.Attr) slog.Handler       { return r }

func (r *reading) Handle(_ context.Context, rec slog.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec.Attrs(func(a slog.Attr) bool {
		if a.Key != "line" {
			return true
		}
		text := a.Value.String()
		r.lines++
		r.bytes += len(text)
		if r.other == "" && text != r.want {
			r.other = strings.Clone(text)
		}
		return false
	})
	return nil
}

func TestLinesThatAreLentAreNoGarbage(t *testing.T) {
	const length, lines = 128, 40_000
	mallocs := func(o Options) (n uint64) {
		r := &reading{want: strings.Repeat("x", length-1)}
		o.Forward, o.Logger = true, slog.New(r)
		h := newHouse(t, t.TempDir(), o)
		h.stdout(strings.Repeat(r.want+"\n", lines))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		h.out.Follow(web, 1, 0).Stop()
		runtime.ReadMemStats(&after)
		r.mu.Lock()
		defer r.mu.Unlock()
		require.Empty(t, r.other)
		require.Equal(t, lines, r.lines)
		require.Equal(t, lines*(length-1), r.bytes)
		return after.Mallocs - before.Mallocs
	}
	require.GreaterOrEqual(t, mallocs(Options{}), uint64(lines))
	require.Less(t, mallocs(Options{Lend: true}), uint64(lines/4))
}

func TestAFloodLeavesAThirdOfAProcessorAndWhoEndsDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &worker{began: time.Now()}
		time.Sleep(2 * time.Millisecond)
		require.Equal(t, time.Millisecond, w.breath())
		time.Sleep(time.Minute) // a disk that has not answered for so long
		require.Equal(t, settle, w.breath())
		w.ending = true
		require.Zero(t, w.breath())
	})
}
