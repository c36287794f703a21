package output

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

func TestTheNewestLinesAreReadFromTheEnd(t *testing.T) {
	h := newHouse(t, t.TempDir(), Options{})
	require.Empty(t, h.read(messages.OutputQuery{Lines: 10}), "no file")
	for l, err := range h.out.Read(context.Background(), messages.OutputQuery{ID: "stranger", Lines: -1}) {
		require.Fail(t, "an unknown instance has output", "%v %v", l, err)
	}
	h.stdout("")
	require.Empty(t, h.read(messages.OutputQuery{Lines: 10}), "an empty file")
	var all []string
	for i := 1; i <= 30_000; i++ {
		all = append(all, numbered(i))
	}
	h.stdout(strings.Join(all, "\n")) // the last one without its end
	for _, n := range []int{0, 1, 2, 2999, 29_999, 30_000, 40_000, -1} {
		want := all
		if n >= 0 {
			want = all[max(0, len(all)-n):]
		}
		got := h.readTexts(messages.OutputQuery{Lines: n, Stream: messages.Stdout})
		require.Equal(t, len(want), len(got), n)
		require.Equal(t, strings.Join(want, "\n"), strings.Join(got, "\n"))
	}
	require.Empty(t, h.read(messages.OutputQuery{Lines: 1, Stream: messages.Stderr}))
}

func TestTheLinesOfBothStreamsAreInTheOrderInWhichTheyWereSeen(t *testing.T) {
	h := newHouse(t, t.TempDir(), Options{})
	h.stdout("o1\no2\no3\no4\n")
	h.stderr("e1\ne2\ne3\n")
	require.Equal(t, []string{"o4", "e1", "e2", "e3"}, h.readTexts(messages.OutputQuery{Lines: 4}),
		"nothing is known: stdout first")
	h.close()
	now := time.Now().UnixMilli()
	ago := func(s int64) int64 { return now - 1000*s }
	requireRecord(t, h, timeIndex{{3, ago(100)}, {6, ago(50)}, {9, ago(50)}, {12, ago(10)}},
		timeIndex{{3, ago(80)}, {6, ago(50)}, {9, ago(5)}})
	h.open(Options{})
	h.rec = newRecorder()
	all := []string{"o1", "e1", "o2", "o3", "e2", "o4", "e3"}
	require.Equal(t, all, h.readTexts(messages.OutputQuery{Lines: -1}))
	for n := range all {
		require.Equal(t, all[len(all)-n:], append([]string{}, h.readTexts(messages.OutputQuery{Lines: n})...))
	}
	for since, want := range map[time.Duration]int{200 * time.Second: 7, 90 * time.Second: 6, 60 * time.Second: 5,
		40 * time.Second: 2, 7 * time.Second: 1} {
		require.Equal(t, all[7-want:], h.readTexts(messages.OutputQuery{Lines: -1, Since: since}), since)
		require.Equal(t, all[7-want:], h.readTexts(messages.OutputQuery{Lines: 50, Since: since}), since)
	}
}

func requireRecord(t *testing.T, h *house, stdout, stderr timeIndex) {
	t.Helper()
	r := checkpointFile{Version: checkpointVersion, Run: 1, PID: 1, Ended: true}
	for i, path := range []string{h.dir.Stdout(web), h.dir.Stderr(web)} {
		f, err := statPath(path)
		require.NoError(t, err)
		p := checkpoint{Known: true, Inode: f.Inode, Born: f.Born, Next: f.Size, Times: [2]timeIndex{stdout, stderr}[i]}
		*[2]*checkpoint{&r.Stdout, &r.Stderr}[i] = p
	}
	require.NoError(t, r.save(h.dir.Instance(web)+"/"+checkpointName))
}

