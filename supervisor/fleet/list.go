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

// relist has what runs here listed anew, soon.
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
