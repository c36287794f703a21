package events

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"procman/actors/record"
	"procman/messages"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open opens a log that is closed at the end of the test.
func open(t testing.TB, path string, o Options) *Log {
	t.Helper()
	l, err := Open(path, o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	return l
}

func event(n int) messages.Event {
	return messages.Event{At: time.Now(), What: messages.InstanceStarted, ID: messages.InstanceID(fmt.Sprint("i", n%3)),
		By: messages.ByManager, Run: n}
}

// runs returns the numbers of the events that a query gives, as event made them; 0 for one that tells of lost ones.
func runs(t testing.TB, l *Log, q messages.EventQuery) (numbers []int, last messages.Cursor) {
	t.Helper()
	numbers = []int{}
	for logged, err := range l.Read(t.Context(), q) {
		require.NoError(t, err)
		e, err := logged.Event()
		require.NoError(t, err)
		require.Equal(t, logged.Cursor, e.Cursor)
		require.GreaterOrEqual(t, logged.Cursor, last, "cursors grow")
		last = logged.Cursor
		numbers = append(numbers, e.Run)
	}
	return numbers, last
}

func upTo(n int) []int {
	list := []int{}
	for i := 1; i <= n; i++ {
		list = append(list, i)
	}
	return list
}

// fill writes events 1 to n to a log and closes it.
func fill(t testing.TB, path string, n int) {
	t.Helper()
	l, err := Open(path, Options{})
	require.NoError(t, err)
	for i := range n {
		l.Append(event(i + 1))
	}
	require.NoError(t, l.Close())
}

func TestWhatIsAppendedIsReadInItsOrderAlsoByALaterManager(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	fill(t, path, 10)
	l := open(t, path, Options{})
	all, last := runs(t, l, messages.EventQuery{})
	require.Equal(t, upTo(10), all)
	l.Append(event(11))
	require.Eventually(t, func() bool { all, _ = runs(t, l, messages.EventQuery{Since: last}); return len(all) == 1 },
		time.Minute, time.Millisecond)
	require.Equal(t, []int{11}, all)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

func TestAReaderGoesOnBehindItsCursor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	fill(t, path, 2000)
	l := open(t, path, Options{})
	var cursors []messages.Cursor
	for e, err := range l.Read(t.Context(), messages.EventQuery{}) {
		require.NoError(t, err)
		cursors = append(cursors, e.Cursor)
	}
	for _, n := range []int{0, 1, 2, 999, 1000, 1998, 1999} {
		rest, _ := runs(t, l, messages.EventQuery{Since: cursors[n]})
		require.Equal(t, upTo(2000)[n+1:], rest)
	}
}

func TestTheNewestEventsOfOneInstance(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	fill(t, path, 1000)
	l := open(t, path, Options{})
	got, _ := runs(t, l, messages.EventQuery{ID: "i1", Last: 3})
	require.Equal(t, []int{994, 997, 1000}, got)
	got, _ = runs(t, l, messages.EventQuery{ID: "i0", Last: 1})
	require.Equal(t, []int{999}, got)
	got, _ = runs(t, l, messages.EventQuery{ID: "nobody", Last: 3})
	require.Empty(t, got)
	got, _ = runs(t, l, messages.EventQuery{ID: "i2"})
	require.Len(t, got, 333)
}

func TestEventsThatAreTooOldAreLeftOut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	l, err := Open(path, Options{})
	require.NoError(t, err)
	for n := range 1000 {
		e := event(n + 1)
		e.At = time.Now().Add(-time.Duration(1000-n) * time.Minute)
		l.Append(e)
	}
	require.NoError(t, l.Close())
	l = open(t, path, Options{})
	got, _ := runs(t, l, messages.EventQuery{Age: 10*time.Minute + 30*time.Second})
	require.Equal(t, upTo(1000)[990:], got)
}

