package port

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"procman/actors"
	"procman/messages"
)

var addresses = []string{"127.0.0.1", "0.0.0.0", "::1", "::"}

func acquire(t testing.TB, p *Ports, id messages.InstanceID) actors.Lease {
	t.Helper()
	l, err := p.Acquire(id)
	require.NoError(t, err)
	return l
}

func requireNoPort(t testing.TB, p *Ports, id messages.InstanceID) *messages.StartError {
	t.Helper()
	l, err := p.Acquire(id)
	require.Nil(t, l)
	var start *messages.StartError
	require.ErrorAs(t, err, &start)
	require.Equal(t, messages.FaultNoPort, start.Fault)
	return start
}

func TestAPortThatAStrangerHasIsNotLeased(t *testing.T) {
	for _, hold := range []bool{true, false} {
		for _, address := range addresses {
			for _, reuse := range []bool{true, false} {
				for _, listening := range []bool{true, false} {
					name := fmt.Sprintf("hold %v/%s/reuse %v/listening %v", hold, address, reuse, listening)
					t.Run(name, func(t *testing.T) {
						first := freeRange(t, 2)
						stranger(t, address, first, reuse, listening)
						p := newPorts(t, first, 2, hold)
						require.Equal(t, first+1, acquire(t, p, "a").Port())
						requireNoPort(t, p, "b")
					})
				}
			}
		}
	}
}

func TestAChildListensOnItsLeasedPort(t *testing.T) {
	for _, hold := range []bool{true, false} {
		for _, address := range addresses {
			t.Run(fmt.Sprintf("hold %v/%s", hold, address), func(t *testing.T) {
				p := newPorts(t, freeRange(t, 1), 1, hold)
				lease := acquire(t, p, "a")
				for range 3 { // and again after a restart
					require.False(t, lease.Contested())
					child := listen(t, address, lease.Port())
					require.True(t, lease.Contested())
					require.NoError(t, child.Close())
					lease.Release()
					lease = acquire(t, p, "a")
				}
			})
		}
	}
}

func TestTwoManagersInOneProcessShareNoPort(t *testing.T) {
	first := freeRange(t, 4)
	one, two := newPorts(t, first, 4, true), newPorts(t, first, 4, true)
	seen := map[int]bool{}
	for i := range 4 {
		p := []*Ports{one, two}[i%2]
		seen[acquire(t, p, messages.InstanceID(fmt.Sprint("i", i))).Port()] = true
	}
	require.Len(t, seen, 4)
	requireNoPort(t, one, "more")
	requireNoPort(t, two, "more")
}

func TestTwoManagersInTwoProcessesShareNoPort(t *testing.T) {
	first := freeRange(t, 4)
	theirs, end := startOtherManager(t, first, first+3, 2)
	require.Len(t, theirs, 2)
	p := newPorts(t, first, 4, true)
	require.NotContains(t, theirs, acquire(t, p, "a").Port())
	require.NotContains(t, theirs, acquire(t, p, "b").Port())
	requireNoPort(t, p, "c")
	end()
	require.Contains(t, theirs, acquire(t, p, "c").Port(), "a manager's ports are free after its death")
}

func TestAnInstanceKeepsItsPortOverRestarts(t *testing.T) {
	for _, hold := range []bool{true, false} {
		t.Run(fmt.Sprintf("hold %v", hold), func(t *testing.T) {
			p := newPorts(t, freeRange(t, 5), 5, hold)
			a, b := acquire(t, p, "a"), acquire(t, p, "b")
			a.Release()
			b.Release()
			require.Empty(t, p.Leases())
			require.NotContains(t, []int{a.Port(), b.Port()}, acquire(t, p, "c").Port(),
				"parked ports are the last to go")
			require.Equal(t, b.Port(), acquire(t, p, "b").Port())
			require.Equal(t, a.Port(), acquire(t, p, "a").Port())
		})
	}
}

