package output

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"procman/messages"
)

func TestOfATotalTheLargestGiveUpAndKeepTheSame(t *testing.T) {
	const k = 1 << 10
	for name, c := range map[string]struct {
		total       int64
		sizes, want []int64
	}{
		"enough":                  {1000, []int64{400, 600}, []int64{0, 0}},
		"one is too large":        {800, []int64{100, 100, 700}, []int64{0, 0, 500}},
		"two, to the same":        {800, []int64{100, 600, 500}, []int64{0, 300, 300}},
		"two, one of them more":   {800, []int64{100, 900, 250}, []int64{0, 348, 0}},
		"all":                     {64, []int64{40, 40}, []int64{28, 28}},
		"who has little has that": {64, []int64{1, 2, 300}, []int64{0, 0, 52}},
		"never less than a block": {64, []int64{4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 5},
			append(make([]int64, 16), 4)},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAccount(c.total * k)
			require.True(t, a.due(time.Now()))
			for n, size := range c.sizes {
				a.found(messages.InstanceID(fmt.Sprint("i", n)), 0, size*k)
			}
			a.ended()
			for n, want := range c.want {
				require.Equal(t, want*k, a.asked(messages.InstanceID(fmt.Sprint("i", n)), 0), "file %d", n)
			}
		})
	}
}

func TestATotalIsKeptWhateverChanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := newAccount(int64(rapid.IntRange(MinTotal, 4<<20).Draw(t, "total")))
		kept := map[messages.InstanceID]int64{}
		answer := func(id messages.InstanceID) { // as a worker does
			for {
				asked := a.asked(id, 0)
				if asked == 0 {
					return
				}
				before := kept[id]
				kept[id] = min(kept[id], asked+int64(rapid.IntRange(0, leastKept-1).Draw(t, "rounded")))
				a.tell(id, 0, standing{kept: kept[id], followed: true, asked: asked, gave: kept[id] < before})
			}
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			id := messages.InstanceID(fmt.Sprint("i", rapid.IntRange(0, 9).Draw(t, "file")))
			grown := kept[id] + int64(rapid.IntRange(0, 1<<20).Draw(t, "bytes"))
			kept[id] = grown
			wake := a.tell(id, 0, standing{kept: grown, followed: true})
			least := int64(1 << 62)
			for _, id := range wake {
				if asked := a.asked(id, 0); asked > 0 {
					least = min(least, asked)
				}
			}
			for id, size := range kept {
				if size <= least {
					require.Zero(t, a.asked(id, 0), "%s has no more than those who were asked are left with", id)
				}
			}
			for len(wake) > 0 {
				answer(wake[0])
				wake = wake[:0]
				for id := range kept {
					if a.asked(id, 0) > 0 {
						wake = append(wake, id)
					}
				}
			}
			var sum int64
			for _, size := range kept {
				sum += size
			}
			require.Equal(t, sum, a.kept, "what is counted is what there is")
			require.LessOrEqual(t, sum, a.total)
			require.LessOrEqual(t, a.kept, a.total)
		}
	})
}

func TestWhoIsAskedWhileItsTurnEndsGivesUpInTheNext(t *testing.T) {
	a := newAccount(1 << 20)
	a.tell("a", 0, standing{kept: 900 << 10})
	a.tell("b", 0, standing{kept: 100 << 10})
	asked := a.asked("a", 0)
	require.Zero(t, asked) // a looks at its file, while
	require.Equal(t, []messages.InstanceID{"a"}, a.tell("b", 0, standing{kept: 200 << 10}))
	require.Empty(t, a.tell("a", 0, standing{kept: 900 << 10, asked: asked}), "b does not pay for a")
	require.EqualValues(t, 696<<10, a.asked("a", 0))
	a.tell("a", 0, standing{kept: 696 << 10, asked: 696 << 10, gave: true})
	require.Zero(t, a.asked("a", 0))
}

