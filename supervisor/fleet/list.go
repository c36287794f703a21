package fleet

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"procman/messages"
	"procman/supervisor/fleet/member"
	"procman/supervisor/fleet/place"
	"procman/supervisor/fleet/store"
)

// relist has what may have changed of what runs here listed anew, soon.
func (a *hostActor) relist() {
	if a.flushing || !a.known {
		return
	}
	a.flushing = true
	h := a.h
	h.work.Go(func() {
		h.pause(flushPause)
		h.send(flush{})
	})
}

// list says what runs here, of what may have changed: first to who starts processes, then to the supervisor. What is
// new is on disk before.
func (a *hostActor) list() {
	if a.detached {
		return
	}
	if a.whole {
		for id := range a.own {
			a.touched[id] = struct{}{}
		}
		for id := range a.listed {
			a.touched[id] = struct{}{}
		}
		a.fleet.Runs(func(r place.Run) { a.touched[messages.InstanceID(r.ID)] = struct{}{} })
		a.whole = false
	}
	ids := slices.Sorted(maps.Keys(a.touched))
	clear(a.touched)
	permits, apps := make(map[messages.InstanceID]permit, len(ids)),
		make(map[messages.InstanceID]*messages.AppInstance, len(ids))
	for _, id := range ids {
		if p, app := a.look(id); app != nil {
			permits[id], apps[id] = p, app
		} else {
			apps[id] = nil
		}
	}
	a.h.gate.permit(ids, permits)
	for _, id := range ids {
		_, is := a.listed[id]
		if r := a.own[id]; r != nil && !is && !r.asking && (a.asOf > 0 || a.all) && !a.assignedHere(id) {
			delete(a.own, id)
			a.h.drop(id)
		}
	}
	if a.known {
		a.h.provider.set(apps)
	}
}

// look finds out how the instance stands on this host's list; no instance: it is not on it, or not yet.
func (a *hostActor) look(id messages.InstanceID) (permit, *messages.AppInstance) {
	if a.listed[id] {
		a.fenced--
	}
	delete(a.listed, id)
	is, listed := place.Run{}, false
	if !a.all {
		is, listed = a.fleet.Run(string(id))
	}
	if !listed {
		return permit{}, nil
	}
	a.listed[id] = false
	s := a.specs[id]
	if s == nil {
		return permit{}, nil
	}
	fenced := s.movable && s.fence != "none"
	if fenced && !a.member.Lists() {
		return permit{}, nil
	}
	r := a.own[id]
	if r == nil {
		r = &run{}
		a.own[id] = r
	}
	a.store(id, r, s)
	app := a.read(id, s)
	if app == nil || !r.onDisk {
		return permit{}, nil
	}
	if a.listed[id] = fenced; fenced {
		a.fenced++
	}
	return permit{epoch: is.Epoch, fenced: fenced, start: is.Start}, app
}

// touch has the next list look at the instance.
func (a *hostActor) touch(id messages.InstanceID) { a.touched[id] = struct{}{} }

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
	a.h.keepLater(assigned{ID: id, Spec: json.RawMessage(s.text), Revision: int64(s.revision), Assign: x.assignValue,
		Epoch: int64(x.revision)})
}

// decide claims what it is this host's turn for, and gives up what has to go.
func (a *hostActor) decide() {
	now := a.h.now()
	a.next = 0
	if a.detached || a.member.Phase != member.In || !a.member.Registered || a.first {
		return
	}
	if now < a.calm {
		a.next = a.calm
		return
	}
	if a.rebalances {
		given, chosen := a.fleet.Rebalance(now, rebalanceAtOnce)
		a.rebalances = given > 0
		for _, id := range chosen {
			a.touch(messages.InstanceID(id))
			a.relist()
		}
	}
	d := a.fleet.Decide(now, func(id string) bool { return a.h.gate.down(messages.InstanceID(id)) })
	a.next = d.Next
	for _, c := range d.Claims {
		a.touch(messages.InstanceID(c.ID))
		a.claims = append(a.claims, claim{c, store.Revision(d.Created), a.member.Incarnation})
	}
	a.claim()
	for _, r := range d.Releases {
		a.touch(messages.InstanceID(r.ID))
		a.h.release(r)
	}
	if len(d.Claims)+len(d.Releases) > 0 {
		a.relist()
	}
}

// claim sends what was decided, as much as one transaction takes, unless one is under way. So the more there is to do
// for the store, the more goes into one: each is a message to every host.
func (a *hostActor) claim() {
	if a.member.Phase != member.In {
		for _, c := range a.claims {
			a.fleet.Refused(c.ID)
		}
		a.claims = nil
	}
	if len(a.claims) == 0 || a.claiming {
		return
	}
	n, first, in := 0, a.claims[0], map[string]bool{}
	for n < min(len(a.claims), claimsAtOnce) {
		c := a.claims[n]
		if c.created != first.created || c.incarnation != first.incarnation || in[c.ID] {
			break
		}
		in[c.ID] = true
		n++
	}
	a.claiming = true
	a.h.claim(a.claims[:n:n])
	a.claims = a.claims[n:]
}

func (a *hostActor) gotClaims(list []claimed) {
	a.claiming = false
	for _, c := range list {
		a.gotClaimed(c)
	}
	a.claim()
}

func (a *hostActor) gotClaimed(c claimed) {
	id := messages.InstanceID(c.ID)
	a.touch(id)
	if c.epoch == 0 || c.incarnation != a.hosts[a.h.config.Name].Incarnation {
		// else it is known by now under another name
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
	a.touch(messages.InstanceID(r.ID))
	if r.revision == 0 {
		a.fleet.Refused(r.ID)
		a.calm = a.h.now() + refusedPause
		a.relist()
		return
	}
	a.remove(a.h.keys.assign(messages.InstanceID(r.ID)), r.revision)
	a.h.tell(messages.Event{What: messages.FleetReleased, ID: messages.InstanceID(r.ID), By: messages.ByManager,
		Why: string(r.Why)})
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