func TestARestartAmongTimeWaitConnectionsGetsTheSamePort(t *testing.T) {
	p := newPorts(t, freeRange(t, 2), 2, true)
	lease := acquire(t, p, "a")
	leaveTimeWait(t, lease.Port())
	lease.Release()
	_, err := bind(lease.Port())
	require.ErrorIs(t, err, errTaken)
	again := acquire(t, p, "a")
	require.Equal(t, lease.Port(), again.Port())
	listen(t, "::", again.Port())
}

func TestAThiefMakesALeaseContested(t *testing.T) {
	for _, hold := range []bool{true, false} {
		for _, address := range addresses {
			t.Run(fmt.Sprintf("hold %v/%s", hold, address), func(t *testing.T) {
				p := newPorts(t, freeRange(t, 2), 2, hold)
				lease := acquire(t, p, "a")
				require.False(t, lease.Contested())
				stranger(t, address, lease.Port(), true, true)
				require.True(t, lease.Contested())
				lease.Discard()
				require.NotEqual(t, lease.Port(), acquire(t, p, "a").Port())
			})
		}
	}
}

func TestAParkedPortThatAThiefTookIsNotLeased(t *testing.T) {
	p := newPorts(t, freeRange(t, 2), 2, true)
	lease := acquire(t, p, "a")
	lease.Release()
	listen(t, "127.0.0.1", lease.Port())
	require.NotEqual(t, lease.Port(), acquire(t, p, "a").Port())
	require.Nil(t, p.slots[lease.Port()].held)
}

func TestADiscardedPortIsTheLastToBeTried(t *testing.T) {
	p := newPorts(t, freeRange(t, 3), 3, true)
	a := acquire(t, p, "a")
	a.Discard()
	require.NotEqual(t, a.Port(), acquire(t, p, "b").Port())
	require.NotEqual(t, a.Port(), acquire(t, p, "a").Port())
	require.Equal(t, a.Port(), acquire(t, p, "c").Port())
}

func TestAnExhaustedRangeIsAStartErrorThatSaysWhatToDo(t *testing.T) {
	p := newPorts(t, freeRange(t, 3), 3, true)
	listen(t, "127.0.0.1", p.last)
	acquire(t, p, "a")
	b := acquire(t, p, "b")
	err := requireNoPort(t, p, "c")
	require.ErrorContains(t, err, "2 are leased to instances and 1 are taken by other programs")
	require.ErrorContains(t, err, "ports.range")
	b.Release()
	require.Equal(t, b.Port(), acquire(t, p, "c").Port(), "a parked port goes when there is no other")
	requireNoPort(t, p, "b")
}

func TestPortsThatOthersHaveAreNotAllTriedAgainByEachStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 9000
		p := newPorts(t, 20000, size, true)
		tries, free := 0, 0
		p.bind = func(port int) (*socket, error) {
			tries++
			if port != free {
				return nil, errTaken
			}
			return &socket{fd: -1}, nil
		}
		tried := func() int {
			before := tries
			requireNoPort(t, p, "a")
			return tries - before
		}
		require.Equal(t, size, tried(), "nothing is known of any")
		for n := range 100 {
			require.Equal(t, takenTries, tried(), "the start %d after that", n)
		}
		time.Sleep(takenTime)
		require.Equal(t, size, tried(), "they may be free by now")

		next := p.free.Front()
		for range 2*takenTries + 8 {
			next = next.Next()
		}
		free = next.Value.(*slot).port
		before := tries
		for n := 0; ; n++ {
			lease, err := p.Acquire("a")
			if err == nil {
				require.Equal(t, free, lease.Port())
				break
			}
			require.Less(t, n, 3, "those that were tried longest ago are tried first")
		}
		require.LessOrEqual(t, tries-before, 3*takenTries)
		p.slots[free].held = nil // it is none
	})
}

