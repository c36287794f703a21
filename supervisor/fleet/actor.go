package fleet

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
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
	// claimed, released: what became of a transaction.
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
	rebalances  bool
	calm        time.Duration // nothing is decided before
	armed       time.Duration // by the member
	next        time.Duration // when time alone may change a decision
	timer       func()        // ends what waits for armed or next
	timed       time.Duration
	flushing    bool
	known       bool // what survived is known
	held        int  // assigned to this host
	fenced      int  // of what is listed
	takeovers   uint64
	unreachable string
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
	place.Run
	fenced   bool
	onDisk   bool
	asking   bool           // its file is being written
	revision store.Revision // of the spec that is on disk
}

func newHostActor(h *Host) *hostActor {
	return &hostActor{
		h: h, member: member.Begin(h.config.Guard.Boot(), h.config.Schedule), fleet: place.New(h.config.Name, h.config.Pace), first: true,
		specs: map[messages.InstanceID]*spec{}, assigns: map[messages.InstanceID]assignEntry{}, hosts: map[string]hostEntry{},
		drains: map[string]bool{}, own: map[messages.InstanceID]*run{},
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
	case claimed:
		a.gotClaimed(m)
	case released:
		a.gotReleased(m)
	case kept:
		for _, id := range m.ids {
			if r := a.own[id]; r != nil {
				r.onDisk, r.asking = true, false
			}
		}
		a.relist()
	case settled:
		a.relist()
		a.lookDown()
	case due:
		if m.at == a.timed {
			a.timed = 0
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
	next, actions := member.Step(a.member, a.h.now(), e)
	a.member = next
	a.h.gate.mu.Lock()
	a.h.gate.member = next
	a.h.gate.mu.Unlock()
	for _, action := range actions {
		a.act(action)
	}
	if _, is := e.(member.Loaded); is && !a.known {
		a.known = true
		if a.member.Lists() { // it goes on as the member that its predecessor was
			a.fleet.SetMember(a.ownMember(), a.h.now())
		}
		a.list()
		a.h.work.Go(a.h.read)
	}
	if before.Phase != next.Phase || before.Registered != next.Registered {
		a.relist()
	}
	if next.Phase == member.Gone && before.Phase != member.Gone {
		a.h.left(e)
	}
}

// ownMember is this host as a member, before its key was read.
func (a *hostActor) ownMember() place.Member {
	return place.Member{Name: a.h.config.Name, Incarnation: a.member.Incarnation, Capacity: a.h.config.Capacity, Labels: a.h.config.Labels}
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
	a.all = a.all || x.All
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

func (a *hostActor) gotLoaded(l loaded) {
	now := a.h.now()
	for _, x := range l.assigned {
		s := newSpec(string(x.Spec), store.Revision(x.Revision))
		a.specs[x.ID] = s
		a.fleet.SetSpec(s.place(x.ID), now)
		a.assigns[x.ID] = assignEntry{x.Assign, store.Revision(x.Epoch)}
		a.fleet.SetAssignment(place.Assignment{ID: string(x.ID), Host: x.Assign.Host, Incarnation: x.Assign.Incarnation, Bound: x.Assign.Bound,
			Epoch: x.Epoch}, now)
		a.own[x.ID] = &run{onDisk: true, revision: store.Revision(x.Revision)}
	}
}

func newSpec(text string, revision store.Revision) *spec {
	var p struct {
		Movable bool              `json:"movable"`
		Fence   string            `json:"fence"`
		Hosts   map[string]string `json:"hosts"`
	}
	s := &spec{text: text, revision: revision}
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		s.wrong = err.Error()
		return s
	}
	s.movable, s.hosts = p.Movable, p.Hosts
	if s.movable {
		s.fence = "leash"
		if p.Fence != "" {
			s.fence = p.Fence
		}
	}
	return s
}

func (s *spec) place(id messages.InstanceID) place.Spec {
	return place.Spec{ID: string(id), Movable: s.movable, Fenced: s.movable && s.fence != "none", Hosts: s.hosts}
}

// gotRead takes all that there is: what is known and not there is gone.
func (a *hostActor) gotRead(snap store.Snapshot) {
	if snap.Revision < a.asOf {
		return
	}
	there := make(map[string]bool, len(snap.Entries))
	for _, e := range snap.Entries {
		there[e.Key] = true
		a.put(e, true)
	}
	gone := func(key string) { a.remove(key, snap.Revision) }
	k := a.h.keys
	for id := range maps.Clone(a.specs) {
		if key := k.spec(id); !there[key] {
			gone(key)
		}
	}
	for id := range maps.Clone(a.assigns) {
		if key := k.assign(id); !there[key] {
			gone(key)
		}
	}
	for name := range maps.Clone(a.hosts) {
		if key := k.host(name); !there[key] {
			gone(key)
		}
	}
	if own := k.host(a.h.config.Name); !there[own] {
		gone(own)
	}
	for name := range maps.Clone(a.drains) {
		if key := k.drain(name); !there[key] {
			gone(key)
		}
	}
	a.asOf, a.first = snap.Revision, false
	a.relist()
}

func (a *hostActor) gotChanges(c store.Changes) {
	for _, e := range c.Events {
		switch {
		case e.Entry.Modified <= a.asOf:
		case e.Deleted:
			a.remove(e.Entry.Key, e.Entry.Modified)
		default:
			a.put(e.Entry, false)
		}
	}
	a.asOf = max(a.asOf, c.Revision)
	if len(c.Events) > 0 {
		a.relist()
	}
}

func (a *hostActor) put(e store.Entry, snapshot bool) {
	now := a.h.now()
	kind, name := a.h.keys.split(e.Key)
	id := messages.InstanceID(name)
	switch kind {
	case "spec":
		if known := a.specs[id]; id.Validate() != nil || known != nil && known.revision >= e.Modified {
			return
		}
		s := newSpec(e.Value, e.Modified)
		if s.wrong != "" {
			a.h.log.Error("an instance of the fleet's list cannot be read; what runs of it goes on as it was", "instance", name, "error", s.wrong)
			if known := a.specs[id]; known != nil {
				known.revision, known.wrong = e.Modified, s.wrong
				return
			}
		}
		if known := a.specs[id]; known != nil && known.text == s.text {
			known.revision = e.Modified
			return
		}
		a.specs[id] = s
		a.fleet.SetSpec(s.place(id), now)
	case "assign":
		v, err := decode[assignValue](e)
		if err != nil || id.Validate() != nil {
			a.h.log.Error("an assignment cannot be read", "key", e.Key, "error", err)
			return
		}
		a.assigns[id] = assignEntry{v, e.Modified}
		a.fleet.SetAssignment(assignmentOf(name, v, e), now)
	case "host":
		v, err := decode[hostValue](e)
		if err != nil {
			a.h.log.Error("a host cannot be read", "key", e.Key, "error", err)
			return
		}
		a.hosts[name] = hostEntry{v, e.Modified}
		since := now
		if snapshot && a.first {
			since = 0
		}
		a.fleet.SetMember(place.Member{Name: name, Incarnation: v.Incarnation, Created: int64(e.Modified), Capacity: v.Capacity, Labels: v.Labels, Since: since}, now)
		if name == a.h.config.Name && a.member.Lease != 0 && v.Incarnation != a.member.Incarnation {
			a.happens(member.NameTaken{Lease: a.member.Lease, By: takenBy(v)})
		}
	case "drain":
		a.drains[name] = true
		a.fleet.SetDrain(name, true)
	case "rebalance":
		a.rebalances = a.rebalances || !snapshot
	}
}

func takenBy(v hostValue) string {
	if v.API != "" {
		return v.Incarnation + ", which answers at " + v.API
	}
	return v.Incarnation
}

func (a *hostActor) remove(key string, revision store.Revision) {
	now := a.h.now()
	kind, name := a.h.keys.split(key)
	id := messages.InstanceID(name)
	switch kind {
	case "spec":
		if s := a.specs[id]; s != nil && s.revision <= revision {
			delete(a.specs, id)
			a.fleet.RemoveSpec(name, now)
		}
	case "assign":
		if x, known := a.assigns[id]; known && x.revision <= revision {
			delete(a.assigns, id)
		}
		a.fleet.RemoveAssignment(name, int64(revision), now)
	case "host":
		delete(a.hosts, name)
		a.fleet.RemoveMember(name, now)
	case "drain":
		delete(a.drains, name)
		a.fleet.SetDrain(name, false)
	}
}

func (a *hostActor) gotUnread(u unread) {
	if u.why != "" && a.unreachable == "" {
		a.h.log.Warn("the fleet's list cannot be read; what runs here is left as it is", "error", u.why)
	}
	a.unreachable = u.why
}

// relist has what runs here listed anew, soon.
func (a *hostActor) relist() {
	if a.flushing || !a.known {
		return
	}
	a.flushing = true
	h := a.h
	time.AfterFunc(flushPause, func() { h.send(flush{}) })
}

// list says what runs here: first to who starts processes, then to the supervisor. What is new is on disk before.
func (a *hostActor) list() {
	listed := map[messages.InstanceID]place.Run{}
	if !a.all {
		a.fleet.Runs(func(r place.Run) { listed[messages.InstanceID(r.ID)] = r })
	}
	permits := make(map[messages.InstanceID]permit, len(listed))
	a.held, a.fenced = len(listed), 0
	var apps []messages.AppInstance
	for _, id := range slices.Sorted(maps.Keys(listed)) {
		s, is := a.specs[id], listed[id]
		if s == nil {
			continue
		}
		fenced := s.movable && s.fence != "none"
		if fenced && !a.member.Lists() {
			continue
		}
		r := a.own[id]
		if r == nil {
			r = &run{}
			a.own[id] = r
		}
		r.Run, r.fenced = is, fenced
		a.store(id, r, s)
		app := a.read(id, s)
		if app == nil || !r.onDisk {
			continue
		}
		permits[id] = permit{epoch: is.Epoch, fenced: fenced, start: is.Start}
		if fenced {
			a.fenced++
		}
		apps = append(apps, *app)
	}
	for id, r := range a.own {
		if _, is := listed[id]; !is && !r.asking && (a.asOf > 0 || a.all) && !a.assignedHere(id) {
			delete(a.own, id)
			a.h.drop(id)
		}
	}
	a.h.gate.mu.Lock()
	a.h.gate.permits = permits
	for id := range permits {
		a.h.gate.fleets[id] = true
	}
	a.h.gate.mu.Unlock()
	if a.known {
		a.h.provider.set(apps)
	}
}

func (a *hostActor) assignedHere(id messages.InstanceID) bool {
	x, is := a.assigns[id]
	return is && x.Host == a.h.config.Name
}

// read reads the instance by this host's settings. What is wrong with a new text leaves the one before in force.
func (a *hostActor) read(id messages.InstanceID, s *spec) *messages.AppInstance {
	if s.app != nil || s.wrong != "" {
		return s.app
	}
	app, err := a.h.config.Parse(id, []byte(s.text))
	if err != nil {
		s.wrong = err.Error()
		a.h.tell(messages.Event{What: messages.ConfigRejected, ID: id, By: messages.ByConfiguration, Bad: true,
			Why: "this host cannot run what the fleet's list says: " + s.wrong})
		return nil
	}
	s.app = &app
	return s.app
}

// store puts what is assigned on disk, if that says something else.
func (a *hostActor) store(id messages.InstanceID, r *run, s *spec) {
	x, is := a.assigns[id]
	if !is || r.asking || r.onDisk && r.revision == s.revision {
		return
	}
	r.asking, r.revision = true, s.revision
	a.h.keepLater(assigned{ID: id, Spec: json.RawMessage(s.text), Revision: int64(s.revision), Assign: x.assignValue, Epoch: int64(x.revision)})
}

// decide claims what it is this host's turn for, and gives up what has to go.
func (a *hostActor) decide() {
	now := a.h.now()
	a.next = 0
	if a.member.Phase != member.In || !a.member.Registered || a.first {
		return
	}
	if now < a.calm {
		a.next = a.calm
		return
	}
	if a.rebalances {
		a.rebalances = a.fleet.Rebalance(now, rebalanceAtOnce) > 0
	}
	d := a.fleet.Decide(now, func(id string) bool { return a.h.gate.down(messages.InstanceID(id)) })
	a.next = d.Next
	for _, c := range d.Claims {
		a.h.claim(c, store.Revision(d.Created), a.member.Incarnation)
	}
	for _, r := range d.Releases {
		a.h.release(r)
	}
	if len(d.Claims)+len(d.Releases) > 0 {
		a.relist()
	}
}

func (a *hostActor) gotClaimed(c claimed) {
	id := messages.InstanceID(c.ID)
	if c.epoch == 0 || c.incarnation != a.hosts[a.h.config.Name].Incarnation { // else it is known by now under another name
		a.fleet.Refused(c.ID)
		a.calm = a.h.now() + refusedPause
		a.relist()
		return
	}
	a.assigns[id] = assignEntry{assignValue{a.h.config.Name, c.incarnation, c.Bound}, c.epoch}
	a.fleet.Claimed(c.Claim, int64(c.epoch), a.h.now())
	why := fmt.Sprintf("epoch %d", c.epoch)
	if c.From != "" {
		a.takeovers++
		why = fmt.Sprintf("taken over from %s, which is lost: epoch %d", c.From, c.epoch)
	}
	a.h.tell(messages.Event{What: messages.FleetClaimed, ID: id, By: messages.ByManager, Why: why,
		Details: []slog.Attr{slog.Int64("epoch", int64(c.epoch)), slog.String("from", c.From)}})
	a.relist()
}

func (a *hostActor) gotReleased(r released) {
	if r.revision == 0 {
		a.fleet.Refused(r.ID)
		a.calm = a.h.now() + refusedPause
		a.relist()
		return
	}
	a.remove(a.h.keys.assign(messages.InstanceID(r.ID)), r.revision)
	a.h.tell(messages.Event{What: messages.FleetReleased, ID: messages.InstanceID(r.ID), By: messages.ByManager, Why: string(r.Why)})
	a.relist()
}

// releasable is what a host that leaves gives back.
func (a *hostActor) releasable() (list []place.Release) {
	for id, x := range a.assigns {
		if x.Host == a.h.config.Name && !x.Bound {
			list = append(list, place.Release{ID: string(id), Epoch: int64(x.revision)})
		}
	}
	return list
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
	case member.Suspected, member.Yielded, member.Overdue, member.Lost, member.Hindered, member.NotDurable, member.Unguarded:
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
		Fleet: a.h.config.Fleet, Host: a.h.config.Name, Phase: string(a.member.Phase), Why: a.member.Why, Incarnation: a.member.Incarnation,
		Suspect: a.member.Phase == member.Suspect, Assigned: a.held, Fenced: a.fenced, Takeovers: a.takeovers, Leash: a.member.Leash,
		Revision: int64(a.asOf),
	}, deadline: a.member.Deadline(), killAt: a.member.KillAt()})
}