func TestWhatOneFileCostsDoesNotGrowWithTheirNumber(t *testing.T) {
	cost := func(files int) float64 {
		a := newAccount(1 << 50)
		for n := range files {
			a.tell(messages.InstanceID(fmt.Sprint("i", n)), 0, standing{kept: int64(n+1) * leastKept, followed: true})
		}
		last, size := messages.InstanceID(fmt.Sprint("i", files/2)), int64(1)
		return testing.AllocsPerRun(1000, func() {
			size++
			a.tell(last, 0, standing{kept: size * leastKept, followed: true})
		})
	}
	require.Zero(t, cost(10))
	require.Zero(t, cost(10_000))
}

func BenchmarkToTellWhatAFileKeeps(b *testing.B) {
	for _, files := range []int{10, 20_000} {
		b.Run(fmt.Sprint(files), func(b *testing.B) {
			a := newAccount(1 << 50)
			for n := range files {
				a.tell(messages.InstanceID(fmt.Sprint("i", n)),
					0, standing{kept: int64(n+1) * leastKept, followed: true})
			}
			size := int64(1)
			for b.Loop() {
				size += leastKept
				a.tell("i5", 0, standing{kept: size, followed: true})
			}
		})
	}
}

// family is a state directory with several instances.
type family struct {
	*house
	ids []messages.InstanceID
}

func newFamily(t *testing.T, root string, o Options, ids ...messages.InstanceID) *family {
	h := newHouse(t, root, o)
	for _, id := range ids {
		require.NoError(t, os.MkdirAll(h.dir.Instance(id), 0o700))
	}
	return &family{h, ids}
}

// occupied is what all files take on their disk.
func (f *family) occupied() (sum int64) {
	for _, id := range f.ids {
		for _, path := range []string{f.dir.Stdout(id), f.dir.Stderr(id)} {
			if _, err := os.Stat(path); err == nil {
				sum += occupied(f.t, path)
			}
		}
	}
	return sum
}

// awaitForwarded waits until all that was written has got into the log.
func (f *family) awaitForwarded(bytes int) {
	f.t.Helper()
	require.Eventually(f.t, func() bool { forwarded, _ := f.out.Counters(); return forwarded == int64(bytes) },
		time.Minute, 5*time.Millisecond)
}

// awaitOccupied waits until all files keep no more, but for what of the last block of each is empty.
func (f *family) awaitOccupied(most int64) {
	f.t.Helper()
	most += int64(2*len(f.ids)) * 4 << 10
	require.Eventually(f.t, func() bool { return f.occupied() <= most }, time.Minute, 5*time.Millisecond, "%v", f.rec)
}

func (f *family) texts(id messages.InstanceID) (out []string) {
	f.t.Helper()
	for l, err := range f.out.Read(context.Background(), messages.OutputQuery{ID: id, Lines: -1}) {
		require.NoError(f.t, err)
		out = append(out, l.Text)
	}
	return out
}

// block is a line of n KiB.
func block(n int) string { return strings.Repeat("x", n<<10-1) + "\n" }

func TestAllFilesTogetherKeepNoMoreThanTheTotal(t *testing.T) {
	onEveryDisk(t, func(t *testing.T, root string) {
		const total = 1 << 20
		f := newFamily(t, root, Options{Forward: true, Total: total}, "quiet", "loud", "louder")
		for _, id := range f.ids {
			f.out.Follow(id, 1, os.Getpid())
		}
		f.write(f.dir.Stdout("quiet"), "first\n"+block(60)+"last\n")
		written := 60<<10 + len("first\nlast\n")
		for n := range 8 {
			f.write(f.dir.Stdout("loud"), fmt.Sprint(block(150), "loud ", n, "\n"))
			f.write(f.dir.Stderr("louder"), fmt.Sprint(block(300), "louder ", n, "\n"))
			written += 450<<10 + len("loud 0\nlouder 0\n")
			f.awaitForwarded(written)
			f.awaitOccupied(total)
		}
		require.Equal(t, []string{"first", strings.TrimSpace(block(60)), "last"}, f.texts("quiet"),
			"who writes little loses nothing")
		for _, id := range f.ids[1:] {
			texts := f.texts(id)
			require.Equal(t, fmt.Sprint(id, " 7"), texts[len(texts)-1])
			require.Less(t, len(texts), 16)
		}
		_, skipped := f.out.Counters()
		require.Zero(t, skipped)
		require.Empty(t, f.rec.others())
		require.Eventually(t, func() bool { // it is counted after it was given up
			kept, givenUp := f.out.Kept()
			return kept <= total && kept >= total/2 && kept+givenUp == int64(written)
		}, time.Minute, time.Millisecond)
	})
}