func TestTheLongestParkedPortGoesFirst(t *testing.T) {
	p := newPorts(t, freeRange(t, 3), 3, true)
	a, b, c := acquire(t, p, "a"), acquire(t, p, "b"), acquire(t, p, "c")
	b.Release()
	c.Release()
	a.Release()
	require.Equal(t, b.Port(), acquire(t, p, "d").Port())
	require.Equal(t, c.Port(), acquire(t, p, "e").Port())
	require.Equal(t, a.Port(), acquire(t, p, "a").Port())
}

func TestASecondAcquireReturnsTheFirstPort(t *testing.T) {
	p := newPorts(t, freeRange(t, 2), 2, true)
	one, two := acquire(t, p, "a"), acquire(t, p, "a")
	require.Equal(t, one.Port(), two.Port())
	require.Len(t, p.Leases(), 1)
	one.Release()
	require.Empty(t, p.Leases())
}

func TestALeaseThatHasEndedHasNoSay(t *testing.T) {
	p := newPorts(t, freeRange(t, 1), 1, true)
	old := acquire(t, p, "a")
	old.Release()
	old.Release()
	acquire(t, p, "a")
	old.Release()
	old.Discard()
	require.Len(t, p.Leases(), 1)
}

func TestAForgottenInstanceHasNothing(t *testing.T) {
	before := openFiles(t)
	p := newPorts(t, freeRange(t, 2), 2, true)
	parked, leased := acquire(t, p, "parked"), acquire(t, p, "leased")
	parked.Release()
	p.Forget("parked")
	p.Forget("leased")
	p.Forget("unknown")
	require.Equal(t, map[messages.InstanceID]int{"leased": leased.Port()}, p.Leases(), "a lease outlives Forget")
	leased.Release()
	require.Empty(t, p.owned)
	require.Equal(t, 2, p.free.Len())
	require.Equal(t, before, openFiles(t))
}

func TestAForgottenLeaseThatIsAcquiredAgainIsKept(t *testing.T) {
	p := newPorts(t, freeRange(t, 2), 2, true)
	lease := acquire(t, p, "a")
	p.Forget("a")
	require.Equal(t, lease.Port(), acquire(t, p, "a").Port())
	lease.Release()
	require.Equal(t, lease.Port(), acquire(t, p, "a").Port())
}

func TestCloseLetsGoOfEveryPort(t *testing.T) {
	before := openFiles(t)
	p := newPorts(t, freeRange(t, 2), 2, true)
	lease := acquire(t, p, "a")
	acquire(t, p, "b").Release()
	require.Equal(t, before+2, openFiles(t))
	require.NoError(t, p.Close())
	require.NoError(t, p.Close())
	require.Equal(t, before, openFiles(t))
	_, err := p.Acquire("c")
	require.ErrorIs(t, err, ErrClosed)
	_, err = p.Claim("c", p.first)
	require.ErrorIs(t, err, ErrClosed)
	lease.Release()
	lease.Discard()
	require.Equal(t, before, openFiles(t))
}

func TestAHeldSocketIsNotInherited(t *testing.T) {
	p := newPorts(t, freeRange(t, 1), 1, true)
	l := acquire(t, p, "a")
	flags, err := unix.FcntlInt(uintptr(p.slots[l.Port()].held.fd), unix.F_GETFD, 0)
	require.NoError(t, err)
	require.NotZero(t, flags&unix.FD_CLOEXEC)
}

func TestAHeldPortIsNoOutgoingConnectionsOwn(t *testing.T) {
	p := newPorts(t, freeRange(t, 1), 1, true)
	l := acquire(t, p, "a")
	target := listen(t, "127.0.0.1", 0)
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: l.Port()}}
	_, err := d.Dial("tcp4", target.Addr().String())
	require.ErrorIs(t, err, unix.EADDRINUSE)
}

func TestWithoutFileDescriptorsALeaseFailsForWantOfResources(t *testing.T) {
	var err error = &messages.StartError{}
	p := newPorts(t, freeRange(t, 1), 1, true)
	err = p.refused(fmt.Errorf("port 1: %w", errors.Join(unix.EMFILE)))
	var start *messages.StartError
	require.ErrorAs(t, err, &start)
	require.Equal(t, messages.FaultResources, start.Fault)
	require.Contains(t, start.Help, "ulimit")
}

