package daemon

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	onDisk "procman/actors/record"
)

func TestWhatADaemonWaitsForIsSaidSoonAndNotAllTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var touched Touches
		var said []string
		stop := touched.watch(func(what string) { said = append(said, what) })
		defer stop()
		outer := touched.Begin("the state directory /s")
		time.Sleep(time.Second)
		inner := touched.Begin("the socket /s/sock")
		time.Sleep(4500 * time.Millisecond)
		require.Equal(t, []string{"the state directory /s does not answer since 4s; the disk or mount that it is on may hang"}, said)
		require.Contains(t, touched.Stalled(time.Second), "the socket /s/sock")
		time.Sleep(time.Minute)
		require.Len(t, said, 2)
		inner()
		require.Contains(t, touched.Stalled(time.Second), "the state directory /s")
		outer()
		require.Empty(t, touched.Stalled(0))
		(*Touches)(nil).Begin("nothing is noted")()
	})
}

func TestWhatCouldNotBeWrittenIsWrittenOnceThereIsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		news, quit, done := make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
		full := errors.New("no space left on device")
		var tries int
		var told []string
		go func() {
			defer close(done)
			untilWritten(news, quit, func() error { tries++; return full }, func(err error) { told = append(told, fmt.Sprint(err)) })
		}()
		news <- struct{}{}
		time.Sleep(time.Minute)
		require.InDelta(t, 9, tries, 2)
		require.Equal(t, []string{"no space left on device"}, told)
		full = nil
		time.Sleep(writeAgainLater)
		require.Equal(t, []string{"no space left on device", "<nil>"}, told)
		before := tries
		time.Sleep(time.Hour)
		require.Equal(t, before, tries)
		full = &onDisk.StalledError{Name: "the state disk"}
		news <- struct{}{}
		synctest.Wait()
		close(quit)
		<-done
		require.Equal(t, before+1, tries, "the end waits for no disk that does not answer")
	})
}
