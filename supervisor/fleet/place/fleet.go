package place

import (
	"slices"
	"strings"
	"time"
)

// Member is a host whose key is there.
type Member struct {
	Name        string
	Incarnation string
	Created     int64 // the store's revision at which the key was created: while it is the same, so is the incarnation
	Capacity    int   // how many instances at most; 0: no limit
	Labels      map[string]string
	Since       time.Duration // when it was seen to join; 0: it was there when we looked first
}

// Spec is what placing needs to know of an instance of the list.
type Spec struct {
	ID      string
	Movable bool
	Fenced  bool              // only if movable: it ends with the lease
	Hosts   map[string]string // labels that its host must have
}

// Assignment says which incarnation of which host an instance is for.
type Assignment struct {
	ID, Host, Incarnation string
	// Bound says that what runs there is not ended by the loss of a lease, because it might not move when the host
	// claimed it. Another host may not take it over, whatever the list says by now: the one that has it may not have
	// heard of that.
	Bound bool
	Epoch int64 // the store's revision at which it was written
}

// Pace is the pause for which one host has the turn to claim an instance, before the next in rank has it, and for how
// long one that has joined claims nothing, so that others who begin at the same time are there as well.
type Pace struct{ Pause, Settle time.Duration }

// Fleet is the fleet as one host sees it. It belongs to one goroutine. What it costs to change it depends on what
// changes: the loss of a host on what was assigned to that host.
type Fleet struct {
	pace      Pace
	own       int32
	hosts     []host
	hostAt    map[string]int32
	slots     []slot
	slotAt    map[string]int32
	unused    []int32
	selectors []selector
	selAt     map[string]int32
	claims    int // of ours under way, for what is not assigned to us
}

type host struct {
	Member
	hash         uint64
	live         bool
	draining     bool
	incarnation  int32    // the index of the present one
	incarnations []string // all that assignments name
	load         int      // assignments that are not open
	list         []int32  // the slots that name it
}

type flag uint8

const (
	listed  flag = 1 << iota // it has a spec
	movable                  //
	fenced                   //
	pending                  // a transaction of ours is under way
	counted                  // it is one of claims
	giving                   // it is ours, and goes to another
	mine                     // this process has written the assignment itself
	bound                    // see Assignment
)

type slot struct {
	id          string
	hash        uint64
	epoch       int64
	since       time.Duration // open: since when
	host        int32         // -1: not assigned
	incarnation int32
	at          int32 // in the host's list
	open        int32 // in the selector's list; -1: it is not open
	selector    int32
	flags       flag // at most 8
}

// selector is a set of labels that specs want, and what is open of these.
type selector struct {
	want map[string]string
	open []int32
}

// New returns the fleet as host own sees it, with nothing in it.
func New(own string, pace Pace) *Fleet {
	f := &Fleet{pace: pace, hostAt: map[string]int32{}, slotAt: map[string]int32{}, selAt: map[string]int32{}}
	f.own = f.host(own)
	return f
}

func (f *Fleet) host(name string) int32 {
	if at, known := f.hostAt[name]; known {
		return at
	}
	at := int32(len(f.hosts))
	f.hosts = append(f.hosts, host{Member: Member{Name: name}, hash: hash(name)})
	f.hostAt[name] = at
	return at
}

func (h *host) index(incarnation string) int32 {
	at := slices.Index(h.incarnations, incarnation)
	if at < 0 {
		at = len(h.incarnations)
		h.incarnations = append(h.incarnations, incarnation)
	}
	return int32(at)
}

// SetMember says that the host's key is there, and what it says.
func (f *Fleet) SetMember(m Member, now time.Duration) {
	h := &f.hosts[f.host(m.Name)]
	same := h.live && h.Incarnation == m.Incarnation
	if same {
		m.Since = h.Since
	}
	h.Member, h.live, h.incarnation = m, true, h.index(m.Incarnation)
	if !same {
		f.review(h, now)
	}
}