func TestWhatNobodyFollowsIsPartOfTheTotalAndIsTrimmedLikeTheRest(t *testing.T) {
	onEveryDisk(t, func(t *testing.T, root string) {
		const total = 512 << 10
		f := newFamily(t, root, Options{Forward: true}, "stopped", "gone", "live")
		for _, id := range f.ids[:2] {
			f.write(f.dir.Stdout(id), strings.Repeat(block(1), 400)+"the last of "+string(id)+"\n")
			f.out.Follow(id, 1, gonePID(t)).Stop()
		}
		old := time.Now().Add(-23 * time.Hour).Truncate(time.Second)
		for _, path := range []string{f.dir.Stdout("gone"), f.dir.OutputPlace("gone"), f.dir.Instance("gone")} {
			require.NoError(t, os.Chtimes(path, old, old))
		}
		f.close()
		f.open(Options{Forward: true, Total: total}) // nobody says that these exist
		f.awaitOccupied(total)
		for _, id := range f.ids[:2] {
			require.InDelta(t, occupied(t, f.dir.Stdout("stopped")), occupied(t, f.dir.Stdout(id)),
				8<<10, "all keep the same")
			texts := f.texts(id)
			require.Equal(t, "the last of "+string(id), texts[len(texts)-1])
		}
		for _, path := range []string{f.dir.Stdout("gone"), f.dir.OutputPlace("gone"), f.dir.Instance("gone")} {
			require.Eventually(t,
				func() bool { info, err := os.Stat(path); return err == nil && info.ModTime().Equal(old) },
				time.Minute, 5*time.Millisecond, "output.keep counts from when it was written: %s", path)
		}
		require.Empty(t, f.rec.others())

		// The next run goes on where the one before it was, and nothing is forwarded twice.
		f.write(f.dir.Stdout("stopped"), "again\n")
		f.out.Follow("stopped", 2, gonePID(t)).Stop()
		require.Equal(t, []string{"again"}, f.rec.texts("stdout"))
		require.Empty(t, f.rec.others())
	})
}

func TestWhatIsNotForwardedYetIsNotTrimmedForATotal(t *testing.T) {
	f := newFamily(t, t.TempDir(), Options{Forward: true}, "stopped")
	f.close()
	f.write(f.dir.Stdout("stopped"), strings.Repeat(block(1), 400))
	f.open(Options{Forward: true, Total: MinTotal})
	require.Eventually(t, func() bool {
		a := f.out.account.Load()
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.shares["stopped"] != nil && a.shares["stopped"][0].stuck
	}, time.Minute, time.Millisecond)
	require.Len(t, f.texts("stopped"), 400)
	f.out.Follow("stopped", 1, gonePID(t)).Stop()
	f.awaitOccupied(MinTotal)
}

