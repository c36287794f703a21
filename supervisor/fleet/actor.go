package fleet

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"procman/messages"
	"procman/supervisor/fleet/member"
	"procman/supervisor/fleet/place"
	"procman/supervisor/fleet/store"
)

// What the actor is told, beside member.Event.
type (
	// loaded: what an earlier daemon kept.
	loaded struct {
		assigned []assigned
		record   member.Record
	}
	// read: all that there was in the store.
	read struct{ store.Snapshot }
	// unread: the store's list, or its changes, could not be had. Empty: they can again.
	unread struct{ why string }
	// claimed, released: what became of a claim, of which a transaction has several, and of a release.
	claimed struct {
		place.Claim
		incarnation string
		epoch       store.Revision // 0: it was not carried out, or nobody knows
	}
	released struct {
		place.Release
		revision store.Revision // 0: it was not carried out, or nobody knows
	}
	// kept: what is assigned is on disk, or could not be put there.
	kept struct{ ids []messages.InstanceID }
	// settled: what lives here, or is being started, has changed.
	settled struct{}
	// due: a time has come.
	due struct{ at time.Duration }
	// flush: what runs here is to be listed anew.
	flush struct{}
	// question: somebody wants to see something.
	question struct {
		ask  func(*hostActor)
		done chan struct{}
	}
)

// flushPause is for how long changes of what runs here are gathered: many instances are claimed at once.
const flushPause = 5 * time.Millisecond

// refusedPause is how long a host waits after a transaction was refused: what it did not know is on its way.
const refusedPause = 200 * time.Millisecond

// rebalanceAtOnce is how many instances a host gives up at a time when asked to rebalance.
const rebalanceAtOnce = 5

// hostActor owns all that the host knows of its fleet, and decides. It belongs to one goroutine at a time.
type hostActor struct {
	h      *Host
	self   *actor.PID
	member member.State
	fleet  *place.Fleet

	specs   map[messages.InstanceID]*spec
	assigns map[messages.InstanceID]assignEntry
	hosts   map[string]hostEntry
	drains  map[string]bool
	asOf    store.Revision // what happened up to then is known
	first   bool           // nothing was read yet

	own         map[messages.InstanceID]*run // what is on the list here, or waits for its file
	all         bool                         // nothing of the fleet's may run: the host leaves
	round       int                          // of the End that is under way; 0: none
	roundAll    bool
	claims      []claim // are sent after the one that is under way
	claiming    bool
	rebalances  bool
	calm        time.Duration // nothing is decided before
	armed       time.Duration // by the member
	next        time.Duration // when time alone may change a decision
	timer       func()        // ends what waits for armed or next
	timed       time.Duration
	flushing    bool
	known       bool                             // what survived is known
	listed      map[messages.InstanceID]bool     // what may run here, and whether that is fenced and on the list
	fenced      int                              // how many of them are
	touched     map[messages.InstanceID]struct{} // what may have to be listed anew
	detached    bool                             // what runs is left as it is: nothing is listed or decided any more
	whole       bool                             // all that is this host's may
	takeovers   uint64
	unreachable string
}

// claim is one that was decided, for that key of this host.
type claim struct {
	place.Claim
	created     store.Revision
	incarnation string
}

type spec struct {
	text     string
	revision store.Revision
	movable  bool
	fence    string
	hosts    map[string]string
	app      *messages.AppInstance // as this host reads it; nil: not read yet, or wrong
	wrong    string
}

type assignEntry struct {
	assignValue
	revision store.Revision
}

type hostEntry struct {
	hostValue
	revision store.Revision
}

// run is an instance that is this host's.
type run struct {
	onDisk   bool
	asking   bool           // its file is being written
	revision store.Revision // of the spec that is on disk
}

func newHostActor(h *Host) *hostActor {
	return &hostActor{
		h: h, member: member.Begin(h.config.Guard.Boot(), h.config.Schedule),
		fleet: place.New(h.config.Name, h.config.Pace), first: true,
		specs: map[messages.InstanceID]*spec{}, assigns: map[messages.InstanceID]assignEntry{},
		hosts:  map[string]hostEntry{},
		drains: map[string]bool{}, own: map[messages.InstanceID]*run{}, listed: map[messages.InstanceID]bool{},
		touched: map[messages.InstanceID]struct{}{},
	}
}

// Receive never blocks.
func (a *hostActor) Receive(c actor.Context) {
	switch m := c.Message().(type) {
	case *actor.Started:
		a.self = c.Self()
	case *actor.Stopped:
		if a.timer != nil {
			a.timer()
		}
	case member.Event:
		a.happens(m)
	case loaded:
		a.gotLoaded(m)
	case read:
		a.gotRead(m.Snapshot)
	case store.Changes:
		a.gotChanges(m)
	case unread:
		a.gotUnread(m)
	case []claimed:
		a.gotClaims(m)
	case released:
		a.gotReleased(m)
	case kept:
		for _, id := range m.ids {
			if r := a.own[id]; r != nil {
				r.onDisk, r.asking = true, false
				a.touch(id)
			}
		}
		a.relist()
	case settled:
		a.relist()
		a.lookDown()
	case due:
		if m.at == a.timed {
			a.timed = 0
			if a.armed == m.at {
				a.armed = 0 // it is used up, and of a host that is gone nothing is due any more
			}
			a.happens(member.Tick{})
			a.decide()
		}
	case flush:
		a.flushing = false
		a.list()
		a.decide()
	case question:
		m.ask(a)
		close(m.done)
	}
	a.show()
	a.wait()
}

