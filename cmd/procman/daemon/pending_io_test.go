package daemon

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	onDisk "procman/actors/record"
)

func TestWhatADaemonWaitsForIsSaidSoonAndNotAllTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var touched PendingIO
		var mu sync.Mutex
		var told []string
		stop := touched.watch(func(what string) { mu.Lock(); told = append(told, what); mu.Unlock() })
		said := func() []string { mu.Lock(); defer mu.Unlock(); return slices.Clone(told) }
		defer stop()
		outer := touched.Begin("the state directory /s")
		time.Sleep(time.Second)
		inner := touched.Begin("the socket /s/sock")
		time.Sleep(4500 * time.Millisecond)
		require.Equal(t, []string{"the state directory /s does not answer since 4s; the disk or mount that it is on " +
			"may hang"}, said())
		require.Contains(t, touched.Stalled(time.Second), "the socket /s/sock")
		time.Sleep(time.Minute)
		require.Len(t, said(), 2)
		inner()
		require.Contains(t, touched.Stalled(time.Second), "the state directory /s")
		outer()
		require.Empty(t, touched.Stalled(0))
		(*PendingIO)(nil).Begin("nothing is noted")()
		time.Sleep(time.Hour)
		require.Len(t, said(), 2)
		done := touched.Begin("the socket /s/sock")
		time.Sleep(ioSaid + ioSaid/2)
		require.Len(t, said(), 3, "also after an hour in which nothing was touched")
		done()
	})
}

func TestWhatCouldNotBeWrittenIsWrittenOnceThereIsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		news, quit, done := make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
		var mu sync.Mutex
		full := errors.New("no space left on device")
		var tries int
		var told []string
		go func() {
			defer close(done)
			untilWritten(news, quit, func() error { mu.Lock(); defer mu.Unlock(); tries++; return full },
				func(err error) { mu.Lock(); defer mu.Unlock(); told = append(told, fmt.Sprint(err)) })
		}()
		becomes := func(err error) { mu.Lock(); defer mu.Unlock(); full = err }
		came := func() (int, []string) { mu.Lock(); defer mu.Unlock(); return tries, slices.Clone(told) }
		news <- struct{}{}
		time.Sleep(time.Minute)
		tried, said := came()
		require.InDelta(t, 9, tried, 2)
		require.Equal(t, []string{"no space left on device"}, said)
		becomes(nil)
		time.Sleep(writeAgainLater)
		before, said := came()
		require.Equal(t, []string{"no space left on device", "<nil>"}, said)
		time.Sleep(time.Hour)
		tried, _ = came()
		require.Equal(t, before, tried)
		becomes(&onDisk.StalledError{Name: "the state disk"})
		news <- struct{}{}
		synctest.Wait()
		close(quit)
		<-done
		require.Equal(t, before+1, tries, "the end waits for no disk that does not answer")
	})
}