func TestThatATotalIsNotKeptForAWhileIsSaid(t *testing.T) {
	now := time.Now()
	a := newAccount(1 << 20)
	require.NoError(t, a.excess(now))
	a.tell("a", 0, standing{kept: 2 << 20})
	require.NoError(t, a.excess(now), "it is asked to give up")
	a.tell("a", 0, standing{kept: 2 << 20, asked: a.asked("a", 0)}) // it does not
	require.NoError(t, a.excess(now), "it may soon be forwarded")
	require.NoError(t, a.excess(now.Add(overFor-1)))
	require.ErrorContains(t, a.excess(now.Add(overFor)), "keep 2097152 bytes, and no more than 1048576 are meant")
	a.tell("a", 0, standing{kept: 1 << 20})
	require.NoError(t, a.excess(now.Add(overFor)))
}

func TestAFloodThatIsAheadOfItsTotalLosesWhatIsSaid(t *testing.T) {
	f := newFamily(t, t.TempDir(), Options{Forward: true}, "flood", "other")
	f.close()
	f.write(f.dir.Stdout("flood"), strings.Repeat(block(1), 3000)+"the last\n")
	f.open(Options{Forward: true, Total: 256 << 10})
	f.out.Follow("flood", 1, os.Getpid())
	require.Eventually(t, func() bool {
		texts := f.rec.texts("stdout")
		return len(texts) > 0 && texts[len(texts)-1] == "the last"
	},
		time.Minute, 5*time.Millisecond)
	f.awaitOccupied(256 << 10)
	forwarded, skipped := f.out.Counters()
	require.Equal(t, int64(3000<<10+len("the last\n")), forwarded+skipped)
	if skipped > 0 {
		require.Contains(t, strings.Join(f.rec.others(), "\n"),
			fmt.Sprintf("output skipped instance=flood run=1 pid=%d stream=stdout bytes=", os.Getpid()))
	}
}

func TestATotalIsSetAndTakenAwayWhileAllRun(t *testing.T) {
	f := newFamily(t, t.TempDir(), Options{Forward: true}, "a", "b")
	for _, id := range f.ids {
		f.out.Follow(id, 1, os.Getpid())
		f.write(f.dir.Stdout(id), strings.Repeat(block(1), 400))
	}
	f.awaitForwarded(800 << 10)
	require.ErrorContains(t, f.out.SetTotal(MinTotal-1), "65535 bytes; it must be at least 65536")
	kept, _ := f.out.Kept()
	require.Zero(t, kept, "without a total nothing is counted")
	require.NoError(t, f.out.SetTotal(512<<10)) // those that write nothing now are found all the same
	f.awaitOccupied(512 << 10)
	require.NoError(t, f.out.SetTotal(128<<10))
	f.awaitOccupied(128 << 10)
	require.NoError(t, f.out.SetTotal(0))
	for _, id := range f.ids {
		f.write(f.dir.Stdout(id), strings.Repeat(block(1), 400))
	}
	f.awaitForwarded(1600 << 10)
	require.GreaterOrEqual(t, f.occupied(), int64(800<<10))
	_, err := New(f.dir, Options{Total: 1, Logger: slog.New(slog.DiscardHandler)})
	require.Error(t, err)
}

func TestADirectoryThatIsRemovedIsNoPartOfTheTotal(t *testing.T) {
	now := time.Now()
	a := newAccount(1 << 20)
	require.True(t, a.due(now))
	a.found("gone", 0, 1<<19)
	a.found("live", 0, 1<<18)
	a.ended()
	require.False(t, a.due(now.Add(surveyEvery)), "there is room")
	a.tell("live", 0, standing{kept: 1 << 20, followed: true})
	a.tell("live", 0, standing{kept: 1<<20 + 1, followed: true})
	a.mu.Lock()
	a.total = 1 << 16 // too much of it
	a.mu.Unlock()
	require.False(t, a.due(now.Add(surveyEvery-1)), "no sooner than after a while")
	require.True(t, a.due(now.Add(surveyEvery)))
	a.ended() // it was not seen
	require.NotContains(t, a.shares, messages.InstanceID("gone"))
	require.Contains(t, a.shares, messages.InstanceID("live"), "who is followed tells that himself")
}
