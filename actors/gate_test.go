package actors

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"procman/messages"
)

// worker is a process that is at work until it is told to rest.
type worker struct {
	Process
	mu    sync.Mutex
	began time.Time
	rests bool
	used  time.Duration
	looks int
	gone  error
	stall chan struct{} // Used waits for its end; nil: for nothing
}

func (w *worker) Used() (time.Duration, error) {
	if w.stall != nil {
		<-w.stall
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.looks++
	if !w.rests {
		w.used = time.Since(w.began)
	}
	return w.used, w.gone
}

func (w *worker) Runs() (runs, family bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.rests, false
}

func (w *worker) rest(rests bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rests = rests
}

func (w *worker) looked() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.looks
}

// passed has a start pass the gate, and its process exist.
func passed(t *testing.T, g *Gate, id messages.InstanceID, rests bool) (*slot, *worker) {
	t.Helper()
	s, w := &slot{gate: g, id: id}, &worker{began: time.Now(), rests: rests}
	require.NoError(t, s.Acquire(t.Context(), nil))
	s.Begin(w)
	return s, w
}

func TestWhatRestsKeepsNobodyWaitingAndWhatWorksDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(1)
		began := time.Now()
		hangs, _ := passed(t, g, "hangs", true)
		compiles, w := passed(t, g, "compiles", false)
		require.Less(t, time.Since(began), 10*time.Millisecond)
		time.AfterFunc(time.Second, func() { w.rest(true) })
		other, _ := passed(t, g, "other", true)
		require.GreaterOrEqual(t, time.Since(began), time.Second)
		require.Less(t, time.Since(began), 1100*time.Millisecond)
		for _, s := range []*slot{hangs, compiles, other} {
			s.Release(nil)
		}
		taken, _ := g.core.Taken()
		require.Zero(t, taken)
	})
}

func TestNobodyLooksAndNoTimerRunsWhileNobodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(1)
		hangs, w := passed(t, g, "hangs", true)
		time.Sleep(time.Hour)
		require.Zero(t, w.looked())
		other, _ := passed(t, g, "other", false)
		before := w.looked()
		require.Positive(t, before)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, (&slot{gate: g, id: "third"}).Acquire(ctx, nil), context.DeadlineExceeded)
		before = w.looked()
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Equal(t, before, w.looked())
		require.True(t, g.due.IsZero())
		hangs.Release(nil)
		other.Release(nil)
	})
}

func TestAStopEndsTheWaitingForATurnAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(1)
		works, _ := passed(t, g, "works", false)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		began := time.Now()
		require.ErrorIs(t, (&slot{gate: g, id: "stopped"}).Acquire(ctx, nil), context.Canceled)
		require.Equal(t, time.Second, time.Since(began))
		require.Empty(t, g.waiting)
		require.False(t, g.Waits("stopped").Waits)
		works.Release(nil)
		last, _ := passed(t, g, "last", true)
		last.Release(nil)
	})
}

func TestWhoIsUrgedGoesFirstAndWhoWaitsCanSaySo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(1)
		works, _ := passed(t, g, "works", false)
		var mu sync.Mutex
		var order []messages.InstanceID
		slots := map[messages.InstanceID]*slot{}
		for _, id := range []messages.InstanceID{"a", "b", "c"} {
			s := &slot{gate: g, id: id}
			slots[id] = s
			go func() {
				_ = s.Acquire(t.Context(), nil)
				mu.Lock()
				order = append(order, id)
				mu.Unlock()
				s.Release(nil)
			}()
			synctest.Wait()
		}
		require.Equal(t, messages.Queue{Waits: true, Busy: 1, Places: 1}, g.Waits("b"))
		require.Equal(t, messages.Queue{}, g.Waits("works"))
		slots["c"].urge()
		require.Equal(t, messages.PrecedenceUrgent, g.Waits("c").Precedence)
		works.Release(nil)
		synctest.Wait()
		require.Equal(t, []messages.InstanceID{"c", "a", "b"}, order)
		late := &slot{gate: g, id: "late"} // asked for before it has come to the gate
		late.urge()
		require.NoError(t, late.Acquire(t.Context(), nil))
		require.Equal(t, messages.PrecedenceUrgent, late.passage.Precedence())
		late.Release(nil)
	})
}