func TestARangeThatIsNoneIsRefused(t *testing.T) {
	for _, r := range [][2]int{{0, 10}, {-1, 5}, {10, 9}, {65000, 65536}} {
		_, err := New(Options{First: r[0], Last: r[1]})
		require.Error(t, err, r)
	}
}

func TestConcurrentUseSharesNoPort(t *testing.T) {
	p := newPorts(t, freeRange(t, 8), 8, true)
	var mu sync.Mutex
	inUse := map[int]messages.InstanceID{}
	var wg sync.WaitGroup
	for w := range 6 {
		wg.Go(func() {
			id := messages.InstanceID(fmt.Sprint("i", w))
			for i := range 200 {
				l, err := p.Acquire(id)
				if err != nil {
					t.Errorf("%s: %v", id, err)
					return
				}
				mu.Lock()
				if other, shared := inUse[l.Port()]; shared {
					t.Errorf("port %d is shared by %s and %s", l.Port(), id, other)
				}
				inUse[l.Port()] = id
				mu.Unlock()
				mu.Lock()
				delete(inUse, l.Port())
				mu.Unlock()
				switch i % 3 {
				case 0:
					l.Release()
				case 1:
					l.Discard()
				default:
					p.Forget(id)
					l.Release()
				}
			}
		})
	}
	wg.Wait()
}

func TestTheSystemIsAskedForItsOutgoingPorts(t *testing.T) {
	_, overlaps := Overlap(1, 65535)
	require.True(t, overlaps)
}

// F136: a port that is put by for nobody but this one comes back; one that is lost is told, with its cause.
func TestAForgottenPortComesBackIfNobodyElseTookIt(t *testing.T) {
	p := newPorts(t, freeRange(t, 3), 3, true)
	a := acquire(t, p, "a")
	a.Release()
	p.Forget("a")
	require.NotEqual(t, a.Port(), acquire(t, p, "b").Port(), "the last to be tried for others")
	again := acquire(t, p, "a")
	require.Equal(t, a.Port(), again.Port())
	requireMoved(t, again, 0, "")

	again.Release()
	p.Forget("a")
	acquire(t, p, "c")
	require.Equal(t, a.Port(), acquire(t, p, "d").Port(), "free for any other")
	acquire(t, p, "b").Release()
	requireMoved(t, acquire(t, p, "a"), a.Port(), "instance d has it")
}

func TestALostPortIsToldOnceWithItsCause(t *testing.T) {
	t.Run("a program with SO_REUSEADDR", func(t *testing.T) {
		for _, forgotten := range []bool{false, true} {
			p := newPorts(t, freeRange(t, 3), 3, true)
			a := acquire(t, p, "a")
			a.Release()
			if forgotten {
				p.Forget("a")
			}
			stranger(t, "127.0.0.1", a.Port(), true, true)
			next := acquire(t, p, "a")
			require.NotEqual(t, a.Port(), next.Port())
			requireMoved(t, next, a.Port(), "another program has it")
			requireMoved(t, next, 0, "")
			next.Release()
			requireMoved(t, acquire(t, p, "a"), 0, "")
		}
	})
	t.Run("discarded", func(t *testing.T) {
		p := newPorts(t, freeRange(t, 3), 3, true)
		a := acquire(t, p, "a")
		a.Discard()
		requireMoved(t, acquire(t, p, "a"), a.Port(), "another program took it")
	})
	t.Run("no other was left", func(t *testing.T) {
		p := newPorts(t, freeRange(t, 2), 2, true)
		a, b := acquire(t, p, "a"), acquire(t, p, "b")
		a.Release()
		require.Equal(t, a.Port(), acquire(t, p, "c").Port())
		b.Discard()
		requireMoved(t, acquire(t, p, "a"), a.Port(), "no other port was free for instance c")
	})
	t.Run("a start that failed before it could be told", func(t *testing.T) {
		p := newPorts(t, freeRange(t, 3), 3, true)
		a := acquire(t, p, "a")
		a.Discard()
		acquire(t, p, "a").Release()
		requireMoved(t, acquire(t, p, "a"), a.Port(), "another program took it")
	})
}