func TestOldOutputIsLeftOutOfWhatIsReadSince(t *testing.T) {
	h := newHouse(t, t.TempDir(), Options{})
	h.stdout("old\n")
	old := time.Now().Add(-time.Hour)
	require.NoError(t, os.Chtimes(h.dir.Stdout(web), old, old))
	require.Empty(t, h.read(messages.OutputQuery{Lines: -1, Since: time.Minute}),
		"never followed, but the file says when")
	f := h.out.Follow(web, 1, gonePID(t))
	f.Stop()
	h.stdout("young\n")
	h.out.Follow(web, 2, gonePID(t)).Stop()
	require.Equal(t, []string{"young"}, h.readTexts(messages.OutputQuery{Lines: -1, Since: time.Minute}))
	require.Equal(t, []string{"old", "young"}, h.readTexts(messages.OutputQuery{Lines: -1, Since: 2 * time.Hour}))
}

func TestAReaderThatFollowsGetsNewLinesOfBothStreamsAndRuns(t *testing.T) {
	onEveryDisk(t, func(t *testing.T, root string) {
		h := newHouse(t, root, Options{})
		h.stdout("one\ntwo\nunfin")
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		f := h.out.Follow(web, 1, gonePID(t))
		steps := []func(){
			func() { h.stdout("ished\n") },
			func() { h.stderr("oops\n") },
			func() { h.stdout("last words"); f.Stop() },
			func() { f = h.out.Follow(web, 2, os.Getpid()); h.stdout("second run\n") },
			cancel,
		}
		var got []string
		for l, err := range h.out.Read(ctx, messages.OutputQuery{ID: web, Lines: 2, Follow: true}) {
			require.NoError(t, err)
			got = append(got, string(l.Stream)+" "+l.Text)
			if len(got) >= 1 {
				steps[len(got)-1]()
			}
		}
		f.Stop()
		require.Equal(t, []string{"stdout two", "stdout unfinished", "stderr oops", "stdout last words",
			"stdout second run"}, got)
	})
}

func TestAReaderSurvivesThatTheFileIsTrimmed(t *testing.T) {
	onEveryDisk(t, func(t *testing.T, root string) {
		const size, count = 64 << 10, 30_000
		h := newHouse(t, root, Options{MaxSize: size})
		h.stdout("")
		f := h.out.Follow(web, 1, os.Getpid())
		written := make(chan struct{})
		go func() {
			defer close(written)
			for i := 1; i <= count; i += 100 {
				var b strings.Builder
				for j := i; j < i+100; j++ {
					b.WriteString(numbered(j) + "\n")
				}
				h.stdout(b.String())
			}
		}()
		next, bytes := 1, int64(0)
		for l, err := range h.out.Read(context.Background(), messages.OutputQuery{ID: web, Lines: -1, Follow: true}) {
			require.NoError(t, err)
			if l.Skipped > 0 {
				bytes += l.Skipped
				for from := bytes; from > 0 && next <= count; next++ {
					from -= int64(len(numbered(next)) + 1)
					bytes = from
				}
				require.Zero(t, bytes, "not whole lines were skipped")
				continue
			}
			if l.Text != numbered(next) {
				require.FailNow(t, "lost or torn", "%q instead of line %d", l.Text, next)
			}
			if next == count {
				break
			}
			next++
		}
		<-written
		f.Stop()
	})
}

func TestAReaderEndsWithTheOutputs(t *testing.T) {
	h := newHouse(t, t.TempDir(), Options{})
	h.stdout("one\n")
	for l, err := range h.out.Read(context.Background(), messages.OutputQuery{ID: web, Lines: -1, Follow: true}) {
		require.NoError(t, err)
		require.Equal(t, "one", l.Text)
		go func() { _ = h.out.Close() }()
	}
	h.close()
	for _, err := range h.out.Read(context.Background(), messages.OutputQuery{ID: web}) {
		require.ErrorIs(t, err, ErrClosed)
	}
	for _, err := range h.out.Read(context.Background(), messages.OutputQuery{ID: "../.."}) {
		require.Error(t, err)
	}
}

func TestAHugeLineIsReadInPieces(t *testing.T) {
	h := newHouse(t, t.TempDir(), Options{})
	huge := strings.Repeat("x", 10<<20)
	h.stdout("one\n" + huge + "\nlast\n")
	var b strings.Builder
	for _, l := range h.read(messages.OutputQuery{Lines: 2}) {
		require.LessOrEqual(t, len(l.Text), maxLine)
		b.WriteString(l.Text)
	}
	require.Equal(t, len(huge)+4, b.Len())
	require.Equal(t, []string{"last"}, h.readTexts(messages.OutputQuery{Lines: 1}))
}

