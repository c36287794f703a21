package fleet_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
	"procman/supervisor/fleet/store/memory"
)

// TestWhateverFailsInWhateverOrderNothingThatIsFencedEverRunsTwice kills daemons, leashes and hosts, cuts them off,
// lets answers get lost, fills disks and drains, at random; the ledger is kept by world.begins. PROCMAN_FLEET_ROUNDS
// says how often, PROCMAN_FLEET_SEED repeats one.
func TestWhateverFailsInWhateverOrderNothingThatIsFencedEverRunsTwice(t *testing.T) {
	rounds := 40
	if testing.Short() {
		rounds = 10
	}
	if n, err := strconv.Atoi(os.Getenv("PROCMAN_FLEET_ROUNDS")); err == nil {
		rounds = n
	}
	first := rand.Uint64()
	if n, err := strconv.ParseUint(os.Getenv("PROCMAN_FLEET_SEED"), 10, 64); err == nil {
		first, rounds = n, 1
	}
	for n := range rounds {
		seed := first + uint64(n)
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) { randomRound(t, rand.New(rand.NewPCG(seed, 1))) })
		})
	}
}

func randomRound(t *testing.T, r *rand.Rand) {
	w := newWorld(t)
	names := []string{"a", "b", "c"}
	for _, name := range names {
		w.start(name)
	}
	w.pass(4 * time.Second)
	specs := map[messages.InstanceID]string{}
	for n := range 9 {
		specs[messages.InstanceID(fmt.Sprintf("i%d", n))] = []string{fenced, fenced, bound}[n%3]
	}
	w.hosts["a"].apply(specs)
	w.pass(3 * time.Second)
	placed := map[messages.InstanceID]string{}
	for id, text := range specs {
		if text == bound {
			placed[id] = w.runs(id)[0]
		}
	}
	for range 25 {
		h := w.hosts[names[r.IntN(len(names))]]
		switch alive := h.daemon != nil; r.IntN(12) {
		case 0, 1:
			if alive {
				h.kill()
			} else {
				h.run()
			}
		case 2:
			if alive {
				h.crash()
			}
		case 3:
			h.store.Cut(true)
		case 4:
			h.store.Cut(false)
		case 5:
			if alive { // no clock of a host fences it when both are dead: that is said
				h.guard.die()
				w.pass(2 * time.Second)
			}
		case 6:
			h.guard.fill(errors.New("no space left on device"))
		case 7:
			h.guard.fill(nil)
		case 8:
			if alive {
				ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
				_ = h.Drain(ctx, names[r.IntN(len(names))], r.IntN(2) == 0) // the store may not answer
				cancel()
			}
		case 9, 10:
			lossy := rand.New(rand.NewPCG(r.Uint64(), 2))
			var turn sync.Mutex // calls come from many goroutines
			h.store.Faults(func(memory.Call) memory.Fault {
				turn.Lock()
				defer turn.Unlock()
				switch lossy.IntN(6) {
				case 0:
					return memory.Fault{Drop: true, Fail: lossy.IntN(2) == 0}
				case 1:
					return memory.Fault{Lose: true, Fail: lossy.IntN(2) == 0}
				case 2:
					return memory.Fault{Delay: time.Duration(lossy.IntN(4000)) * time.Millisecond}
				case 3:
					return memory.Fault{Back: time.Duration(lossy.IntN(4000)) * time.Millisecond}
				}
				return memory.Fault{}
			})
		case 11:
			h.store.Faults(nil)
		}
		w.pass(time.Duration(r.IntN(5000)) * time.Millisecond)
		for _, h := range w.hosts {
			if h.daemon != nil {
				wrong, err := h.Unlisted(context.Background())
				require.NoError(t, err)
				require.Empty(t, wrong, "what may have changed was looked at")
			}
		}
	}
	for _, name := range names {
		h := w.hosts[name]
		if h.daemon == nil {
			h.run()
		}
		h.guard.fill(nil)
		h.store.Cut(false)
		h.store.Faults(nil)
	}
	w.pass(5 * time.Second)
	for _, name := range names {
		require.NoError(t, w.hosts["a"].Drain(context.Background(), name, false))
	}
	w.pass(40 * time.Second)
	for id := range specs {
		require.Len(t, w.runs(id), 1, "%s runs again, once", id)
		if at, is := placed[id]; is {
			require.Equal(t, at, w.runs(id)[0])
		}
	}
	for _, name := range slices.Sorted(slices.Values(names)) {
		require.Empty(t, w.hosts[name].log.Bugs())
	}
}