func TestAProcessThatIsNotToBeSeenAnyMoreHasNoPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(1)
		ended, w := passed(t, g, "ended", false)
		w.gone = context.Canceled
		began := time.Now()
		other, _ := passed(t, g, "other", false)
		require.Less(t, time.Since(began), 100*time.Millisecond)
		ended.Release(nil)
		other.Release(nil)
	})
}

func TestAProcessThatCannotTellWhatItUsesHasItsPlaceForTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(1)
		blind := &slot{gate: g, id: "blind"}
		require.NoError(t, blind.Acquire(t.Context(), nil))
		blind.Begin(struct{ Process }{})
		began := time.Now()
		other, _ := passed(t, g, "other", false)
		require.Equal(t, 10*time.Second, time.Since(began))
		blind.Release(nil)
		other.Release(nil)
	})
}

// A place may be given back while somebody looks at others: whoever comes in that moment is not who may go on.
func TestWhoComesWhileSomebodyLooksTakesNobodysTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(2)
		hangs := &slot{gate: g, id: "hangs in its exec"}
		require.NoError(t, hangs.Acquire(t.Context(), nil))
		time.Sleep(248 * time.Millisecond) // both are looked at after another
		works, w := &slot{gate: g, id: "works"}, &worker{began: time.Now(), stall: make(chan struct{})}
		require.NoError(t, works.Acquire(t.Context(), nil))
		works.Begin(w)
		first, late := &slot{gate: g, id: "first"}, &slot{gate: g, id: "late"}
		var went sync.WaitGroup
		went.Go(func() { _ = first.Acquire(t.Context(), nil) })
		time.Sleep(3 * time.Millisecond)
		require.True(t, g.Waits("first").Waits)
		went.Go(func() { _ = late.Acquire(t.Context(), nil) })
		synctest.Wait()
		require.False(t, g.Waits("first").Waits)
		require.True(t, g.Waits("late").Waits)
		w.rest(true)
		close(w.stall)
		went.Wait()
		for _, s := range []*slot{hangs, works, first, late} {
			s.Release(nil)
		}
	})
}

// BenchmarkAStartThatNeedNotWait is what the gate costs one.
func BenchmarkAStartThatNeedNotWait(b *testing.B) {
	g := NewGate(8)
	p := &worker{}
	b.ReportAllocs()
	for b.Loop() {
		s := slot{gate: g, id: "a"}
		if err := s.Acquire(b.Context(), nil); err != nil {
			b.Fatal(err)
		}
		s.Begin(p)
		s.Release(nil)
	}
}

// BenchmarkAStartAmongThousands is what it costs one of many that come at once.
func BenchmarkAStartAmongThousands(b *testing.B) {
	g := NewGate(8)
	p := &worker{rests: true}
	var all sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for n := range b.N {
		all.Go(func() {
			s := slot{gate: g, id: messages.InstanceID(fmt.Sprint(n))}
			if err := s.Acquire(b.Context(), nil); err != nil {
				b.Error(err)
			}
			s.Begin(p)
			s.Release(nil)
		})
	}
	all.Wait()
}

