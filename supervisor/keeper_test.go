package supervisor

import (
	"errors"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

// disk is a memory on a disk that may be full, or may not answer.
type disk struct {
	forgetful
	mu      sync.Mutex
	err     error
	stalled map[messages.InstanceID]chan struct{}
	pages   map[messages.InstanceID]messages.Memory
	at      map[messages.InstanceID]time.Time
	under   int
	most    int
}

func newDisk() *disk {
	return &disk{stalled: map[messages.InstanceID]chan struct{}{}, pages: map[messages.InstanceID]messages.Memory{},
		at: map[messages.InstanceID]time.Time{}}
}

func (d *disk) Remember(m messages.Memory) error {
	d.mu.Lock()
	stall := d.stalled[m.ID]
	d.under++
	d.most = max(d.most, d.under)
	d.mu.Unlock()
	if stall != nil {
		<-stall
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.under--
	if d.err != nil {
		return d.err
	}
	d.pages[m.ID], d.at[m.ID] = m, time.Now()
	return nil
}

func (d *disk) page(id messages.InstanceID) messages.Memory {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.pages[id]
}

func (d *disk) full(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err = err
}

type told struct {
	mu     sync.Mutex
	state  map[messages.InstanceID]error
	events []messages.EventType
}

func keeperOn(d *disk) (*keeper, *told) {
	t := &told{state: map[messages.InstanceID]error{}}
	return newKeeper(d, func(id messages.InstanceID, err error) {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.state[id] = err
	}, func(e messages.Event) {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.events = append(t.events, e.What)
	}), t
}

func TestWhatAFullDiskRefusedIsSaidOnceAndWrittenWhenThereIsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		d.full(syscall.ENOSPC)
		k, told := keeperOn(d)
		said := make(chan error, 1)
		k.remember(messages.Memory{ID: "a", Held: true}, func(err error) { said <- err })
		k.remember(messages.Memory{ID: "b"}, nil)
		require.ErrorIs(t, <-said, syscall.ENOSPC)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.ErrorIs(t, told.state["a"], syscall.ENOSPC)
		require.Equal(t, []messages.EventType{messages.StateUnsaved}, told.events, "not again with every try")
		d.full(nil)
		time.Sleep(saveAtLeast)
		synctest.Wait()
		require.True(t, d.pages["a"].Held)
		require.Contains(t, d.pages, messages.InstanceID("b"))
		require.NoError(t, told.state["a"])
		require.Equal(t, []messages.EventType{messages.StateUnsaved, messages.StateSaved}, told.events)
		require.NoError(t, k.close(time.Second))
	})
}

func TestOneRecordThatStallsDelaysNoOtherInstancesAndHoldsOneWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		heal := make(chan struct{})
		d.stalled["slow"] = heal
		k, told := keeperOn(d)
		k.remember(messages.Memory{ID: "slow"}, nil)
		began := time.Now()
		for n := range 1000 {
			k.remember(messages.Memory{ID: "quick", Run: n}, nil)
			k.remember(messages.Memory{ID: "slow", Run: n}, nil)
		}
		synctest.Wait()
		require.Equal(t, 999, d.pages["quick"].Run)
		require.Equal(t, began, d.at["quick"])
		time.Sleep(savePatience)
		synctest.Wait()
		require.ErrorContains(t, told.state["slow"], "does not answer")
		close(heal)
		synctest.Wait()
		require.Equal(t, 999, d.pages["slow"].Run, "the newest, when the disk answers")
		require.NoError(t, told.state["slow"])
		require.LessOrEqual(t, d.most, maxWriters)
		require.NoError(t, k.close(time.Second))
	})
}

func TestTheEndDoesNotWaitForADiskThatStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		heal := make(chan struct{})
		d.stalled["a"] = heal
		k, _ := keeperOn(d)
		k.remember(messages.Memory{ID: "a"}, nil)
		began := time.Now()
		require.ErrorContains(t, k.close(farewell), "1 instance could not be written")
		require.Equal(t, farewell, time.Since(began))
		close(heal)
	})
}

// A write that ends in the very instant in which it counts as slow is written, and nothing else.
func TestAWriteThatEndsInTheInstantInWhichItIsSlowIsNotSlowForEver(t *testing.T) {
	for range 200 {
		synctest.Test(t, func(t *testing.T) {
			d := newDisk()
			heal := make(chan struct{})
			d.stalled["a"] = heal
			k, told := keeperOn(d)
			time.AfterFunc(savePatience, func() { close(heal) })
			k.remember(messages.Memory{ID: "a"}, nil)
			time.Sleep(2 * savePatience)
			synctest.Wait()
			require.NoError(t, told.state["a"])
			require.NoError(t, k.close(time.Second))
		})
	}
}

func TestWhatIsOnDiskAlreadyIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		d.full(errors.New("full"))
		k, _ := keeperOn(d)
		said := make(chan error, 1)
		k.knows(messages.Memory{ID: "a", Held: true, HeldBy: "uid 0"})
		k.remember(messages.Memory{ID: "a", Held: true, HeldBy: "uid 0", Run: 2}, func(err error) { said <- err })
		require.NoError(t, <-said)
		_ = k.close(time.Second)
	})
}

func TestWhatChangesSeveralTimesInAMomentIsWrittenOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		k, _ := keeperOn(d)
		began := time.Now()
		for run := 1; run <= 3; run++ {
			k.rememberSoon(messages.Memory{ID: "a", Run: run})
			time.Sleep(changing / 4)
		}
		synctest.Wait()
		require.Zero(t, d.page("a"))
		time.Sleep(changing)
		synctest.Wait()
		require.Equal(t, 3, d.page("a").Run)
		d.mu.Lock()
		require.Equal(t, changing, d.at["a"].Sub(began), "a moment after the first change")
		d.mu.Unlock()

		k.rememberSoon(messages.Memory{ID: "a", Run: 4})
		said := make(chan error, 1)
		k.remember(messages.Memory{ID: "a", Run: 4, Held: true}, func(err error) { said <- err })
		require.NoError(t, <-said)
		synctest.Wait()
		require.True(t, d.page("a").Held, "a hold does not wait")
		require.False(t, k.soon.Stop(), "nobody is woken for what is written")

		time.Sleep(time.Second)
		k.rememberSoon(messages.Memory{ID: "b", Run: 1})
		require.NoError(t, k.close(time.Second))
		synctest.Wait()
		require.Equal(t, 1, d.page("b").Run, "nor does the end")
	})
}

var _ Memory = (*disk)(nil)