func TestALogThatIsCutAtAnyByteIsReadUpToThereAndGoesOn(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "events.jsonl")
	fill(t, path, 4)
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	for cut := range len(whole) + 1 {
		require.NoError(t, os.WriteFile(path, whole[:cut], 0o600))
		before := bytes.Count(whole[:cut], []byte("\n"))
		l, err := Open(path, Options{})
		require.NoError(t, err)
		l.Append(event(99))
		require.NoError(t, l.Close())
		l = open(t, path, Options{})
		got, _ := runs(t, l, messages.EventQuery{})
		require.Equal(t, append(upTo(before), 99), got, "cut at byte %d", cut)
	}
}

func TestADamagedLogNeverKeepsTheDaemonFromGoingOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	fill(t, path, 20)
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	for n := range 300 {
		damaged := bytes.Clone(whole)
		for range 1 + n%4 {
			damaged[rand.IntN(len(damaged))] ^= 1 << rand.IntN(8)
		}
		require.NoError(t, os.WriteFile(path, damaged, 0o600))
		l, err := Open(path, Options{})
		require.NoError(t, err)
		l.Append(event(99))
		require.NoError(t, l.Close())
		l, err = Open(path, Options{})
		require.NoError(t, err)
		read := 0
		last := 0
		for logged, err := range l.Read(t.Context(), messages.EventQuery{}) {
			require.NoError(t, err)
			read++
			if e, err := logged.Event(); err == nil {
				last = e.Run
			}
		}
		require.GreaterOrEqual(t, read, 20-2*4, "what is whole is read")
		require.Equal(t, 99, last, "and what came after the damage")
		require.NoError(t, l.Close())
	}
}

func TestALogOfGarbageIsPassedOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	require.NoError(t, os.WriteFile(path, append(bytes.Repeat([]byte{0}, 100000), '\n'), 0o600))
	l := open(t, path, Options{})
	l.Append(event(1))
	require.Eventually(t, func() bool { got, _ := runs(t, l, messages.EventQuery{}); return len(got) == 1 },
		time.Minute, time.Millisecond)
}

func TestCursorsOfALogThatWasDeletedAreNeverGivenAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	fill(t, path, 100)
	l, err := Open(path, Options{})
	require.NoError(t, err)
	_, last := runs(t, l, messages.EventQuery{})
	require.NoError(t, l.Close())
	require.NoError(t, os.Remove(path))
	fill(t, path, 1)
	l = open(t, path, Options{})
	_, first := runs(t, l, messages.EventQuery{})
	require.Greater(t, first, last)
	got, _ := runs(t, l, messages.EventQuery{Since: last})
	require.Equal(t, []int{0, 1}, got, "a reader of the old one is told that there may be a gap")
}

func TestACursorFromAnotherLogGivesAllThatIsKeptAndSaysSo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	fill(t, path, 3)
	l := open(t, path, Options{})
	var said []string
	for logged, err := range l.Read(t.Context(), messages.EventQuery{Since: 1 << 60}) {
		require.NoError(t, err)
		e, err := logged.Event()
		require.NoError(t, err)
		said = append(said, string(e.What)+" "+e.Why)
	}
	require.Len(t, said, 4)
	require.Equal(t, "events lost the cursor is not of this log; what follows is all that is kept", said[0])
}

