package place

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

const sec = time.Second

var pace = Pace{Pause: 3 * sec, Settle: 3 * sec}

// store is the truth: what the transactions compare with, and change.
type store struct {
	revision int64
	members  map[string]Member
	specs    map[string]Spec
	assigns  map[string]Assignment
	drains   map[string]bool
}

func newStore() *store {
	return &store{
		members: map[string]Member{}, specs: map[string]Spec{}, assigns: map[string]Assignment{},
		drains: map[string]bool{},
	}
}

func (s *store) join(name string, capacity int, labels map[string]string, since time.Duration) Member {
	s.revision++
	m := Member{
		Name: name, Incarnation: fmt.Sprint(name, s.revision), Created: s.revision,
		Capacity: capacity, Labels: labels, Since: since,
	}
	s.members[name] = m
	return m
}

// claim carries out a claim of the host, if its condition holds, and returns the new epoch; 0 if it does not.
func (s *store) claim(own string, created int64, c Claim) int64 {
	if s.members[own].Created != created || created == 0 || s.assigns[c.ID].Epoch != c.Epoch ||
		c.From != "" && s.members[c.From].Created != c.FromCreated {
		return 0
	}
	s.revision++
	s.assigns[c.ID] = Assignment{c.ID, own, s.members[own].Incarnation, c.Bound, s.revision}
	return s.revision
}

func (s *store) release(r Release) bool {
	if s.assigns[r.ID].Epoch != r.Epoch {
		return false
	}
	s.revision++
	delete(s.assigns, r.ID)
	return true
}

// view is the fleet as own sees it, made from the store as it is.
func (s *store) view(own string, now time.Duration) *Fleet {
	f := New(own, pace)
	s.show(f, now)
	return f
}

func (s *store) show(f *Fleet, now time.Duration) {
	for _, name := range slices.Sorted(maps.Keys(s.members)) {
		f.SetMember(s.members[name], now)
	}
	for name, draining := range s.drains {
		f.SetDrain(name, draining)
	}
	for _, id := range slices.Sorted(maps.Keys(s.specs)) {
		f.SetSpec(s.specs[id], now)
	}
	for _, id := range slices.Sorted(maps.Keys(s.assigns)) {
		f.SetAssignment(s.assigns[id], now)
	}
}

func up(string) bool   { return false }
func gone(string) bool { return true }

// drawn is a fleet with some of everything.
func drawn(t *rapid.T) *store {
	s := newStore()
	zones := []map[string]string{{"zone": "a"}, {"zone": "b"}, nil}
	for n := range rapid.IntRange(1, 6).Draw(t, "hosts") {
		s.join(fmt.Sprint("h", n), rapid.IntRange(0, 4).Draw(t, "capacity"),
			rapid.SampledFrom(zones).Draw(t, "zone"), 0)
	}
	for n := range rapid.IntRange(0, 20).Draw(t, "instances") {
		id := fmt.Sprint("i", n)
		hosts := rapid.SampledFrom(zones).Draw(t, "hosts")
		s.specs[id] = Spec{ID: id, Movable: rapid.Bool().Draw(t, "movable"), Fenced: true, Hosts: hosts}
	}
	return s
}

// run lets every host decide on the same view and carries all out, until nobody claims any more.
func (s *store) run(t require.TestingT, now time.Duration) time.Duration {
	for range 100 {
		claimed := map[string]string{}
		type step struct {
			own string
			d   Decision
		}
		var steps []step
		for _, own := range slices.Sorted(maps.Keys(s.members)) {
			steps = append(steps, step{own, s.view(own, 0).Decide(now, up)})
		}
		some, next := false, time.Duration(0)
		for _, x := range steps {
			for _, c := range x.d.Claims {
				require.Empty(t, claimed[c.ID], "two hosts with the same view claim %s", c.ID)
				claimed[c.ID] = x.own
				require.NotZero(t, s.claim(x.own, x.d.Created, c), "a claim on a true view is refused")
				some = true
			}
			if x.d.Next > 0 && (next == 0 || x.d.Next < next) {
				next = x.d.Next
			}
		}
		for name, m := range s.members {
			if m.Capacity > 0 {
				require.LessOrEqual(t, s.load(name), m.Capacity, "more than fits")
			}
		}
		if !some && next == 0 {
			return now
		}
		if !some {
			now = next
		}
	}
	require.Fail(t, "no end of it")
	return now
}

func (s *store) load(name string) int {
	n := 0
	for _, a := range s.assigns {
		if a.Host == name {
			n++
		}
	}
	return n
}

func TestEverythingPlaceableIsPlacedAndTheRestSaysWhyNot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawn(t)
		now := s.run(t, 0)
		f := s.view("h0", 0)
		for id, spec := range s.specs {
			fits := false
			for name, m := range s.members {
				fits = fits || matches(m.Labels, spec.Hosts) && (m.Capacity == 0 || s.load(name) < m.Capacity)
			}
			a, assigned := s.assigns[id]
			why := f.Why(id, now)
			if assigned {
				require.True(t, matches(s.members[a.Host].Labels, spec.Hosts))
				require.Equal(t, Reason{Kind: Assigned, Host: a.Host, Epoch: a.Epoch}, why)
				continue
			}
			require.False(t, fits, "%s has room somewhere", id)
			require.Contains(t, []Kind{NoMatch, NoRoom}, why.Kind)
		}
	})
}

func TestNothingMovesBecauseAHostJoins(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawn(t)
		now := s.run(t, 0)
		before := maps.Clone(s.assigns)
		s.join("new", 0, map[string]string{"zone": "a"}, now)
		s.run(t, now+time.Minute)
		for id, a := range before {
			require.Equal(t, a, s.assigns[id])
		}
	})
}