// happens takes one event of the host's life in, and does what follows from it.
func (a *hostActor) happens(e member.Event) {
	before := a.member
	_, detaches := e.(member.Detach)
	a.detached = a.detached || detaches
	next, actions := member.Step(a.member, a.h.now(), e)
	a.member = next
	a.h.gate.mu.Lock()
	a.h.gate.member = next
	a.h.gate.mu.Unlock()
	for _, action := range actions {
		a.act(action)
	}
	if _, is := e.(member.Loaded); is && !a.known {
		a.known, a.whole = true, true
		if a.member.Lists() { // it goes on as the member that its predecessor was
			a.fleet.SetMember(a.ownMember(), a.h.now())
		}
		a.list()
		a.h.work.Go(a.h.read)
	}
	if before.Phase != next.Phase || before.Registered != next.Registered {
		a.whole = true
		a.relist()
	}
	if next.Phase == member.Gone && before.Phase != member.Gone {
		a.h.left(e)
	}
}

// ownMember is this host as a member, before its key was read.
func (a *hostActor) ownMember() place.Member {
	return place.Member{Name: a.h.config.Name, Incarnation: a.member.Incarnation, Capacity: a.h.config.Capacity,
		Labels: a.h.config.Labels}
}

func (a *hostActor) act(action member.Action) {
	h := a.h
	switch x := action.(type) {
	case member.StartLeash:
		h.work.Go(func() { h.send(h.ensure()) })
	case member.Grant:
		h.request(func() member.Event { return h.grant(x) })
	case member.Renew:
		h.request(func() member.Event { return h.renew(x) })
	case member.Persist:
		select {
		case h.writes <- x.Record:
		default: // the disk hangs, and has more to write than it ever will
			a.happens(member.PersistFailed{Record: x.Record, Why: "the disk does not answer"})
		}
	case member.Register:
		h.request(func() member.Event { return h.register(x) })
	case member.Admit:
		a.whole = true
		a.relist()
	case member.End:
		a.end(x)
	case member.Release:
		held := a.releasable()
		h.request(func() member.Event { return h.releaseAll(held) })
	case member.Revoke:
		h.request(func() member.Event { return h.revoke(x.Lease) })
	case member.Say:
		a.say(x)
	case member.Arm:
		a.armed = x.At
	case member.Bug:
		h.log.Error("bug: this cannot happen to a host; nothing was changed", "event", x.Event, "phase", x.Phase)
	}
}

// end takes what is fenced, or all, off the list, so that the root ends it.
func (a *hostActor) end(x member.End) {
	a.round, a.roundAll = x.Round, x.All
	a.all, a.whole = a.all || x.All, true
	if x.By != 0 {
		a.h.provider.hurry(max(x.By-a.h.now(), time.Millisecond), func(id messages.InstanceID) bool {
			return x.All || a.h.gate.isMarked(id)
		})
	}
	a.list()
	a.lookDown()
}

// lookDown says when what had to end has ended.
func (a *hostActor) lookDown() {
	if a.round != 0 && a.h.gate.fencedDown(a.roundAll) {
		round := a.round
		a.round = 0
		a.happens(member.Down{Round: round})
	}
}

// wait has the actor told when the next moment comes in which time alone changes something.
func (a *hostActor) wait() {
	at := a.armed
	if a.next != 0 && (at == 0 || a.next < at) {
		at = a.next
	}
	if at == a.timed {
		return
	}
	if a.timer != nil {
		a.timer()
		a.timer = nil
	}
	if a.timed = at; at != 0 && a.h.life.Err() == nil {
		a.timer = a.h.at(at)
	}
}

func (a *hostActor) say(x member.Say) {
	bad := false
	switch x.What {
	case member.Suspected, member.Yielded, member.Overdue, member.Lost, member.Hindered, member.NotDurable,
		member.Unguarded:
		bad = true
	}
	why := string(x.What)
	if x.Why != "" {
		why += ": " + x.Why
	}
	var details []slog.Attr
	if x.At != 0 {
		left := (x.At - a.h.now()).Round(time.Millisecond)
		details = append(details, slog.String("leash_kills_in", left.String()))
		if len(a.h.gate.markedNow()) > 0 {
			why += fmt.Sprintf("; what is fenced is killed in %v unless the lease is renewed", left)
		}
	}
	a.h.tell(messages.Event{What: messages.FleetChanged, By: messages.ByManager, Why: why, Bad: bad,
		Details: append(details, slog.String("standing", string(x.What)), slog.String("reason", x.Why))})
}

// show lets readers see how the host stands.
func (a *hostActor) show() {
	a.h.view.set(standing{FleetStanding: messages.FleetStanding{
		Fleet: a.h.config.Fleet, Host: a.h.config.Name, Phase: string(a.member.Phase), Why: a.member.Why,
		Incarnation: a.member.Incarnation,
		Suspect:     a.member.Phase == member.Suspect, Assigned: len(a.listed), Fenced: a.fenced,
		Takeovers: a.takeovers,
		Leash:     a.member.Leash,
		Revision:  int64(a.asOf),
	}, deadline: a.member.Deadline(), killAt: a.member.KillAt()})
}