func TestTheLogIsBoundedAndAFollowerMissesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	l := open(t, path, Options{MaxSize: 16 << 10})
	ctx, cancel := context.WithCancel(t.Context())
	const all = 5000
	var followers sync.WaitGroup
	got := make([][]int, 3)
	var slowest [3]atomic.Int64
	begun := make(chan struct{}, len(got))
	for n := range got {
		followers.Go(func() {
			for logged, err := range l.Read(ctx, messages.EventQuery{Follow: true}) {
				if err != nil {
					t.Error(err)
					return
				}
				e, err := logged.Event()
				if err != nil {
					t.Error(err)
					return
				}
				if len(got[n]) == 0 {
					begun <- struct{}{}
				}
				slowest[n].Store(int64(e.Run))
				if got[n] = append(got[n], e.Run); e.Run == all {
					return
				}
			}
		})
	}
	l.Append(event(1))
	for range got {
		<-begun
	}
	for n := 2; n <= all; n++ {
		l.Append(event(n))
		for n%20 == 0 && slices.ContainsFunc([]*atomic.Int64{&slowest[0], &slowest[1], &slowest[2]},
			func(s *atomic.Int64) bool { return s.Load() < int64(n-20) }) {
			time.Sleep(50 * time.Microsecond) // a reader that lags by half the log would rightly miss some
		}
	}
	followers.Wait()
	cancel()
	for n := range got {
		require.Equal(t, upTo(all), got[n], "no event missing, none twice")
	}
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Less(t, info.Size(), int64(64<<10), "bounded, but for one batch")
	kept, _ := runs(t, l, messages.EventQuery{})
	require.Equal(t, all, kept[len(kept)-1])
	require.Less(t, len(kept), all)
	_, err = os.Stat(path + ".new")
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestAReaderThatIsTooSlowIsToldWhatItMissed(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "events.jsonl"), Options{MaxSize: 4 << 10})
	step, seen := make(chan struct{}), make(chan messages.Event)
	go func() {
		defer close(seen)
		for logged, err := range l.Read(t.Context(), messages.EventQuery{Follow: true}) {
			<-step
			if e, bad := logged.Event(); err == nil && bad == nil {
				seen <- e
			}
		}
	}()
	const all = 500
	for n := 1; n <= all; n++ {
		l.Append(event(n))
		for kept := 0; n%10 == 0 && kept < n; { // one batch after the other
			list, _ := runs(t, l, messages.EventQuery{Last: 1})
			if len(list) > 0 {
				kept = list[0]
			}
		}
	}
	told, last := 0, 0
	for close(step); last < all; {
		e := <-seen
		if e.What == messages.EventsLost {
			told++
			continue
		}
		require.True(t, e.Run == last+1 || told > 0, "no gap that is not told of: %d after %d", e.Run, last)
		last = e.Run
	}
	require.Positive(t, told)
	require.NoError(t, l.Close())
	for range seen {
	}
}

func TestALogThatIsDeletedWhileItIsUsedIsMadeAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	l := open(t, path, Options{})
	next := make(chan int)
	go func() {
		defer close(next)
		for logged, err := range l.Read(t.Context(), messages.EventQuery{Follow: true}) {
			if e, bad := logged.Event(); err == nil && bad == nil {
				next <- e.Run
			}
		}
	}()
	l.Append(event(1))
	require.Equal(t, 1, <-next)
	require.NoError(t, os.Remove(path))
	l.Append(event(2))
	require.Equal(t, 2, <-next)
	require.FileExists(t, path)
	require.NoError(t, l.Close())
	_, open := <-next
	require.False(t, open, "the end of the log ends its readers")
}

func TestEventsThatCannotBeWrittenAreCounted(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "events.jsonl")
	var said bytes.Buffer
	l := open(t, path, Options{Logger: slog.New(slog.NewTextHandler(&lockedBuffer{to: &said}, nil))})
	l.Append(event(1))
	require.Eventually(t, func() bool { got, _ := runs(t, l, messages.EventQuery{}); return len(got) == 1 },
		time.Minute, time.Millisecond)
	// A directory in its place: the disk says no.
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.Mkdir(path, 0o700))
	for n := 2; n <= 5; n++ {
		l.Append(event(n))
	}
	require.Eventually(t, func() bool { l.mu.Lock(); defer l.mu.Unlock(); return l.lost == 4 }, time.Minute,
		time.Millisecond)
	require.NoError(t, os.Remove(path))
	l.Append(event(6))
	require.Eventually(t, func() bool { got, _ := runs(t, l, messages.EventQuery{}); return len(got) == 2 },
		time.Minute, time.Millisecond)
	var why string
	for logged, err := range l.Read(t.Context(), messages.EventQuery{}) {
		require.NoError(t, err)
		if e, _ := logged.Event(); e.What == messages.EventsLost {
			why = e.Why
		}
	}
	require.Equal(t, "4 events could not be written", why)
	require.Equal(t, 1, strings.Count(said.String(), "events cannot be written"), "said once")
}

