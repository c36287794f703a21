package fleet

import (
	"encoding/json"
	"maps"
	"time"

	"procman/messages"
	"procman/supervisor/fleet/member"
	"procman/supervisor/fleet/place"
	"procman/supervisor/fleet/store"
)

func (a *hostActor) gotLoaded(l loaded) {
	now := a.h.now()
	for _, x := range l.assigned {
		s := newSpec(string(x.Spec), store.Revision(x.Revision))
		a.specs[x.ID] = s
		a.fleet.SetSpec(s.place(x.ID), now)
		a.assigns[x.ID] = assignEntry{x.Assign, store.Revision(x.Epoch)}
		a.fleet.SetAssignment(place.Assignment{ID: string(x.ID), Host: x.Assign.Host, Incarnation: x.Assign.Incarnation,
			Bound: x.Assign.Bound,
			Epoch: x.Epoch}, now)
		a.own[x.ID] = &run{onDisk: true, revision: store.Revision(x.Revision)}
		a.touch(x.ID)
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
	now := a.h.now() // once: the question is a system call
	there := make(map[string]bool, len(snap.Entries))
	for _, e := range snap.Entries {
		there[e.Key] = true
		a.put(e, now, true)
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
	a.asOf, a.first, a.whole = snap.Revision, false, true
	a.relist()
}

func (a *hostActor) gotChanges(c store.Changes) {
	now := a.h.now()
	for _, e := range c.Events {
		switch {
		case e.Entry.Modified <= a.asOf:
		case e.Deleted:
			a.remove(e.Entry.Key, e.Entry.Modified)
		default:
			a.put(e.Entry, now, false)
		}
	}
	a.asOf = max(a.asOf, c.Revision)
	if len(c.Events) > 0 {
		a.relist()
	}
}

func (a *hostActor) put(e store.Entry, now time.Duration, snapshot bool) {
	kind, name := a.h.keys.split(e.Key)
	id := messages.InstanceID(name)
	switch kind {
	case "spec":
		a.touch(id)
		if known := a.specs[id]; id.Validate() != nil || known != nil && known.revision >= e.Modified {
			return
		}
		s := newSpec(e.Value, e.Modified)
		if s.wrong != "" {
			a.h.log.Error("an instance of the fleet's list cannot be read; what runs of it goes on as it was",
				"instance", name, "error", s.wrong)
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
		a.touch(id)
		a.assigns[id] = assignEntry{v, e.Modified}
		a.fleet.SetAssignment(assignmentOf(name, v, e), now)
	case "host":
		v, err := decode[hostValue](e)
		if err != nil {
			a.h.log.Error("a host cannot be read", "key", e.Key, "error", err)
			return
		}
		a.hosts[name] = hostEntry{v, e.Modified}
		a.whole = a.whole || name == a.h.config.Name
		since := now
		if snapshot && a.first {
			since = 0
		}
		a.fleet.SetMember(place.Member{Name: name, Incarnation: v.Incarnation, Created: int64(e.Modified),
			Capacity: v.Capacity, Labels: v.Labels, Since: since}, now)
		if name == a.h.config.Name && a.member.Lease != 0 && v.Incarnation != a.member.Incarnation {
			a.happens(member.NameTaken{Lease: a.member.Lease, By: takenBy(v)})
		}
	case "drain":
		a.drains[name] = true
		a.whole = a.whole || name == a.h.config.Name
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
		a.touch(id)
		if s := a.specs[id]; s != nil && s.revision <= revision {
			delete(a.specs, id)
			a.fleet.RemoveSpec(name, now)
		}
	case "assign":
		a.touch(id)
		if x, known := a.assigns[id]; known && x.revision <= revision {
			delete(a.assigns, id)
		}
		a.fleet.RemoveAssignment(name, int64(revision), now)
	case "host":
		delete(a.hosts, name)
		a.whole = a.whole || name == a.h.config.Name
		a.fleet.RemoveMember(name, now)
	case "drain":
		delete(a.drains, name)
		a.whole = a.whole || name == a.h.config.Name
		a.fleet.SetDrain(name, false)
	}
}

func (a *hostActor) gotUnread(u unread) {
	if u.why != "" && a.unreachable == "" {
		a.h.log.Warn("the fleet's list cannot be read; what runs here is left as it is", "error", u.why)
	}
	a.unreachable = u.why
}