// RemoveMember says that the host's key is gone.
func (f *Fleet) RemoveMember(name string, now time.Duration) {
	at, known := f.hostAt[name]
	if !known || !f.hosts[at].live {
		return
	}
	f.hosts[at].live = false
	f.review(&f.hosts[at], now)
}

// review looks again at what names the host. That is all that its coming and going changes.
func (f *Fleet) review(h *host, now time.Duration) {
	for _, at := range h.list {
		f.judge(at, now)
	}
	h.forget(f)
}

// forget drops the incarnations that nothing names any more, or a host that restarts for ever would fill the memory.
func (h *host) forget(f *Fleet) {
	if len(h.incarnations) < 16 {
		return
	}
	old := h.incarnations
	h.incarnations = nil
	h.incarnation = h.index(h.Incarnation)
	for _, at := range h.list {
		f.slots[at].incarnation = h.index(old[f.slots[at].incarnation])
	}
}

// SetDrain says whether the host is being drained, whether it is a member or not.
func (f *Fleet) SetDrain(name string, draining bool) { f.hosts[f.host(name)].draining = draining }

func (f *Fleet) slot(id string) int32 {
	if at, known := f.slotAt[id]; known {
		return at
	}
	s := slot{id: id, hash: hash(id), host: -1, open: -1}
	at := int32(len(f.slots))
	if n := len(f.unused); n > 0 {
		at, f.unused = f.unused[n-1], f.unused[:n-1]
		f.slots[at] = s
	} else {
		f.slots = append(f.slots, s)
	}
	f.slotAt[id] = at
	return at
}

// SetSpec says that the instance is on the list.
func (f *Fleet) SetSpec(s Spec, now time.Duration) {
	at := f.slot(s.ID)
	f.uncount(at)
	f.shut(at)
	i := &f.slots[at]
	i.selector = f.selector(s.Hosts)
	i.flags = i.flags&^(movable|fenced) | listed
	if s.Movable {
		i.flags |= movable
		if s.Fenced {
			i.flags |= fenced
		}
	}
	f.count(at)
	f.judge(at, now)
}

// RemoveSpec says that the instance is off the list.
func (f *Fleet) RemoveSpec(id string, now time.Duration) {
	if at, known := f.slotAt[id]; known {
		f.slots[at].flags &^= listed | giving
		f.judge(at, now)
		f.drop(at)
	}
}

// SetAssignment says what stands in the store. What is older than what is known already changes nothing.
func (f *Fleet) SetAssignment(a Assignment, now time.Duration) { f.assign(a, 0, now) }

// Claimed says that a claim of ours was carried out: the assignment is ours, since that epoch.
func (f *Fleet) Claimed(c Claim, epoch int64, now time.Duration) {
	own := &f.hosts[f.own]
	f.assign(Assignment{ID: c.ID, Host: own.Name, Incarnation: own.Incarnation, Bound: c.Bound, Epoch: epoch},
		mine, now)
}

func (f *Fleet) assign(a Assignment, by flag, now time.Duration) {
	at := f.slot(a.ID)
	asked := f.slots[at].flags & pending
	if by != 0 {
		f.settled(at)
	}
	if i := &f.slots[at]; a.Epoch < i.epoch || a.Epoch == i.epoch && by == 0 {
		return
	}
	f.settled(at)
	f.uncount(at)
	f.unlist(at)
	to := f.host(a.Host)
	h, i := &f.hosts[to], &f.slots[at]
	i.host, i.incarnation, i.epoch, i.at = to, h.index(a.Incarnation), a.Epoch, int32(len(h.list))
	if i.flags = i.flags&^(mine|giving|bound) | by; a.Bound {
		i.flags |= bound
	}
	if by == 0 && to == f.own && f.valid(i) {
		// the store often shows what a claim has done before its answer is here, and it would be claimed again
		i.flags |= asked
	}
	h.list = append(h.list, at)
	f.count(at)
	f.judge(at, now)
}

