package member

import (
	"fmt"
	"time"
)

// The world of the model: a store with leases, two hosts of one fleet, and one movable, fenced instance. Everything
// that is asked of the store, or of a disk, is on its way for as long as it pleases, may get lost, and may arrive
// after the death of who asked. Time goes in seconds, and all times are relative to the present, so that the world is
// finite.

const (
	sec     = time.Second
	present = 100 * sec // every state is shifted so that it is now
	longAgo = present - 7*sec
)

type kind int8

const (
	nothing kind = iota
	grant
	renew
	register
	release // of one instance, by its epoch
	revoke
	releaseAll
)

// packet is a request on its way to the store, or its answer on its way back.
type packet struct {
	kind  kind
	lease int8
	t0    time.Duration
	epoch int8 // register's answer, release: of the assignment
	bad   bool // the answer is that there is no such lease
	taken bool // the answer is that another has the name
}

type lease struct {
	id      int8
	expires time.Duration
}

type host struct {
	m             State
	alive, frozen bool
	mute, deaf    bool // what it asks does not arrive; what it is answered does not
	hung          bool // its disk does not answer
	out           [2]packet
	in            [1]packet
	writes        [2]Record // in order; what is on its way to the disk
	disk          Record
	leash         bool
	leashStarts   bool
	ends          bool // an End is under way
	all           bool // and it is one of all
	draining      bool // it gives the instance up: once it is down it is released

	run     int8 // the incarnation under which a process lives; 0: none
	forking int8 // the incarnation under which one is being started

	epoch int8 // the assignment as the daemon knows it, if it names this incarnation; 0: it does not
	own   bool // this daemon has claimed it itself
}

type world struct {
	faults int8
	hosts  [2]host
	leases [2][2]lease
	keys   [2]int8 // incarnations
	down   bool    // the store
	holder int8    // 0: the instance is not assigned; else host+1
	inc    int8
	epoch  int8
}

// flaw is an error that is built in, to see that the model finds it.
type flaw string

const (
	none          flaw = ""
	fromAnswer    flaw = "the deadline counts from the answer"
	anew          flaw = "the successor's deadline counts from its own start"
	noLeash       flaw = "the leash kills nobody"
	halfStarts    flaw = "the leash leaves a daemon alone that is starting a process"
	voidUnwritten flaw = "assignments are given back before the void record is on the disk"
	staleClaim    flaw = "a successor starts what it finds assigned, without a claim of its own"
)

var incarnations = [...]string{"", "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"}

type game struct {
	flaw     flaw
	schedule Schedule
	only     []string // the faults that happen; nil: all
	idle     bool     // the instance is assigned at the beginning, but does not run yet
	bugs     []string
}

func (g *game) fresh(w *world, h int) int8 {
	used := map[int8]bool{}
	eachID(w, h, func(id *int8) { used[*id] = true })
	for id := int8(1); ; id++ {
		if !used[id] {
			return id
		}
	}
}

// feed gives a daemon an event and carries out what follows.
func (g *game) feed(w *world, h int, e Event) {
	x := &w.hosts[h]
	var actions []Action
	x.m, actions = Step(x.m, present, e)
	g.awake(x.m)
	for _, a := range actions {
		switch a := a.(type) {
		case StartLeash:
			x.leashStarts = true
		case Grant:
			x.send(packet{kind: grant, t0: a.T0})
		case Renew:
			x.send(packet{kind: renew, t0: a.T0, lease: int8(a.Lease)})
		case Register:
			x.send(packet{kind: register, lease: int8(a.Lease)})
		case Persist:
			switch {
			case g.flaw == voidUnwritten && a.Record.Void():
				g.feed(w, h, Persisted(a))
			case x.writes[0] == Record{}:
				x.writes[0] = a.Record
			case x.writes[1] == Record{}:
				x.writes[1] = a.Record
			default:
				g.bugs = append(g.bugs, "a third write under way")
			}
		case Admit:
			x.ends = false
		case End:
			x.ends, x.all = true, a.All
		case Release:
			x.send(packet{kind: releaseAll, lease: int8(x.m.Lease)})
		case Revoke:
			x.send(packet{kind: revoke, lease: int8(a.Lease)})
		case Bug:
			g.bugs = append(g.bugs, fmt.Sprintf("%s in %s", a.Event, a.Phase))
		}
	}
	if x.m.Lease == 0 {
		x.epoch, x.own = 0, false
	}
	g.settle(w, h)
}

