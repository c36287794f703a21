package record

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// others puts what is no regular file at paths of their own, by what it is called.
func others(t *testing.T) map[string]string {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	require.NoError(t, syscall.Mkfifo(at("fifo"), 0o600))
	require.NoError(t, os.Mkdir(at("dir"), 0o700))
	require.NoError(t, os.WriteFile(at("file"), []byte("somebody's"), 0o600))
	require.NoError(t, os.Symlink(at("file"), at("link")))
	return map[string]string{"a fifo": at("fifo"), "a directory": at("dir"), "a symbolic link": at("link"),
		"a device": os.DevNull}
}

func TestWhatIsNoRegularFileIsNeitherOpenedNorWaitedForAndNamed(t *testing.T) {
	for is, path := range others(t) {
		for _, flag := range []int{os.O_RDONLY, os.O_WRONLY | os.O_APPEND, os.O_RDWR | os.O_CREATE} {
			_, err := Open(path, flag, 0o600)
			var other *NotRegularError
			require.ErrorAs(t, err, &other, "%s, flag %x", is, flag)
			require.Equal(t, NotRegularError{path, is}, *other)
		}
	}
	_, err := OpenLinked(others(t)["a symbolic link"], os.O_RDONLY, 0)
	require.NoError(t, err, "a person may name a file by a link")
}

func TestARecordTakesThePlaceOfWhateverWasPutInItsWayAndNeverGoesThroughIt(t *testing.T) {
	for is, other := range others(t) {
		if is == "a device" {
			continue
		}
		path := filepath.Join(t.TempDir(), "x.json")
		require.NoError(t, os.Rename(other, Staged(path)))
		require.NoError(t, Write(path, "run", sample{ID: "a"}, false), is)
		require.NoError(t, Read(path, "run", &sample{}))
	}
	dir := t.TempDir()
	theirs := filepath.Join(dir, "theirs")
	require.NoError(t, os.WriteFile(theirs, []byte("somebody's"), 0o600))
	path := filepath.Join(dir, "x.json")
	require.NoError(t, os.Link(theirs, Staged(path)))
	require.NoError(t, Write(path, "run", sample{ID: "a"}, false))
	text, err := os.ReadFile(theirs)
	require.NoError(t, err)
	require.Equal(t, "somebody's", string(text), "another name of somebody's file is not written through")
}

func TestWhoAsksADiskThatStallsIsToldInTimeAndItsThreadsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := NewDisk("the state disk", 2)
		heal := make(chan struct{})
		var late atomic.Int32
		for range 2 {
			left, err := d.Do(t.Context(), time.Second, func() error { <-heal; return nil }, func() { late.Add(1) })
			require.True(t, left)
			require.ErrorContains(t, err, "the state disk does not answer since")
		}
		left, err := d.Do(t.Context(), time.Second, func() error { t.Error("there is no room"); return nil }, nil)
		require.False(t, left, "it was not begun, and never will be")
		require.EqualError(t, err, "the state disk does not answer since 3s")
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, err = d.Do(ctx, time.Second, func() error { return nil }, nil)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Error(t, d.Stalled(time.Second))
		heal <- struct{}{}
		heal <- struct{}{}
		<-d.Idle()
		synctest.Wait()
		require.EqualValues(t, 2, late.Load())
		require.NoError(t, d.Stalled(time.Second))
		_, err = d.Do(t.Context(), time.Second, func() error { return os.ErrExist }, nil)
		require.ErrorIs(t, err, os.ErrExist)
	})
}

func TestAFileIsMadeByOneOfThoseWhoWantItAndOpenedByTheOthers(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "log")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 200 {
				fd, err := OpenBare(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
				assert.NoError(t, err)
				assert.NoError(t, writeAll(fd, path, []byte("x")))
				assert.NoError(t, syscall.Close(fd))
			}
		})
	}
	all.Wait()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Len(t, text, 8*200)

	_, err = Open(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	require.ErrorIs(t, err, os.ErrExist)
	require.NoError(t, os.Symlink(filepath.Join(dir, "elsewhere"), filepath.Join(dir, "link")))
	f, err := OpenLinked(filepath.Join(dir, "link"), os.O_WRONLY|os.O_CREATE, 0o600)
	require.NoError(t, err, "through the link of a person it is made where that leads")
	require.NoError(t, f.Close())
	require.FileExists(t, filepath.Join(dir, "elsewhere"))
}