// RemoveAssignment says that since that revision of the store the instance is assigned to nobody.
func (f *Fleet) RemoveAssignment(id string, revision int64, now time.Duration) {
	at, known := f.slotAt[id]
	if !known || revision < f.slots[at].epoch || f.slots[at].host < 0 {
		return
	}
	f.settled(at)
	f.uncount(at)
	f.unlist(at)
	i := &f.slots[at]
	i.host, i.epoch = -1, 0
	i.flags &^= mine | giving | bound
	f.judge(at, now)
	f.drop(at)
}

// Refused says that a claim or a release of ours was not carried out, or that it is not known whether it was.
func (f *Fleet) Refused(id string) {
	if at, known := f.slotAt[id]; known {
		f.settled(at)
		f.slots[at].flags &^= mine // a release whose end is not known is overtaken by a claim, or not at all
		f.drop(at)
	}
}

// settled ends the transaction of ours that is under way, if there is one.
func (f *Fleet) settled(at int32) {
	if f.slots[at].flags&counted != 0 {
		f.claims--
	}
	f.slots[at].flags &^= pending | counted
}

// unlist takes the slot out of its host's list.
func (f *Fleet) unlist(at int32) {
	i := &f.slots[at]
	if i.host < 0 {
		return
	}
	h := &f.hosts[i.host]
	last := h.list[len(h.list)-1]
	h.list[i.at] = last
	f.slots[last].at = i.at
	h.list = h.list[:len(h.list)-1]
	i.host = -1
}

// count and uncount keep the loads: what names a host and is not open may run there.
func (f *Fleet) count(at int32) {
	if i := &f.slots[at]; i.host >= 0 && i.open < 0 {
		f.hosts[i.host].load++
	}
}

func (f *Fleet) uncount(at int32) {
	if i := &f.slots[at]; i.host >= 0 && i.open < 0 {
		f.hosts[i.host].load--
	}
}

// valid reports whether the slot's assignment names a live incarnation.
func (f *Fleet) valid(i *slot) bool {
	return i.host >= 0 && f.hosts[i.host].live && f.hosts[i.host].incarnation == i.incarnation
}

// unheard reports whether the assignment binds what is to be fenced by now: its host has not written otherwise yet.
func (i *slot) unheard() bool { return i.flags&(fenced|bound) == fenced|bound }

// judge finds out whether the slot is open: whether any host that is fit may claim it.
func (f *Fleet) judge(at int32, now time.Duration) {
	i := &f.slots[at]
	open := i.flags&listed != 0 && (i.host < 0 || i.flags&movable != 0 && !i.unheard() && !f.valid(i))
	if open == (i.open >= 0) {
		return
	}
	f.uncount(at)
	if open {
		s := &f.selectors[i.selector]
		i.open, i.since = int32(len(s.open)), now
		s.open = append(s.open, at)
	} else {
		f.shut(at)
	}
	f.count(at)
}

// shut takes the slot out of what is open.
func (f *Fleet) shut(at int32) {
	i := &f.slots[at]
	if i.open < 0 {
		return
	}
	s := &f.selectors[i.selector]
	last := s.open[len(s.open)-1]
	s.open[i.open] = last
	f.slots[last].open = i.open
	s.open = s.open[:len(s.open)-1]
	i.open = -1
}

// drop forgets a slot of which nothing is left.
func (f *Fleet) drop(at int32) {
	if i := &f.slots[at]; i.flags&(listed|pending) == 0 && i.host < 0 {
		delete(f.slotAt, i.id)
		*i = slot{host: -1, open: -1}
		f.unused = append(f.unused, at)
	}
}

func (f *Fleet) selector(want map[string]string) int32 {
	pairs := make([]string, 0, len(want))
	for k, v := range want {
		pairs = append(pairs, k+"\x00"+v)
	}
	slices.Sort(pairs)
	key := strings.Join(pairs, "\x01")
	at, known := f.selAt[key]
	if !known {
		at = int32(len(f.selectors))
		f.selectors = append(f.selectors, selector{want: want})
		f.selAt[key] = at
	}
	return at
}

func matches(labels, want map[string]string) bool {
	for k, v := range want {
		if got, has := labels[k]; !has || got != v {
			return false
		}
	}
	return true
}