// awake checks that nothing is left to do now, and that a timer is armed for what is to be done later.
func (g *game) awake(s State) {
	again, actions := Step(s, present, Tick{})
	if s.ArmedAt != 0 {
		actions = actions[:len(actions)-1] // it is armed anew
	}
	if again != s || len(actions) > 0 {
		g.bugs = append(g.bugs, fmt.Sprintf("left to do: %+v", actions))
	}
	idle := s.Phase == New || s.Phase == Gone || s.Phase == Out && s.Writing != 0 ||
		s.Phase == Yielding && s.Lease == 0 && s.Overdue ||
		s.Phase == Leaving && s.Lease == 0 && s.Overdue
	if s.ArmedAt <= present && !idle {
		g.bugs = append(g.bugs, fmt.Sprintf("asleep in %s: %+v", s.Phase, s))
	}
}

// settle is what a daemon that has its turns does at once.
func (g *game) settle(w *world, h int) {
	x := &w.hosts[h]
	if !x.alive || x.frozen {
		return
	}
	if x.ends && x.m.EndBy != 0 && x.m.EndBy <= present {
		x.run = 0
	}
	if x.run != 0 || x.forking != 0 {
		return
	}
	if x.draining {
		x.draining = false
		if x.epoch != 0 {
			x.send(packet{kind: release, epoch: x.epoch})
			x.own = false // until it has claimed it again
		}
	}
	if x.ends {
		x.ends = false
		g.feed(w, h, Down{x.m.Round})
	}
}

// send puts a request on its way; with two of them on it, the newest gets lost.
func (x *host) send(p packet) {
	for n := range x.out {
		if x.out[n].kind == nothing {
			x.out[n] = p
			return
		}
	}
}

func (x *host) answer(p packet) {
	for n := range x.in {
		if x.in[n].kind == nothing {
			x.in[n] = p
			return
		}
	}
}

// arrive is the request at the store.
func (g *game) arrive(w *world, h, n int) {
	x := &w.hosts[h]
	p := x.out[n]
	x.out[n] = packet{}
	at := -1
	for k, l := range w.leases[h] {
		if l.id == p.lease && l.id != 0 {
			at = k
		}
	}
	switch p.kind {
	case grant:
		for k := range w.leases[h] {
			if w.leases[h][k].id == 0 {
				p.lease = g.fresh(w, h)
				w.leases[h][k] = lease{p.lease, present + g.schedule.TTL}
				x.answer(p)
				return
			}
		}
	case renew:
		if p.bad = at < 0; !p.bad {
			w.leases[h][at].expires = present + g.schedule.TTL
		}
		x.answer(p)
	case register:
		p.bad = at < 0
		if !p.bad && w.keys[h] == 0 {
			w.keys[h] = p.lease
		}
		p.taken = !p.bad && w.keys[h] != p.lease
		if w.holder == int8(h+1) && w.inc == p.lease {
			p.epoch = w.epoch
		}
		x.answer(p)
	case release:
		if w.epoch == p.epoch && w.holder == int8(h+1) {
			w.holder, w.inc, w.epoch = 0, 0, 0
		}
	case releaseAll:
		if w.holder == int8(h+1) && w.inc == p.lease {
			w.holder, w.inc, w.epoch = 0, 0, 0
		}
		x.answer(p)
	case revoke:
		if at >= 0 {
			g.expire(w, h, at)
		}
		x.answer(p)
	}
}

func (g *game) expire(w *world, h, n int) {
	if w.keys[h] == w.leases[h][n].id {
		w.keys[h] = 0
	}
	w.leases[h][n] = lease{}
}

