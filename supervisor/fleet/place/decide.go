package place

import (
	"cmp"
	"slices"
	"time"
)

// Claim is a transaction that makes an instance this host's. It is carried out if all of this holds, and else not at
// all: this host's key was created at Decision.Created; assign/ID was written at Epoch, or does not exist if that is
// 0; and, with From, the key of that host was created at FromCreated, or does not exist if that is 0.
type Claim struct {
	ID          string
	Bound       bool // what is written; see Assignment
	Epoch       int64
	From        string // the host to whose earlier incarnation it is assigned; empty: none, or this one
	FromCreated int64
}

// Release is a transaction that gives up an assignment of this host: if assign/ID was written at Epoch, it is deleted.
type Release struct {
	ID    string
	Epoch int64
	Why   Give
}

// Give is why an instance is given up.
type Give string

// The reasons.
const (
	ForDrain     Give = "the host is being drained"
	ForRebalance Give = "another host ranks first"
	ForList      Give = "it is not on the list any more"
)

// Decision is what this host has to do.
type Decision struct {
	Created  int64 // of this host's key
	Claims   []Claim
	Releases []Release
	Next     time.Duration // when time alone may change the decision; 0: never
}

// candidate is a host that may claim.
type candidate struct {
	hash uint64
	host int32
}

// Decide says what this host claims and releases now. down reports whether nothing of an instance lives here or is
// being started. It decides on none again before that was answered: by Claimed, RemoveAssignment or Refused, or by
// SetAssignment if that names another host. Of hosts with the same view no two claim the same instance; a host claims
// no more than it has room for.
func (f *Fleet) Decide(now time.Duration, down func(id string) bool) Decision {
	own := &f.hosts[f.own]
	d := Decision{Created: own.Created}
	if !own.live {
		return d
	}
	for _, at := range own.list {
		f.decideOwn(&d, at, down)
	}
	f.decideOpen(&d, now)
	return d
}

// leaves says whether an instance that is assigned here goes away, and why.
func (f *Fleet) leaves(i *slot) (Give, bool) {
	switch {
	case i.flags&listed == 0:
		return ForList, true
	case i.flags&movable == 0 || i.open >= 0:
	case f.hosts[f.own].draining:
		return ForDrain, true
	case i.flags&giving != 0:
		return ForRebalance, true
	}
	return "", false
}

func (f *Fleet) decideOwn(d *Decision, at int32, down func(string) bool) {
	i := &f.slots[at]
	if i.flags&pending != 0 {
		return
	}
	why, leaves := f.leaves(i)
	switch {
	case leaves && down(i.id):
		i.flags |= pending
		d.Releases = append(d.Releases, Release{i.id, i.epoch, why})
	case leaves, i.open >= 0:
	case f.rewrites(i, down):
		i.flags |= pending
		d.Claims = append(d.Claims, Claim{ID: i.id, Bound: i.flags&movable == 0, Epoch: i.epoch})
	}
}

// rewrites reports whether an assignment of this host's has to be written anew.
func (f *Fleet) rewrites(i *slot, down func(string) bool) bool {
	switch i.flags & (movable | fenced) {
	case 0: // it is bound to this host, under whichever incarnation
		return i.flags&bound == 0 || !f.valid(i)
	case movable:
		return i.flags&bound != 0
	}
	// What runs may run unfenced, and a release by our predecessor may be under way: so only once it is down.
	return (i.flags&bound != 0 || i.flags&mine == 0) && down(i.id)
}

func (f *Fleet) decideOpen(d *Decision, now time.Duration) {
	own := &f.hosts[f.own]
	room := -1
	if own.Capacity > 0 {
		room = max(0, own.Capacity-own.load-f.claims)
	}
	next := func(at time.Duration) {
		if at > now && (d.Next == 0 || at < d.Next) {
			d.Next = at
		}
	}
	joins := false // a host that will claim does not yet
	for n := range f.hosts {
		if h := &f.hosts[n]; h.live && h.Since != 0 {
			next(h.Since + f.pace.Settle)
			joins = joins || !h.draining && !f.settles(h, now)
		}
	}
	if own.draining || room == 0 || !f.settles(own, now) {
		return
	}
	var turns []int32
	for n := range f.selectors {
		s := &f.selectors[n]
		if len(s.open) == 0 || !matches(own.Labels, s.want) {
			continue
		}
		fit := f.fit(s.want, now)
		for _, at := range s.open {
			i := &f.slots[at]
			if i.flags&pending != 0 {
				continue
			}
			// What nobody has had yet waits for who has joined just now, or the first of many that begin at the same
			// time takes all of the list. It does not wait for one that joins again and again.
			if until := i.since + 2*f.pace.Settle; joins && i.host < 0 && now < until {
				next(until)
				continue
			}
			elapsed := max(0, now-i.since) / f.pace.Pause
			if f.outrankedBy(i, fit, int(elapsed)%len(fit)) {
				turns = append(turns, at)
			} else {
				next(i.since + (elapsed+1)*f.pace.Pause)
			}
		}
	}
	f.claim(d, turns, room)
}

