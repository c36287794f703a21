package port

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"procman/actors"
	"procman/messages"
)

// TestRandomUseLeaksAndSharesNothing does rapid's 100 rounds of some hundred operations each.
func TestRandomUseLeaksAndSharesNothing(t *testing.T) {
	const size = 6
	first := freeRange(t, size+1)
	before := openFiles(t)
	rapid.Check(t, func(t *rapid.T) {
		p, err := New(Options{First: first, Last: first + size - 1, Hold: rapid.Bool().Draw(t, "hold")})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}
		}()
		leases := map[messages.InstanceID]actors.Lease{} // the model: who may use a port now
		last := map[messages.InstanceID]int{}            // where a sticky instance was
		for range 120 {
			id := messages.InstanceID(fmt.Sprint("i", rapid.IntRange(0, size+2).Draw(t, "id")))
			had, free := leases[id], p.free.Len()+len(neverTried(p))
			switch op := rapid.SampledFrom([]string{"acquire", "acquire", "acquire", "claim", "release", "release",
				"discard", "forget"}).Draw(t, "op"); {
			case op == "acquire":
				l, err := p.Acquire(id)
				var start *messages.StartError
				switch {
				case err != nil && (!errors.As(err, &start) || start.Fault != messages.FaultNoPort):
					t.Fatal(err)
				case err != nil && len(p.Leases()) < size:
					t.Fatalf("no port, but of %d only %d are leased", size, len(p.Leases()))
				case err == nil && had != nil && l.Port() != had.Port():
					t.Fatalf("%s has %d and then %d", id, had.Port(), l.Port())
				case err == nil && had == nil && last[id] != 0 && l.Port() != last[id]:
					t.Fatalf("%s was on %d and came back on %d", id, last[id], l.Port())
				case err == nil:
					leases[id] = l
					for other, at := range last {
						if other != id && at == l.Port() {
							if free > 0 {
								t.Fatalf("%d was taken from %s although %d ports are free", at, other, free)
							}
							delete(last, other)
						}
					}
				}
			case op == "claim":
				n := first + rapid.IntRange(0, size).Draw(t, "port")
				l, err := p.Claim(id, n)
				taken := false
				for other, o := range leases {
					taken = taken || other != id && o.Port() == n
				}
				if (err != nil) != taken {
					t.Fatalf("claim of %d: %v, taken %v", n, err, taken)
				}
				if err == nil {
					leases[id] = l
					for other, at := range last {
						if at == n {
							delete(last, other)
						}
					}
				}
			case had != nil && op == "release":
				had.Release()
				delete(leases, id)
			case had != nil && op == "discard":
				had.Discard()
				delete(leases, id)
			case op == "forget":
				p.Forget(id)
				if had != nil {
					had.Release()
					delete(leases, id)
				}
			}
			delete(last, id)
			if s := p.owned[id]; s != nil {
				last[id] = s.port
			}
			check(t, p, leases)
		}
	})
	require.Equal(t, before, openFiles(t))
}

func check(t *rapid.T, p *Ports, leases map[messages.InstanceID]actors.Lease) {
	users := map[int]messages.InstanceID{}
	for id, l := range leases {
		if other, shared := users[l.Port()]; shared {
			t.Fatalf("%d is shared by %s and %s", l.Port(), id, other)
		}
		users[l.Port()] = id
		if p.Leases()[id] != l.Port() {
			t.Fatalf("%s uses %d, but the table says %v", id, l.Port(), p.Leases())
		}
	}
	if len(p.Leases()) != len(leases) {
		t.Fatalf("the table says %v, the users are %v", p.Leases(), users)
	}
	never := neverTried(p)
	for n := p.first; n <= p.last; n++ {
		if slices.Contains(never, n) {
			continue
		}
		if s := p.slots[n]; s == nil || s.owner == "" && (s.place == nil || s.held != nil) {
			t.Fatalf("port %d leaked", n)
		}
	}
	outside := len(p.slots) + len(never) - (p.last - p.first + 1)
	owned := p.free.Len() + len(p.owned)
	if owned != len(p.slots) || outside > 1 {
		t.Fatalf("%d slots, but %d free and %d owned", len(p.slots), p.free.Len(), len(p.owned))
	}
}

// neverTried returns the ports of the range that have no slot yet, and will be tried.
func neverTried(p *Ports) (ports []int) {
	for n := p.next; n <= p.last; n++ {
		if p.slots[n] == nil {
			ports = append(ports, n)
		}
	}
	return ports
}

func TestAPortThatWasNeverTriedCostsNothing(t *testing.T) {
	p, err := New(Options{First: 1, Last: 65535})
	require.NoError(t, err)
	require.Empty(t, p.slots)
	require.Zero(t, p.free.Len())
	require.NoError(t, p.Close())
}

func BenchmarkAcquireRelease(b *testing.B) {
	for _, size := range []int{10, 1000} {
		b.Run(fmt.Sprintf("sticky/%d ports", size), func(b *testing.B) {
			p := newPorts(b, freeRange(b, size), size, true)
			for b.Loop() {
				acquire(b, p, "a").Release()
			}
		})
		b.Run(fmt.Sprintf("new/%d ports", size), func(b *testing.B) {
			p := newPorts(b, freeRange(b, size), size, true)
			for b.Loop() {
				acquire(b, p, "a").Discard()
			}
		})
	}
}