// back is the answer at the daemon.
func (g *game) back(w *world, h int) {
	x := &w.hosts[h]
	p := x.in[0]
	x.in[0] = packet{}
	switch {
	case p.bad:
		g.feed(w, h, LeaseLost{Lease(p.lease)})
	case p.taken:
		g.feed(w, h, NameTaken{Lease: Lease(p.lease), By: "other"})
	case p.kind == grant:
		g.feed(w, h, Granted{T0: p.t0, Lease: Lease(p.lease), Incarnation: incarnations[p.lease], TTL: g.schedule.TTL})
	case p.kind == renew:
		if g.flaw == fromAnswer {
			p.t0 = present
		}
		g.feed(w, h, Renewed{T0: p.t0, Lease: Lease(p.lease), TTL: g.schedule.TTL})
	case p.kind == register:
		if Lease(p.lease) == x.m.Lease {
			x.epoch, x.own = p.epoch, g.flaw == staleClaim && p.epoch != 0
		}
		g.feed(w, h, Registered{Lease(p.lease)})
	case p.kind == releaseAll:
		g.feed(w, h, Released{})
	case p.kind == revoke:
		g.feed(w, h, Revoked{})
	}
}

// claim is the transaction: the host's key has its incarnation, and the instance is not assigned, or to an
// incarnation whose key does not exist, or it is this host's own, and gets another epoch.
func (g *game) claim(w *world, h int) bool {
	x := &w.hosts[h]
	if w.keys[h] == 0 || Lease(w.keys[h]) != x.m.Lease {
		return false
	}
	if w.holder != 0 && w.keys[w.holder-1] == w.inc && w.holder != int8(h+1) {
		return false
	}
	used := map[int8]bool{}
	eachEpoch(w, func(e *int8) { used[*e] = true })
	epoch := int8(1)
	for used[epoch] {
		epoch++
	}
	w.holder, w.inc, w.epoch = int8(h+1), w.keys[h], epoch
	x.epoch, x.own = epoch, true
	return true
}

// mayStart is the question right before a fork begins.
func (g *game) mayStart(x *host) bool {
	return x.m.MayStart(present) && x.epoch != 0 && x.own && x.run == 0 && x.forking == 0 && !x.draining
}

func (g *game) kill(w *world, h int) {
	x := &w.hosts[h]
	*x = host{out: x.out, disk: x.disk, leash: x.leash, run: x.run, mute: x.mute, deaf: x.deaf}
	x.m = State{}
}

func (g *game) begin(w *world, h int) {
	x := &w.hosts[h]
	x.alive = true
	x.m = Begin("boot", g.schedule)
	r := x.disk
	if g.flaw == anew && r.Lease != 0 && !r.Void() {
		r.Renewed, r.KillAt, r.Deadline = present, present+g.schedule.Kill, present+g.schedule.Deadline
		x.disk = r
	}
	if x.run != 0 && incarnations[x.run] != r.Incarnation {
		r = Record{}
	}
	if x.leash {
		g.feed(w, h, LeashUp{})
	}
	g.feed(w, h, Loaded{Record: r, Survivors: x.run != 0})
}

// hasty reports whether something is under way that nothing keeps, and that does not take a second.
func (w *world) hasty() bool {
	for h := range w.hosts {
		x := &w.hosts[h]
		turns := x.alive && !x.frozen
		if !x.mute && !w.down && x.out[0].kind != nothing || !x.deaf && turns && x.in[0].kind != nothing ||
			turns && !x.hung && x.writes[0] != (Record{}) || turns && x.forking != 0 {
			return true
		}
		for _, l := range w.leases[h] {
			if l.id != 0 && l.expires <= present && !w.down {
				return true
			}
		}
	}
	return false
}

// pass is a second that goes by.
func (g *game) pass(w *world) {
	for h := range w.hosts {
		x := &w.hosts[h]
		if x.leash && g.flaw != noLeash && (x.disk.Lease == 0 || x.disk.KillAt < present+sec) {
			x.run = 0
			if x.forking != 0 && g.flaw != halfStarts {
				g.kill(w, h)
			}
		}
	}
	eachTime(w, func(t *time.Duration) { *t -= sec })
	for h := range w.hosts {
		if x := &w.hosts[h]; x.alive && !x.frozen {
			g.feed(w, h, Tick{})
		}
	}
}