func TestTheLossOfAHostMovesWhatWasThereAndMayMoveAndNothingElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawn(t)
		now := s.run(t, 0)
		before := maps.Clone(s.assigns)
		delete(s.members, "h0")
		now = s.run(t, now)
		for id, a := range before {
			if a.Host != "h0" || !s.specs[id].Movable {
				require.Equal(t, a, s.assigns[id], id)
			}
		}
		if len(s.members) == 0 {
			return
		}
		f := s.view(slices.Sorted(maps.Keys(s.members))[0], 0)
		for id, a := range before {
			if a.Host == "h0" && !s.specs[id].Movable {
				require.Equal(t, Reason{Kind: Waits, Host: "h0", Epoch: a.Epoch}, f.Why(id, now))
			}
		}
		s.join("h0", 0, nil, now)
		s.run(t, now+time.Minute)
		for id, a := range before {
			if a.Host == "h0" && !s.specs[id].Movable {
				require.Equal(t, s.members["h0"].Incarnation, s.assigns[id].Incarnation,
					"its own host takes %s back", id)
			}
		}
	})
}

// Each host has seen the changes of the store up to some point of its own, and claims by that.
func TestDifferentViewsNeverMakeTwoOwners(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawn(t)
		names := slices.Sorted(maps.Keys(s.members))
		views := map[string]*Fleet{}
		decided := map[string]Decision{}
		now := time.Duration(0)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			name := rapid.SampledFrom(names).Draw(t, "host")
			switch rapid.IntRange(0, 6).Draw(t, "what") {
			case 6:
				id := fmt.Sprint("i", rapid.IntRange(0, 19).Draw(t, "id"))
				if spec, listed := s.specs[id]; listed {
					spec.Movable = !spec.Movable
					s.specs[id] = spec
				}
			case 0:
				views[name] = s.view(name, now)
			case 1:
				if f := views[name]; f != nil {
					d := f.Decide(now, up)
					d.Claims = append(decided[name].Claims, d.Claims...)
					decided[name] = d
				}
			case 2:
				d := decided[name]
				decided[name] = Decision{Created: d.Created}
				for _, c := range d.Claims {
					old, was := s.assigns[c.ID]
					if s.claim(name, d.Created, c) == 0 || !was {
						continue
					}
					lives := s.members[old.Host].Incarnation == old.Incarnation
					require.False(t, lives && old.Host != name, "%s is taken from a live owner", c.ID)
					require.True(t, !old.Bound || old.Host == name, "%s may run where it was bound", c.ID)
				}
			case 3:
				delete(s.members, name)
			case 4:
				if _, lives := s.members[name]; !lives {
					s.join(name, 3, nil, 0)
				}
			case 5:
				now += sec
			}
		}
	})
}

// What was told in pieces and in another order leaves the same decisions as what is told at once.
func TestTheIndexForgetsNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawn(t)
		f := s.view("h0", 0)
		all := slices.Sorted(maps.Keys(s.members))
		known := maps.Clone(s.members)
		for range rapid.IntRange(0, 80).Draw(t, "steps") {
			name := rapid.SampledFrom(all).Draw(t, "host")
			id := fmt.Sprint("i", rapid.IntRange(0, 20).Draw(t, "id"))
			switch rapid.IntRange(0, 7).Draw(t, "what") {
			case 0:
				delete(s.members, name)
				f.RemoveMember(name, 0)
			case 1:
				if rapid.Bool().Draw(t, "anew") {
					known[name] = s.join(name, 2, known[name].Labels, 0)
				}
				s.members[name] = known[name]
				f.SetMember(known[name], 0)
			case 2:
				s.drains[name] = rapid.Bool().Draw(t, "draining")
				f.SetDrain(name, s.drains[name])
			case 3:
				s.specs[id] = Spec{
					ID: id, Movable: rapid.Bool().Draw(t, "movable"), Fenced: rapid.Bool().Draw(t, "fenced"),
					Hosts: map[string]string{"zone": "a"},
				}
				f.SetSpec(s.specs[id], 0)
			case 4:
				delete(s.specs, id)
				f.RemoveSpec(id, 0)
			case 5:
				s.revision++
				s.assigns[id] = Assignment{id, name, known[name].Incarnation, rapid.Bool().Draw(t, "bound"), s.revision}
				f.SetAssignment(s.assigns[id], 0)
			case 6:
				s.revision++
				delete(s.assigns, id)
				f.RemoveAssignment(id, s.revision, 0)
			case 7:
				for _, c := range f.Decide(0, gone).Claims {
					f.Refused(c.ID)
				}
				for at := range f.slots {
					f.settled(int32(at))
				}
			}
		}
		fresh := New("h0", pace)
		s.show(fresh, 0)
		require.Equal(t, sorted(fresh), sorted(f))
		require.Equal(t, decision(fresh, 0), decision(f, 0))
		for n := range 22 {
			require.Equal(t, fresh.Why(fmt.Sprint("i", n), 0), f.Why(fmt.Sprint("i", n), 0))
		}
	})
}

func sorted(f *Fleet) []Run {
	var out []Run
	f.Runs(func(r Run) { out = append(out, r) })
	slices.SortFunc(out, func(a, b Run) int { return int(a.Epoch - b.Epoch) })
	return out
}

func decision(f *Fleet, now time.Duration) map[string]any {
	out := map[string]any{}
	d := f.Decide(now, gone)
	for _, c := range d.Claims {
		out[c.ID] = c
	}
	for _, r := range d.Releases {
		out[r.ID] = r
	}
	return out
}
