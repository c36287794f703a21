package daemon

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// valve is a stderr that can be shut.
type valve struct {
	mu   sync.Mutex
	open chan struct{} // closed: it flows
	err  error
	text strings.Builder
}

func newValve(open bool) *valve {
	v := &valve{open: make(chan struct{})}
	if open {
		close(v.open)
	}
	return v
}

func (v *valve) Write(p []byte) (int, error) {
	<-v.open
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.err != nil {
		return 0, v.err
	}
	return v.text.Write(p)
}

func (v *valve) fail(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.err = err
}

func (v *valve) String() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.text.String()
}

func note(dropped int) []byte { return fmt.Appendf(nil, "dropped %d\n", dropped) }

func record(t *testing.T, w interface{ Write([]byte) (int, error) }, text string) {
	t.Helper()
	n, err := w.Write([]byte(text + "\n"))
	require.NoError(t, err)
	require.Equal(t, len(text)+1, n)
}

func TestRecordsAreWrittenInTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newValve(true)
		w := newLogWriter(v, 1000, note)
		for n := range 5 {
			record(t, w, fmt.Sprint(n))
		}
		w.Close(time.Second)
		require.Equal(t, "0\n1\n2\n3\n4\n", v.String())
	})
}

func TestABlockedStderrNeverBlocksAndWhatIsDroppedIsReportedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newValve(false)
		w := newLogWriter(v, 12, note)
		began := time.Now()
		record(t, w, "one")
		synctest.Wait() // it is on its way, and stuck
		record(t, w, "two")
		record(t, w, "six")
		for range 1000 {
			record(t, w, "lost")
		}
		require.Zero(t, time.Since(began))
		close(v.open)
		synctest.Wait()
		require.Equal(t, "one\ntwo\nsix\ndropped 1000\n", v.String())
		record(t, w, "on")
		w.Close(time.Second)
		require.Equal(t, "one\ntwo\nsix\ndropped 1000\non\n", v.String())
	})
}

func TestWhatWasDroppedIsReportedAlsoIfNothingElseIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newValve(false)
		w := newLogWriter(v, 4, note)
		record(t, w, "one")
		synctest.Wait()
		record(t, w, "lost")
		close(v.open)
		synctest.Wait()
		require.Equal(t, "one\ndropped 1\n", v.String())
		w.Close(time.Second)
	})
}

func TestWhatWaitsIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newValve(false)
		w := newLogWriter(v, 100, note)
		for range 1000 {
			record(t, w, "0123456789")
			synctest.Wait()
			w.mu.Lock()
			require.LessOrEqual(t, len(w.pending)+w.flying, 100)
			w.mu.Unlock()
		}
		close(v.open)
		w.Close(time.Second)
		require.Equal(t, 9, strings.Count(v.String(), "0123456789"))
	})
}

func TestARecordThatIsLargerThanTheBacklogIsWrittenIfNothingElseWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newValve(true)
		w := newLogWriter(v, 10, note)
		record(t, w, strings.Repeat("x", 100_000))
		w.Close(time.Second)
		require.Len(t, v.String(), 100_001)
	})
}

func TestRecordsThatCouldNotBeWrittenAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newValve(true)
		w := newLogWriter(v, 1000, note)
		v.fail(errors.New("broken pipe"))
		record(t, w, "one")
		synctest.Wait()
		record(t, w, "two")
		synctest.Wait()
		v.fail(nil)
		record(t, w, "three")
		w.Close(time.Second)
		require.Equal(t, "three\ndropped 2\n", v.String())
	})
}

func TestWhoIsPatientWaitsForRoomWhileStderrMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newValve(false)
		w := newLogWriter(v, 16, note)
		p := w.Patient()
		record(t, p, "one")
		synctest.Wait()
		record(t, p, "two")
		waited := make(chan time.Duration)
		go func() {
			began := time.Now()
			record(t, p, "more")
			waited <- time.Since(began)
		}()
		time.Sleep(logPatience / 2)
		close(v.open)
		require.Equal(t, logPatience/2, <-waited)
		w.Close(time.Second)
		require.Equal(t, "one\ntwo\nmore\n", v.String(), "nothing is dropped")
	})
}

func TestPatienceEndsWhenStderrIsBlockedAndComesBackWhenItFlows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newValve(false)
		w := newLogWriter(v, 16, note)
		p := w.Patient()
		record(t, p, "one")
		synctest.Wait()
		record(t, p, "two")
		began := time.Now()
		record(t, p, "lost")
		require.Equal(t, logPatience, time.Since(began))
		record(t, p, "lost")
		require.Equal(t, logPatience, time.Since(began), "once it is known to be blocked nobody waits")
		close(v.open)
		synctest.Wait()
		require.Equal(t, "one\ntwo\ndropped 2\n", v.String())
		w.mu.Lock()
		require.False(t, w.blocked)
		w.mu.Unlock()
		w.Close(time.Second)
	})
}

