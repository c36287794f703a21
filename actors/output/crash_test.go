package output

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

// occupied returns how many bytes a file takes on its disk.
func occupied(t testing.TB, path string) int64 {
	t.Helper()
	var s syscall.Stat_t
	require.NoError(t, syscall.Stat(path, &s))
	return s.Blocks * 512
}

// requireNothingSkipped holds what followers of several lives have forwarded to the lines 1 to count: every one is
// there, and a life goes back no more than so many lines. Those that a record says are skipped may be missing.
func requireNothingSkipped(t *testing.T, lines []string, count, repeats int) {
	t.Helper()
	newest := 0
	said := false
	for _, s := range lines {
		if strings.HasPrefix(s, "output skipped") {
			said = true
			continue
		}
		i := number(s)
		if said {
			newest, said = max(newest, i-1), false
		}
		require.NotZero(t, i, "torn, or no line at all: %q", s)
		require.LessOrEqual(t, i, newest+1, "lines are missing")
		require.Greater(t, i, newest-repeats, "too much is repeated")
		newest = max(newest, i)
	}
	require.Equal(t, count, newest)
}

func TestKillingTheManagerAnywhereSkipsNothing(t *testing.T) { killedAnywhere(t, 2<<20, 0) }

func TestKillingTheManagerWhileATotalIsKeptSkipsNothing(t *testing.T) {
	killedAnywhere(t, 16<<20, 1<<20)
}

// killedAnywhere has managers killed that follow a file, and keep so much of it.
func killedAnywhere(t *testing.T, size, total int64) {
	t.Helper()
	if testing.Short() {
		t.Skip("the manager is a process of its own that is killed: a race in it fails no test, and with the " +
			"detector it begins slowly")
	}
	onEveryDisk(t, func(t *testing.T, root string) {
		const count = 50_000
		log := filepath.Join(t.TempDir(), "log")
		h := newHouse(t, root, Options{})
		h.close()
		out, err := os.OpenFile(h.dir.Stdout(web), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		require.NoError(t, err)
		cmd := role(t, "writer", fmt.Sprint("COUNT=", count), "BURST=150")
		cmd.Stdout = out
		require.NoError(t, cmd.Start())
		written := make(chan error, 1)
		go func() { written <- cmd.Wait() }()
		lives := 0
		for alive := true; alive; lives++ {
			m := role(t, "follower", "DIR="+root, "LOG="+log, fmt.Sprint("SIZE=", size), fmt.Sprint("TOTAL=", total))
			began, err := m.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, m.Start())
			_, err = began.Read(make([]byte, 1))
			require.NoError(t, err)
			select {
			case err := <-written:
				require.NoError(t, err)
				alive = false
			case <-time.After(time.Duration(30+rand.IntN(250)) * time.Millisecond):
			}
			require.NoError(t, m.Process.Kill())
			_ = m.Wait() // killed, as it says
		}
		require.NoError(t, out.Close())
		h.open(Options{Forward: true, MaxSize: size, Total: total})
		h.out.Follow(web, 1, gonePID(t)).Stop()
		if total > 0 {
			require.Eventually(t, func() bool { return occupied(t, h.dir.Stdout(web)) <= total }, time.Minute,
				5*time.Millisecond)
		}
		lines := readLines(t, log)
		rest := h.rec.texts("stdout")
		if _, skipped := h.out.Counters(); skipped > 0 {
			// a busy host is behind by more than the total; where, is not kept
			require.Contains(t, strings.Join(h.rec.others(), "\n"), "output skipped")
			rest = slices.Insert(rest, 0, "output skipped")
			require.Greater(t, number(rest[len(rest)-1]), count-100)
			rest = slices.Delete(rest, 1, len(rest)-1)
		}
		lines = append(lines, rest...)
		for n, line := range lines { // the log itself is torn where its writer was killed in the middle of a record
			lines[n] = line[max(0, strings.LastIndex(line, "line ")):]
		}
		requireNothingSkipped(t, lines, count, (2<<20/4+2*turnBytes)/len(numbered(1)))
		t.Logf("%d lives, %d lines, %d of them repeated", lives, len(lines), len(lines)-count)
	})
}

func TestDyingBetweenTheStepsOfTrimmingSkipsNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("the manager is a process of its own that is killed: a race in it fails no test, and with the " +
			"detector it begins slowly")
	}
	onEveryDisk(t, func(t *testing.T, root string) {
		for _, step := range []string{"saved", "punched", "intended", "collapsed"} {
			for _, times := range []int{1, 3} {
				t.Run(fmt.Sprint(step, times), func(t *testing.T) {
					const size = 64 << 10
					root, err := os.MkdirTemp(root, "")
					require.NoError(t, err)
					log := filepath.Join(t.TempDir(), "log")
					h := newHouse(t, root, Options{})
					h.stdout("")
					h.close()
					m := role(t, "follower", "DIR="+root, "LOG="+log, fmt.Sprint("SIZE=", size), "STEP="+step,
						fmt.Sprint("TIMES=", times))
					_ = m.Run() // what became of it, its state tells
					status := m.ProcessState.Sys().(syscall.WaitStatus)
					if times > 1 && status.ExitStatus() == 3 && (step == "intended" || step == "collapsed") {
						t.Skip("the file system cannot collapse: it is tried once")
					}
					require.True(t, status.Signaled(), "the step was not reached")
					require.Equal(t, syscall.SIGKILL, status.Signal())

					h.open(Options{Forward: true, MaxSize: size})
					h.out.Follow(web, 1, gonePID(t)).Stop()
					all := readLines(t, log)
					kept := h.readTexts(messages.OutputQuery{Lines: 1})
					require.Len(t, kept, 1)
					mine := h.rec.texts("stdout")
					if n := len(mine); n > 0 && number(mine[n-1]) == 0 {
						t.Logf("the writer died with us: %q", mine[n-1])
					}
					require.Empty(t, h.rec.others())
					requireNothingSkipped(t, append(all, mine...), number(kept[0]), size/2/20)
				})
			}
		}
	})
}
