package config

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"procman/actors/record"
	"procman/supervisor"
)

var _ supervisor.Drafter = (*Provider)(nil)

// F133: nothing of a file is applied while somebody is writing it, unless he pauses or never ends.
func TestASignalWaitsForWhoeverHasTheFileOpenForWriting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, out := make(chan struct{}), make(chan struct{}, 1)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var writing atomic.Bool
		writing.Store(true)
		go debounce(ctx, in, out, pace{250 * time.Millisecond, 2 * time.Second, 5 * time.Second, time.Minute,
			writing.Load})
		pass := func(d time.Duration) { time.Sleep(d); synctest.Wait() }
		slowly := func(lines int) (signals int) {
			for range lines {
				in <- struct{}{}
				pass(700 * time.Millisecond)
				signals += len(out)
				if len(out) == 1 {
					<-out
				}
			}
			return signals
		}

		require.Zero(t, slowly(40), "0.7 s a line")
		writing.Store(false)
		pass(250 * time.Millisecond)
		require.Len(t, out, 1, "soon after he has closed it")
		<-out

		writing.Store(true)
		in <- struct{}{}
		pass(4 * time.Second)
		require.Empty(t, out)
		pass(1250 * time.Millisecond)
		require.Len(t, out, 1, "he has paused")
		<-out
		require.NotZero(t, slowly(100), "and one who never ends keeps nothing up for ever")
		writing.Store(false)
	})
}

func TestADraftTellsAFileThatWasReplacedFromOneThatWasWrittenInPlace(t *testing.T) {
	dir := t.TempDir()
	path, fragments := filepath.Join(dir, "procman.yaml"), filepath.Join(dir, "procman.d")
	require.NoError(t, os.Mkdir(fragments, 0o700))
	main := func(ids ...string) []byte { return append([]byte("include: procman.d\n"), listing(ids...)...) }
	replace := func(path string, text []byte) {
		write(t, path+".new", text)
		require.NoError(t, os.Rename(path+".new", path))
	}
	write(t, path, main("a", "b"))
	write(t, filepath.Join(fragments, "x.yaml"), listing("x"))
	p := provide(t, path, ProviderOptions{})
	whole := func() bool {
		_, err := p.AppInstances(t.Context())
		require.NoError(t, err)
		return p.Draft().Whole
	}
	require.True(t, whole(), "nothing has happened")
	require.Empty(t, p.InForce().Path)
	p.Settled()
	require.Equal(t, path, p.InForce().Path)

	replace(path, main("a"))
	require.True(t, whole())
	p.Settled()
	write(t, path, main("a", "b", "c"))
	require.False(t, whole())
	require.False(t, whole(), "until it is settled")
	require.NotEqual(t, main("a", "b", "c"), p.InForce().Files[path], "and what may be half of it is not kept as good")
	replace(path, main("a", "b", "c", "d"))
	require.False(t, whole(), "one of two edits was in place")
	p.Settled()
	replace(path, main("a"))
	require.True(t, whole())
	write(t, path, main("a", "b"))
	require.False(t, whole(), "another file, which somebody then wrote on")
	p.Settled()

	write(t, filepath.Join(fragments, "y.yaml"), listing("y"))
	require.True(t, whole(), "a new fragment takes nothing away")
	p.Settled()
	require.NoError(t, os.Rename(filepath.Join(fragments, "y.yaml"), filepath.Join(dir, "y.yaml")))
	require.False(t, whole(), "one that is gone may be on its way to another place")
	p.Settled()
	write(t, path, []byte("instances:\n"))
	_, err := p.AppInstances(t.Context())
	require.Error(t, err)
	replace(path, main("a"))
	require.False(t, whole(), "also what was broken between counts")
}

func TestADiskThatStallsKeepsWhoeverAsksForADraftNoLongerThanForTheFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &Provider{path: filepath.Join(t.TempDir(), "procman.yaml"), disk: record.NewDisk("the disk", 1)}
		heal := make(chan struct{})
		go func() { _, _ = p.disk.Do(t.Context(), time.Hour, func() error { <-heal; return nil }, nil) }()
		synctest.Wait()
		began, asked := time.Now(), make(chan supervisor.Draft)
		go func() { asked <- p.Draft() }()
		synctest.Wait()
		require.Empty(t, p.InForce().Path, "others do not wait")
		require.False(t, (<-asked).Writing)
		require.Equal(t, readPatience, time.Since(began))
		close(heal)
		synctest.Wait()
	})
}

func TestWhoHasAFileOpenForWritingShows(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells")
	}
	path := filepath.Join(t.TempDir(), "procman.yaml")
	write(t, path, listing("a", "b"))
	p := provide(t, path, ProviderOptions{})
	reader, err := os.Open(path)
	require.NoError(t, err)
	require.False(t, p.Draft().Writing, "a reader is no writer")
	require.NoError(t, reader.Close())
	for _, flag := range []int{os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_APPEND} {
		f, err := os.OpenFile(path, flag, 0)
		require.NoError(t, err)
		require.True(t, p.Draft().Writing)
		require.NoError(t, f.Close())
		require.False(t, p.Draft().Writing)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	require.NoError(t, err, "the look has left no lease behind")
	require.NoError(t, f.Close())
	require.False(t, beingWritten(filepath.Join(t.TempDir(), "none")))
}
