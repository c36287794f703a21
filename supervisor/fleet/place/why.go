package place

import (
	"fmt"
	"slices"
	"time"
)

// Kind is how an instance stands with the fleet.
type Kind string

// The kinds.
const (
	Unknown   Kind = "unknown"   // not on the list, and not assigned
	Assigned  Kind = "assigned"  // to a live host, whose own list says how it is there
	Held      Kind = "held"      // on a host that is being drained, and may not move
	Leaves    Kind = "leaves"    // its host, as soon as it is down
	Waits     Kind = "waits"     // for the host it is bound to
	Unheard   Kind = "unheard"   // for its host to hear that it may move by now
	Turn      Kind = "turn"      // a host has the turn to claim it
	Settling  Kind = "settling"  // the hosts that are fit have just joined
	NoMember  Kind = "no member" //
	NoMatch   Kind = "no match"  // no member has the labels
	NoRoom    Kind = "no room"   // every member that has the labels is full
	AllDrains Kind = "draining"  // every member that has the labels is full or being drained
)

// Reason says where an instance is, or for what it waits.
type Reason struct {
	Kind  Kind
	Host  string
	Epoch int64         // Assigned, Held, Leaves, Waits, Unheard
	For   time.Duration // Turn, Settling: how much longer
	Give  Give          // Leaves
}

func (r Reason) String() string {
	switch r.Kind {
	case Assigned:
		return fmt.Sprintf("runs at %s since epoch %d", r.Host, r.Epoch)
	case Held:
		return fmt.Sprintf("stopped at %s, which is being drained: it may not move (movable: false), "+
			"and starts there after the undrain", r.Host)
	case Leaves:
		return fmt.Sprintf("leaves %s as soon as it is down: %s", r.Host, r.Give)
	case Waits:
		return fmt.Sprintf("waits for host %s: it may not move (movable: false), and %s is not a member now",
			r.Host, r.Host)
	case Unheard:
		return fmt.Sprintf("waits for host %s: it may move by now, but %s has not heard of that, and may run it",
			r.Host, r.Host)
	case Turn:
		return fmt.Sprintf("it is %s's turn to claim it, for %v more", r.Host, r.For)
	case Settling:
		return fmt.Sprintf("the hosts have just joined, and claim it in %v at the earliest", r.For)
	case NoMember:
		return "no host is a member of the fleet now"
	case NoMatch:
		return "no member has the labels that hosts asks for"
	case NoRoom:
		return "no member that matches has room: raise fleet.capacity, or add a host"
	case AllDrains:
		return "no member that matches has room and is not being drained"
	}
	return "not on the list of the fleet"
}

// Why says how the instance stands.
func (f *Fleet) Why(id string, now time.Duration) Reason {
	at, known := f.slotAt[id]
	if !known {
		return Reason{Kind: Unknown}
	}
	i := &f.slots[at]
	if i.open >= 0 {
		return f.whyOpen(i, now)
	}
	if i.host < 0 {
		return Reason{Kind: Unknown}
	}
	h := &f.hosts[i.host]
	r := Reason{Kind: Assigned, Host: h.Name, Epoch: i.epoch}
	switch {
	case i.flags&listed == 0:
		r.Kind, r.Give = Leaves, ForList
	case !h.live && i.flags&movable != 0:
		r.Kind = Unheard
	case !h.live:
		r.Kind = Waits
	case h.draining && i.flags&movable == 0:
		r.Kind = Held
	case h.draining:
		r.Kind, r.Give = Leaves, ForDrain
	case i.flags&giving != 0:
		r.Kind, r.Give = Leaves, ForRebalance
	}
	return r
}

func (f *Fleet) whyOpen(i *slot, now time.Duration) Reason {
	want := f.selectors[i.selector].want
	if fit := f.fit(want, now); len(fit) > 0 {
		slices.SortFunc(fit, func(a, b candidate) int {
			if f.before(i, a, b) {
				return -1
			}
			return 1
		})
		elapsed := max(0, now-i.since) / f.pace.Pause
		turn := fit[int(elapsed)%len(fit)].host
		return Reason{Kind: Turn, Host: f.hosts[turn].Name, For: i.since + (elapsed+1)*f.pace.Pause - now}
	}
	r := Reason{Kind: NoMember}
	better := func(k Kind) {
		order := []Kind{NoMember, NoMatch, NoRoom, AllDrains, Settling}
		if slices.Index(order, k) > slices.Index(order, r.Kind) {
			r.Kind = k
		}
	}
	for n := range f.hosts {
		h := &f.hosts[n]
		switch {
		case !h.live:
		case !matches(h.Labels, want):
			better(NoMatch)
		case h.draining:
			better(AllDrains)
		case !h.room():
			better(NoRoom)
		default:
			better(Settling)
			if left := h.Since + f.pace.Settle - now; r.For == 0 || left < r.For {
				r.For = left
			}
		}
	}
	return r
}