func TestHoweverMuchIsPrintedTheManagersOwnRecordsFindRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newValve(false)
		w := newLogWriter(v, 1000, note)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 200 {
				record(t, w.Patient(), "an instance prints")
			}
		}()
		synctest.Wait() // it waits for room
		for range 10 {
			record(t, w, "instance exited")
		}
		close(v.open)
		<-done
		w.Close(time.Second)
		require.Equal(t, 10, strings.Count(v.String(), "instance exited\n"))
		require.Equal(t, 200, strings.Count(v.String(), "an instance prints\n"))
		require.NotContains(t, v.String(), "dropped")
	})
}

func TestHurryAndCloseEndAllPatience(t *testing.T) {
	for name, end := range map[string]func(*logWriter){"hurry": (*logWriter).EndPatience,
		"close": func(w *logWriter) { w.Close(0) }} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := newValve(false)
				w := newLogWriter(v, 8, note)
				record(t, w, "one")
				done := make(chan struct{})
				began := time.Now()
				go func() {
					record(t, w.Patient(), "two")
					close(done)
				}()
				synctest.Wait()
				end(w)
				<-done
				require.Zero(t, time.Since(began))
				close(v.open)
				w.Close(time.Second)
			})
		})
	}
}

func TestTheEndDoesNotWaitForABlockedStderr(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newValve(false)
		w := newLogWriter(v, 100, note)
		record(t, w, "one")
		began := time.Now()
		w.Close(flushTime)
		require.Equal(t, flushTime, time.Since(began))
		close(v.open)
		<-w.done
	})
}

// A write that ends in the very instant in which it counts as blocked has ended (F159).
func TestAWriteThatEndsInTheInstantOfItsPatienceIsNotBlockedForEver(t *testing.T) {
	for range 200 {
		synctest.Test(t, func(t *testing.T) {
			v := newValve(false)
			w := newLogWriter(v, 1<<10, note)
			defer w.Close(time.Second)
			time.AfterFunc(logPatience, func() { close(v.open) })
			record(t, w, "x")
			time.Sleep(2 * logPatience)
			synctest.Wait()
			require.True(t, w.Settled())
			w.mu.Lock()
			defer w.mu.Unlock()
			require.False(t, w.blocked)
		})
	}
}

// tally counts what is written, and in how many writes.
type tally struct {
	*valve
	writes int
}

func (c *tally) Write(p []byte) (int, error) {
	c.writes++
	return c.valve.Write(p)
}

func TestLinesOfOutputAreWrittenTogetherAndTheManagersOwnRecordsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &tally{valve: newValve(true)}
		w := newLogWriter(c, 1<<20, note)
		defer w.Close(time.Second)
		began := time.Now()
		for range 5 {
			record(t, w.Patient(), "a line")
			synctest.Wait()
		}
		require.Empty(t, c.String())
		time.Sleep(logGather)
		synctest.Wait()
		require.Equal(t, 5, strings.Count(c.String(), "a line\n"))
		require.Equal(t, 1, c.writes)
		require.Equal(t, logGather, time.Since(began))

		record(t, w.Patient(), "a line")
		record(t, w, "an exit")
		synctest.Wait()
		require.True(t, strings.HasSuffix(c.String(), "a line\nan exit\n"), "in their order")
		require.Equal(t, 2, c.writes)

		record(t, w.Patient(), "a line")
		require.True(t, w.Settled())
		require.Equal(t, logGather, time.Since(began), "who asks whether it is settled has it written")
		require.Equal(t, 7, strings.Count(c.String(), "a line\n"))
	})
}

func TestAFloodWaitsForNobodyAndIsWrittenInPieces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &tally{valve: newValve(true)}
		w := newLogWriter(c, 1<<20, note)
		began := time.Now()
		const lines = 100_000
		for n := range lines {
			record(t, w.Patient(), fmt.Sprintf("%07d", n))
		}
		require.Zero(t, time.Since(began))
		w.Close(time.Second)
		require.Len(t, c.String(), 8*lines)
		require.Less(t, c.writes, 2*8*lines/logPiece+2)
		require.LessOrEqual(t, cap(w.pending)+cap(w.spare), 4*logAhead, "what a flood has needed is let go of")
	})
}

func TestThoseWhoWaitForTheSameWriteDoNotKeepEachOtherAwake(t *testing.T) {
	defer time.AfterFunc(time.Minute, func() { panic("they do: none of them ever sleeps") }).Stop()
	synctest.Test(t, func(t *testing.T) {
		v := newValve(false)
		w := newLogWriter(v, 12, note)
		record(t, w, "one")
		synctest.Wait() // it is on its way, and stuck
		var waiting sync.WaitGroup
		for range 3 {
			waiting.Go(func() { w.Settled() })
			waiting.Go(func() { record(t, w.Patient(), "patient") })
		}
		synctest.Wait() // it returns once all of them sleep
		close(v.open)
		waiting.Wait()
		w.Close(time.Second)
		require.Equal(t, 3, strings.Count(v.String(), "patient\n"))
	})
}