// claim takes of what it is this host's turn for as much as there is room for: first what fewer hosts are fit for.
func (f *Fleet) claim(d *Decision, turns []int32, room int) {
	own := &f.hosts[f.own]
	if room >= 0 && len(turns) > room {
		slices.SortFunc(turns, func(a, b int32) int {
			x, y := &f.slots[a], &f.slots[b]
			return cmp.Or(
				cmp.Compare(len(f.selectors[y.selector].want), len(f.selectors[x.selector].want)),
				cmp.Compare(score(y.hash, own.hash), score(x.hash, own.hash)),
				cmp.Compare(x.id, y.id))
		})
		turns = turns[:room]
	}
	for _, at := range turns {
		i := &f.slots[at]
		i.flags |= pending | counted
		f.claims++
		c := Claim{ID: i.id, Bound: i.flags&movable == 0, Epoch: i.epoch}
		if i.host >= 0 && i.host != f.own {
			from := &f.hosts[i.host]
			if c.From = from.Name; from.live {
				c.FromCreated = from.Created
			}
		}
		d.Claims = append(d.Claims, c)
	}
}

// settles reports whether the host has been a member for long enough to claim.
func (f *Fleet) settles(h *host, now time.Duration) bool {
	return h.Since == 0 || now >= h.Since+f.pace.Settle
}

func (h *host) room() bool { return h.Capacity == 0 || h.load < h.Capacity }

// fit lists the hosts that may claim what wants these labels. This one's claims under way are not known to the
// others, so they do not count.
func (f *Fleet) fit(want map[string]string, now time.Duration) []candidate {
	var fit []candidate
	for n := range f.hosts {
		if h := &f.hosts[n]; h.live && !h.draining && h.room() && f.settles(h, now) && matches(h.Labels, want) {
			fit = append(fit, candidate{h.hash, int32(n)})
		}
	}
	return fit
}

// rate is the score of a host for an instance: of the one where it was, if that is back, the highest.
func (f *Fleet) rate(i *slot, c candidate) uint64 {
	if c.host == i.host {
		return 1<<64 - 1
	}
	return score(i.hash, c.hash)
}

// before reports whether a comes before b.
func (f *Fleet) before(i *slot, a, b candidate) bool {
	x, y := f.rate(i, a), f.rate(i, b)
	return x > y || x == y && f.hosts[a.host].Name < f.hosts[b.host].Name
}

// outrankedBy reports whether exactly that many come before this host. It stops at the first that is too many: of a
// thousand hosts it looks at seven, most of the time, to know that this one is not the first.
func (f *Fleet) outrankedBy(i *slot, fit []candidate, many int) bool {
	own := candidate{f.hosts[f.own].hash, f.own}
	above, mine := 0, f.rate(i, own)
	for _, c := range fit {
		x := f.rate(i, c)
		if x < mine || c.host == f.own || x == mine && !f.before(i, c, own) {
			continue
		}
		if above++; above > many {
			return false
		}
	}
	return above == many
}

// Run is an instance that is this host's.
type Run struct {
	ID    string
	Epoch int64
	// Start says whether a process may be started; else one that lives goes on, and none is begun. Of what is fenced,
	// that needs the lease as well (member.State.MayStart).
	Start bool
}

// Runs calls each with what is on this host's list. What is fenced counts only while the lease allows it
// (member.State.Lists).
func (f *Fleet) Runs(each func(Run)) {
	for _, at := range f.hosts[f.own].list {
		if r, listed := f.run(&f.slots[at]); listed {
			each(r)
		}
	}
}

// Run returns what Runs says of the instance; false: nothing.
func (f *Fleet) Run(id string) (Run, bool) {
	at, known := f.slotAt[id]
	if !known || f.slots[at].host != f.own {
		return Run{}, false
	}
	return f.run(&f.slots[at])
}

// run is Run for what is assigned here.
func (f *Fleet) run(i *slot) (Run, bool) {
	_, leaves := f.leaves(i)
	switch {
	case leaves, f.hosts[f.own].draining && i.flags&movable == 0: // the latter stays assigned, and waits here
	case i.unheard(): // it ends, so that it can begin as what is fenced
	case i.flags&movable == 0:
		return Run{i.id, i.epoch, i.flags&bound != 0}, true
	case i.flags&fenced == 0:
		return Run{i.id, i.epoch, true}, true
	case i.open < 0:
		return Run{i.id, i.epoch, i.flags&(mine|pending) == mine}, true
	}
	return Run{}, false
}

// Rebalance chooses, of what runs here and may move, what another host ranks first for, and gives it up: no more than
// that many at a time, with those chosen before that are not released yet. It returns how many are being given up, and
// which of them are since now: they have left what Runs says.
func (f *Fleet) Rebalance(now time.Duration, most int) (given int, chosen []string) {
	own := &f.hosts[f.own]
	for _, at := range own.list {
		if f.slots[at].flags&giving != 0 {
			given++
		}
	}
	fit := map[int32][]candidate{}
	for _, at := range own.list {
		i := &f.slots[at]
		if given >= most || own.draining {
			break
		}
		if i.flags&(listed|movable|giving|pending) != listed|movable || i.open >= 0 {
			continue
		}
		if _, done := fit[i.selector]; !done {
			fit[i.selector] = f.fit(f.selectors[i.selector].want, now)
		}
		if f.first(i, fit[i.selector]) {
			continue
		}
		i.flags |= giving
		given++
		chosen = append(chosen, i.id)
	}
	return given, chosen
}

// first reports whether no other host would come before this one, were the instance not here.
func (f *Fleet) first(i *slot, fit []candidate) bool {
	mine := score(i.hash, f.hosts[f.own].hash)
	return !slices.ContainsFunc(fit, func(c candidate) bool { return c.host != f.own && score(i.hash, c.hash) > mine })
}