// F135: leases are all that is taken from the range, so it can be changed while they last.
func TestAChangedRangeHoldsForNewLeases(t *testing.T) {
	first := freeRange(t, 6)
	p := newPorts(t, first, 3, true)
	a, b := acquire(t, p, "a"), acquire(t, p, "b")
	b.Release() // parked
	require.NoError(t, p.Change(first+2, first+5, true))
	require.Equal(t, first, a.Port())
	require.Equal(t, map[messages.InstanceID]int{"a": first}, p.Leases(), "what runs keeps its port")
	next := acquire(t, p, "b")
	require.GreaterOrEqual(t, next.Port(), first+2)
	requireMoved(t, next, b.Port(), "it lies outside of ports.range")
	a.Release()
	again := acquire(t, p, "a")
	require.GreaterOrEqual(t, again.Port(), first+2)
	requireMoved(t, again, first, "it lies outside of ports.range")
	acquire(t, p, "c")
	acquire(t, p, "d")
	requireNoPort(t, p, "e")
	require.NoError(t, p.Change(first, first+5, true))
	require.Contains(t, []int{first, first + 1}, acquire(t, p, "e").Port(), "a larger range is there at once")
	require.Error(t, p.Change(5, 4, true))
	acquire(t, p, "f")
	requireNoPort(t, p, "g")
	require.Len(t, p.slots, 6)
}

func TestAChangedHoldHoldsForNewLeasesAndLetsGoOfWhatIsPutBy(t *testing.T) {
	first := freeRange(t, 3)
	p := newPorts(t, first, 3, true)
	a, b := acquire(t, p, "a"), acquire(t, p, "b")
	b.Release()
	require.NoError(t, p.Change(first, first+2, false))
	require.Nil(t, p.slots[b.Port()].held)
	require.Equal(t, b.Port(), acquire(t, p, "b").Port())
	a.Release()
	require.Equal(t, a.Port(), acquire(t, p, "a").Port())
	require.Nil(t, p.slots[a.Port()].held, "its program may need that, from its next start on")
	require.NoError(t, p.Change(first, first+2, true))
	a.Release()
}

func TestWhereTheKernelCannotTellWhoHasAPortAnotherIsLeasedAndNobodyWaits(t *testing.T) {
	first := freeRange(t, 2)
	p := newPorts(t, first, 2, true)
	p.sole = func(int, int) (bool, error) { return false, unix.ENOENT } // the module is not there
	l, err := p.Claim("a", first)
	require.NoError(t, err)
	leaveTimeWait(t, first)
	l.Release()
	again := acquire(t, p, "a")
	require.Equal(t, first+1, again.Port())
	requireMoved(t, again, first, "another program has it")

	p.sole = func(int, int) (bool, error) { return false, unix.EMFILE }
	_, err = bindBesideRemains(first, p.sole)
	require.ErrorIs(t, err, unix.EMFILE, "that passes")
}

func TestWhatIsRememberedOfInstancesThatAreGoneIsBounded(t *testing.T) {
	p := newPorts(t, freeRange(t, 3), 3, false)
	for n := range 100 {
		id := messages.InstanceID(fmt.Sprint("i", n))
		acquire(t, p, id).Release()
		p.Forget(id)
	}
	require.LessOrEqual(t, len(p.past), 3)
}

func requireMoved(t *testing.T, l actors.Lease, from int, why string) {
	t.Helper()
	was, because := l.(actors.Mover).Moved()
	require.Equal(t, from, was)
	require.Equal(t, why, because)
}