// Whatever comes and goes, and is stopped or urged meanwhile, everybody gets through and nothing is kept.
func TestWhateverComesAndGoesEverybodyGetsThrough(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		places, starts := rapid.IntRange(1, 4).Draw(r, "places"), rapid.IntRange(1, 60).Draw(r, "starts")
		type act struct {
			at, forks, works, stays, stopped time.Duration
			urged                            bool
			precedence                       messages.Precedence
		}
		ms := func(name string, of ...int) time.Duration {
			return time.Duration(rapid.SampledFrom(of).Draw(r, name)) * time.Millisecond
		}
		var acts []act
		for range starts {
			acts = append(acts, act{
				at: ms("at", 0, 0, 1, 100), forks: ms("forks", 0, 1, 1000), works: ms("works", 0, 3, 700, 60_000),
				stays:   ms("stays", 0, 5, 30_000),
				stopped: ms("stopped", 3_600_000, 3_600_000, 0, 50), urged: rapid.Bool().Draw(r, "urged"),
				precedence: rapid.SampledFrom(messages.Precedences()).Draw(r, "precedence"),
			})
		}
		synctest.Test(t, func(t *testing.T) {
			g := NewGate(places)
			var all sync.WaitGroup
			for n, a := range acts {
				all.Go(func() {
					time.Sleep(a.at)
					ctx, cancel := context.WithTimeout(t.Context(), a.stopped)
					defer cancel()
					s := &slot{gate: g, id: messages.InstanceID(fmt.Sprint(n)), precedence: a.precedence}
					if a.urged {
						defer time.AfterFunc(time.Millisecond, s.urge).Stop()
					}
					if s.Acquire(ctx, nil) != nil {
						return
					}
					time.Sleep(a.forks)
					w := &worker{began: time.Now()}
					s.Begin(w)
					time.Sleep(a.works)
					w.rest(true)
					time.Sleep(a.stays)
					s.Release(nil)
				})
			}
			all.Wait()
			taken, _ := g.core.Taken()
			require.Zero(t, taken)
			require.Empty(t, g.waiting)
			require.True(t, g.due.IsZero())
		})
	})
}

func TestAStartThatWaitsForItsTurnHasNoGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(1)
		works, _ := passed(t, g, "works", false)
		turns := map[messages.InstanceID]bool{}
		await := func(ctx context.Context, id messages.InstanceID) holdings {
			h := holdings{{Resource: &slot{gate: g, id: id}, until: ready}, {Resource: &room{}, until: begun}}
			h.await(ctx, func() { turns[id] = h[0].held })
			return h
		}
		ended, end := context.WithCancel(t.Context())
		end()
		await(ended, "ended before")
		require.Equal(t, map[messages.InstanceID]bool{"ended before": false}, turns)
		ctx, cancel := context.WithCancel(t.Context())
		await(ctx, "given up")
		first, second := await(t.Context(), "first"), await(t.Context(), "second")
		require.Len(t, turns, 1)
		cancel()
		synctest.Wait()
		require.Equal(t, map[messages.InstanceID]bool{"ended before": false, "given up": false}, turns)
		works.Release(nil)
		require.True(t, turns["first"])
		require.NotContains(t, turns, messages.InstanceID("second"))
		require.NoError(t, first.acquire(t.Context(), nil)) // it does not come to the gate twice
		first.release(told, &End{})
		require.True(t, turns["second"])
		second.release(told, &End{})
		taken, _ := g.core.Taken()
		require.Zero(t, taken)
		require.Empty(t, g.waiting)
	})
}

func TestAStartThatWaitsForRoomGivesItsTurnToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWaits()
		refused, gave := w.arrive(func(*messages.StartError) {}), false
		go func() { _ = refused.refused(t.Context(), &messages.StartError{Fault: messages.FaultNoPort}) }()
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		next := w.arrive(func(*messages.StartError) { gave = true })
		begun := false
		go func() { _ = next.await(ctx, false, func() { begun = true }) }()
		synctest.Wait()
		require.True(t, begun)
		require.True(t, gave)
		cancel()
		synctest.Wait()
		next.leave()
		begun = false
		require.NoError(t, w.arrive(nil).await(t.Context(), true, func() { begun = true }))
		require.False(t, begun, "who need not wait gives up nothing")
		time.Sleep(firstPause)
		refused.leave()
	})
}