func TestNothingIsKeptOfInstancesThatNobodyFollows(t *testing.T) {
	h := newHouse(t, t.TempDir(), Options{Forward: true})
	for i := range 20 {
		id := messages.InstanceID(fmt.Sprint("i", i))
		require.NoError(t, os.MkdirAll(h.dir.Instance(id), 0o700))
		h.write(h.dir.Stderr(id), "x\n")
		h.out.Follow(id, 1, os.Getpid()).Stop()
	}
	h.stdout("x\n")
	h.readTexts(messages.OutputQuery{Lines: 3})
	require.Eventually(t, func() bool {
		h.out.mu.Lock()
		defer h.out.mu.Unlock()
		return len(h.out.sources) == 0
	}, 5*time.Second, time.Millisecond)
}

// tenLines writes ten lines of three bytes, of which two a minute were seen, the last now; that is returned.
func tenLines(t *testing.T, h *house) (now time.Time) {
	t.Helper()
	h.stdout("a0\na1\na2\na3\na4\na5\na6\na7\na8\na9\n")
	h.stderr("")
	h.close()
	now = time.Now().Truncate(time.Millisecond)
	var marks timeIndex
	for n := range int64(6) {
		marks = append(marks, timeMark{6 * n, now.Add(-time.Duration(5-n) * time.Minute).UnixMilli()})
	}
	requireRecord(t, h, marks, nil)
	h.open(
		Options{Mask: func(messages.InstanceID) *messages.Masker { return messages.NewMasker([]string{"hunter-22"}) }})
	return now
}

func TestALineHasTheTimeByWhichItHadBeenSeenAndUntilLeavesOutNoneThatMayBeOlder(t *testing.T) {
	h := newHouse(t, t.TempDir(), Options{})
	now := tenLines(t, h)
	for n, l := range h.read(messages.OutputQuery{Lines: -1, Times: true}) {
		require.Equal(t, now.Add(-time.Duration(4-n/2)*time.Minute).UTC(), l.At, l.Text)
	}
	for _, l := range h.read(messages.OutputQuery{Lines: -1}) {
		require.Zero(t, l.At, "nobody has asked")
	}
	for until, want := range map[time.Duration]int{7 * time.Minute: 0, 250 * time.Second: 2, 90 * time.Second: 8,
		time.Nanosecond: 10} {
		require.Len(t, h.read(messages.OutputQuery{Lines: -1, Until: until}), want, until)
	}
	require.Equal(t, []string{"a1"}, h.readTexts(messages.OutputQuery{Lines: 1, Until: 250 * time.Second}))
	require.Equal(t, []string{"a2", "a3"}, h.readTexts(messages.OutputQuery{Lines: -1, Since: 225 * time.Second,
		Until: 185 * time.Second}))
}

func TestOnlyLinesThatMatchAreReadAndCountedAndASecretIsFoundByNobody(t *testing.T) {
	h := newHouse(t, t.TempDir(), Options{})
	tenLines(t, h)
	require.Equal(t, []string{"a2", "a4", "a6"}, h.readTexts(messages.OutputQuery{Lines: -1, Grep: "[246]"}))
	require.Equal(t, []string{"a4", "a6"}, h.readTexts(messages.OutputQuery{Lines: 2, Grep: "[246]"}))
	h.stdout("it is hunter-22\n")
	require.Equal(t, []string{"it is ***"}, h.readTexts(messages.OutputQuery{Lines: 5, Grep: `\*`}))
	require.Empty(t, h.read(messages.OutputQuery{Lines: -1, Grep: "hunter"}))
	require.Empty(t, h.read(messages.OutputQuery{Lines: 1, Grep: "hunter"}))
	require.Equal(t, []string{"a9"}, h.readTexts(messages.OutputQuery{Lines: 1, Grep: "^a9$"}),
		"a line end is none of it")
	long := strings.Repeat("x", 3*maxLine)
	h.stdout(long + "end\n")
	require.Equal(t, []string{"end"}, h.readTexts(messages.OutputQuery{Lines: 1, Grep: "end"}),
		"of a long line the pieces that match")
}
