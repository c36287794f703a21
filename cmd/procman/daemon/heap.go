package daemon

import (
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"procman/messages"
)

const (
	// heapGrowth is in percent of what is in use: a quarter of what Go takes by itself. A manager has little to do, and
	// is one of many on a host.
	heapGrowth = 25
	// heapOpening is as much while a daemon opens or ends: what it reads then is garbage by the next instance, and to
	// collect it again and again took a tenth of the time until all are adopted, and more of that until all are
	// stopped.
	heapOpening = 200
	// heapBurst is as much while many are started, which took a twelfth of processor time more with heapGrowth. With
	// more than this, what lives on lies thinly among what is gone, and is given back to the host by nobody.
	heapBurst = 50

	heapQuiet = 2 * time.Second // without a word, after which a burst is over
	heapAgain = time.Minute     // between two times that memory is given back
	heapMany  = 100             // instances that have begun, or have been listed anew, are a burst
	heapCalm  = 4 * time.Second // between two collections of garbage, after which the program is not at work
)

// heap gives memory back to the host after a burst of work, such as the start of a thousand instances: Go by itself
// keeps for a long time what was needed once. The start of the manager is a burst too.
type heap struct {
	free func()            // gives it back
	calm func()            // gives back what a collection of garbage has needed
	grow func(percent int) // says how much may be garbage

	mu        sync.Mutex
	work      int // since it was given back
	heard     time.Time
	given     time.Time
	collected time.Time   // when garbage was collected the last time
	timer     *time.Timer // nil: not armed
	ended     bool
}

// mayGrow says in percent how much may be garbage, unless the operator says it.
func mayGrow(percent int, env func(string) string) {
	if env("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
}

func newHeap(env func(string) string) *heap {
	h := &heap{free: func() { debug.FreeOSMemory(); LetGoOfProgram() }, calm: LetGoOfProgram,
		grow: func(percent int) { mayGrow(percent, env) }}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.work, h.heard = heapMany, time.Now()
	h.timer = time.AfterFunc(heapQuiet, h.look)
	h.await()
	return h
}

// opened is said when the daemon is open; much may have to be started yet.
func (h *heap) opened() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.timer != nil && !h.ended {
		h.grow(heapBurst)
	}
}

// await has a collection of garbage noticed: what nobody refers to is found by the next one.
func (h *heap) await() { runtime.AddCleanup(new([64]byte), (*heap).collection, h) }

// collection gives back what a collection of garbage has needed of the program, which nothing else needs, if it is not
// one of many.
func (h *heap) collection() {
	h.mu.Lock()
	now := time.Now()
	calm := now.Sub(h.collected) > heapCalm && !h.ended
	h.collected = now
	if !h.ended {
		h.await()
	}
	h.mu.Unlock()
	if calm {
		h.calm()
	}
}

// event takes note of what was done.
func (h *heap) event(e messages.Event) {
	if e.What == messages.InstanceStarted || e.What == messages.InstanceAdopted {
		h.worked(1)
	}
}

// reconciled takes note of what a list has changed: the rest of it was not read again.
func (h *heap) reconciled(r messages.Reconciled) { h.worked(r.Added + r.Changed + r.Removed) }

func (h *heap) worked(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.heard = time.Now()
	if h.work += n; h.work >= heapMany && h.timer == nil && !h.ended {
		h.grow(heapBurst)
		h.timer = time.AfterFunc(max(heapQuiet, heapAgain-time.Since(h.given)), h.look)
	}
}

// look gives memory back if the burst is over.
func (h *heap) look() {
	h.mu.Lock()
	if h.ended {
		h.mu.Unlock()
		return
	}
	if wait := heapQuiet - time.Since(h.heard); wait > 0 {
		h.timer.Reset(wait)
		h.mu.Unlock()
		return
	}
	if h.work > heapMany { // a manager that has only begun may have much to do yet
		h.given = time.Now()
	}
	h.work, h.timer = 0, nil
	h.grow(heapGrowth)
	h.mu.Unlock()
	h.free()
}

// ending lets garbage be: the daemon is over before much of it is worth collecting.
func (h *heap) ending() {
	_ = h.Close() // it has no error
	h.grow(heapOpening)
}

// Close ends it.
func (h *heap) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended = true
	if h.timer != nil {
		h.timer.Stop()
	}
	return nil
}