// lockedBuffer is a writer for several goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	to *bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.to.Write(p)
}

func TestAReasonThatIsTooLongIsShortened(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "events.jsonl"), Options{})
	l.Append(messages.Event{Why: strings.Repeat("ü", 1<<20)})
	var why string
	require.Eventually(t, func() bool {
		for logged, err := range l.Read(t.Context(), messages.EventQuery{}) {
			e, bad := logged.Event()
			require.NoError(t, errors.Join(err, bad))
			why = e.Why
		}
		return why != ""
	}, time.Second, time.Millisecond)
	require.Equal(t, strings.Repeat("ü", maxWhy/2)+"…", why)
}

func TestALogThatCannotBeCutDownStopsGrowing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	l := open(t, path, Options{MaxSize: 4 << 10})
	require.NoError(t, os.MkdirAll(path+".new/x", 0o700)) // in the way of its successor
	for n := range 1000 {
		l.Append(event(n))
		if n%10 == 0 {
			require.Eventually(t, func() bool { return !l.busy() }, time.Minute, time.Millisecond)
		}
	}
	require.Eventually(t, func() bool { return !l.busy() }, time.Minute, time.Millisecond)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Less(t, info.Size(), int64(12<<10))
	require.NoError(t, os.RemoveAll(path+".new"))
	l.Append(event(1000))
	require.Eventually(t, func() bool {
		got, _ := runs(t, l, messages.EventQuery{Last: 1})
		return len(got) == 1 && got[0] == 1000
	}, time.Second, time.Millisecond)
}

// busy reports whether something waits to be written.
func (l *Log) busy() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.waiting) > 0
}

func TestAnEventKeepsEveryFieldOnItsWay(t *testing.T) {
	e := messages.Event{Cursor: 7, At: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), What: messages.InstanceRestarting,
		ID: "web", By: "uid 1000", Command: "restart",
		Phase: messages.Backoff, Run: 2, PID: 3, Port: 4, Why: "exited with code 1", Bad: true,
		Exit:  &messages.Exit{Code: 1, Known: true, Reason: messages.ReasonExit},
		Delay: 1500 * time.Millisecond, Attempt: 5}
	text, err := json.Marshal(e)
	require.NoError(t, err)
	var got messages.Event
	require.NoError(t, json.Unmarshal(text, &got))
	require.Equal(t, e, got)
	line := record.SealLine(bytes.Clone(text))
	logged, ok := unseal(line[:len(line)-1])
	require.True(t, ok)
	require.Equal(t, messages.LoggedEvent{Cursor: 7, JSON: text}, logged)
}

func BenchmarkAppend(b *testing.B) {
	l := open(b, filepath.Join(b.TempDir(), "events.jsonl"), Options{})
	for n := range b.N {
		for l.full() {
			time.Sleep(100 * time.Microsecond)
		}
		l.Append(event(n))
	}
}

func (l *Log) full() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.waiting) > maxWaiting/2
}

func Benchmark100Followers(b *testing.B) {
	l := open(b, filepath.Join(b.TempDir(), "events.jsonl"), Options{})
	ctx, cancel := context.WithCancel(b.Context())
	var followers sync.WaitGroup
	for range 100 {
		followers.Go(func() {
			seen := 0
			for range l.Read(ctx, messages.EventQuery{Follow: true}) {
				if seen++; seen == b.N {
					return
				}
			}
		})
	}
	b.ResetTimer()
	for n := range b.N {
		for l.full() {
			time.Sleep(100 * time.Microsecond)
		}
		l.Append(event(n))
	}
	followers.Wait()
	cancel()
}
