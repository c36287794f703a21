package member

import (
	"flag"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

type happening struct {
	name string
	do   func(*world)
}

// steps lists everything that can happen now. free says that host 1 is as exposed as host 0; else its packets arrive at
// once, and nothing befalls it.
func (g *game) steps(w *world, free bool) []happening {
	var out []happening
	put := func(name string, do func(*world)) { out = append(out, happening{name, do}) }
	fault := func(name string, do func(*world)) {
		kind := name[strings.Index(name, ":")+1:]
		if w.faults > 0 && (g.only == nil || slices.Contains(g.only, strings.TrimSpace(kind))) {
			put(name, func(n *world) { n.faults--; do(n) })
		}
	}
	if free || !w.hasty() {
		put("a second passes", g.pass)
	}
	if w.down {
		put("the store is back", func(n *world) {
			n.down = false
			for h := range n.leases { // as etcd's new leader does
				for k := range n.leases[h] {
					if n.leases[h][k].id != 0 {
						n.leases[h][k].expires = present + g.schedule.TTL
					}
				}
			}
		})
	} else {
		fault("the store is down", func(n *world) { n.down = true })
	}
	for h := range w.hosts {
		x := &w.hosts[h]
		on := func(name string, do func(*world)) { put(fmt.Sprintf("%d: %s", h, name), do) }
		bad := func(name string, do func(*world)) { fault(fmt.Sprintf("%d: %s", h, name), do) }
		turns := x.alive && !x.frozen
		for n := range 2 {
			if x.out[n].kind != nothing && !w.down && !x.mute {
				on(fmt.Sprintf("request %d arrives", x.out[n].kind), func(w *world) { g.arrive(w, h, n) })
			}
			if l := w.leases[h][n]; l.id != 0 && l.expires <= present && !w.down {
				on("a lease ends", func(w *world) { g.expire(w, h, n) })
			}
		}
		if x.in[0].kind != nothing && turns && !x.deaf {
			on(fmt.Sprintf("answer %d arrives", x.in[0].kind), func(w *world) { g.back(w, h) })
		}
		if x.writes[0] != (Record{}) && turns && !x.hung {
			on("written", func(w *world) { g.written(w, h, true, true) })
		}
		if turns && x.leashStarts {
			on("a leash begins", func(w *world) {
				w.hosts[h].leash, w.hosts[h].leashStarts = true, false
				g.feed(w, h, LeashUp{})
			})
		}
		if turns && x.m.Lists() && x.m.Registered && !x.own && !w.down && !x.draining {
			on("claims", func(w *world) { g.claim(w, h) })
		}
		if turns && g.mayStart(x) {
			on("starts", func(w *world) { w.hosts[h].forking = int8(w.hosts[h].m.Lease) })
		}
		if turns && x.forking != 0 {
			on("forks", func(w *world) {
				w.hosts[h].run, w.hosts[h].forking = w.hosts[h].forking, 0
			})
		}
		if turns && x.run != 0 && (x.ends || x.draining) {
			on("a run ends", func(w *world) {
				w.hosts[h].run = 0
				g.settle(w, h)
			})
		}
		if x.frozen {
			on("thaws", func(w *world) {
				w.hosts[h].frozen = false
				g.feed(w, h, Tick{})
			})
		}
		if !x.alive {
			on("a daemon begins", func(w *world) { g.begin(w, h) })
		}
		if h == 1 && !free {
			continue
		}
		for n := range 2 {
			if x.out[n].kind != nothing && x.mute {
				on("a request is lost", func(w *world) { w.hosts[h].out[n] = packet{} })
			}
		}
		if x.in[0].kind != nothing && x.deaf {
			on("an answer is lost", func(w *world) { w.hosts[h].in[0] = packet{} })
		}
		if x.mute || x.deaf || x.hung {
			on("links and disk are well again", func(w *world) {
				x := &w.hosts[h]
				x.mute, x.deaf, x.hung = false, false, false
			})
		}
		if !x.mute {
			bad("what it sends does not arrive", func(w *world) { w.hosts[h].mute = true })
		}
		if !x.deaf {
			bad("it hears nothing", func(w *world) { w.hosts[h].deaf = true })
		}
		if x.writes[0] != (Record{}) && turns && !x.hung {
			bad("the disk hangs", func(w *world) { w.hosts[h].hung = true })
		}
		if x.alive && x.leash {
			bad("the daemon is killed", func(w *world) { g.kill(w, h) })
			if x.writes[0] != (Record{}) {
				bad("the daemon is killed after a write", func(w *world) {
					w.hosts[h].disk = w.hosts[h].writes[0]
					g.kill(w, h)
				})
			}
		}
		bad("the host boots anew", func(w *world) {
			x := &w.hosts[h]
			g.kill(w, h)
			x.run, x.leash, x.disk.Boot = 0, false, "an earlier one"
		})
		if turns && x.leash {
			bad("the daemon freezes", func(w *world) { w.hosts[h].frozen = true })
			bad("the leash is killed", func(w *world) {
				w.hosts[h].leash = false
				g.feed(w, h, LeashGone{})
			})
		}
		if turns && x.writes[0] != (Record{}) {
			bad("the disk is full", func(w *world) { g.written(w, h, false, false) })
			bad("the disk says that it is full", func(w *world) { g.written(w, h, true, false) })
		}
		if turns && x.own && x.m.Lists() && !x.draining {
			bad("it gives the instance up", func(w *world) {
				w.hosts[h].draining = true
				g.settle(w, h)
			})
		}
		if turns && x.m.Phase != Leaving && x.m.Phase != Gone {
			bad("it leaves", func(w *world) { g.feed(w, h, Leave{}) })
		}
		if turns && x.m.Phase == Gone {
			on("the daemon ends", func(w *world) { g.kill(w, h) })
		}
	}
	return out
}

func (g *game) written(w *world, h int, is, said bool) {
	x := &w.hosts[h]
	r := x.writes[0]
	x.writes[0], x.writes[1] = x.writes[1], Record{}
	if is {
		x.disk = r
	}
	if said {
		g.feed(w, h, Persisted{r})
		return
	}
	g.feed(w, h, PersistFailed{Record: r})
}

// prompt is a host to which nothing bad happens.
func (g *game) prompt(w *world, h int) {
	x := &w.hosts[h]
	for again := true; again; {
		again = false
		for n := range 2 {
			if x.out[n].kind != nothing && !w.down {
				g.arrive(w, h, n)
				again = true
			}
			if x.in[0].kind != nothing {
				g.back(w, h)
				again = true
			}
		}
		if x.writes[0] != (Record{}) {
			g.written(w, h, true, true)
			again = true
		}
	}
}

// wrong says what must not be; empty if all is well.
func (g *game) wrong(w *world) string {
	switch {
	case w.hosts[0].run != 0 && w.hosts[1].run != 0:
		return "two fenced runs of one instance"
	case len(g.bugs) > 0:
		return g.bugs[0]
	}
	for h := range w.hosts {
		if x := &w.hosts[h]; x.alive && x.m.Lease != 0 && x.m.Renewed > x.m.Answered {
			return "what was not answered counts"
		}
	}
	return ""
}

// start is the fleet with both hosts in, the instance on host 0.
func (g *game) start(faults int8) world {
	w := world{}
	for h := range w.hosts {
		w.hosts[h].leash = true
		g.begin(&w, h)
		g.prompt(&w, h)
	}
	g.claim(&w, 0)
	if !g.idle {
		w.hosts[0].run = int8(w.hosts[0].m.Lease)
	}
	w.faults = faults
	fold(&w)
	return w
}

// walk goes breadth-first through everything that can happen. It returns the number of states, and the way to the first
// that is wrong. each is called in every state.
func (g *game) walk(faults int8, limit int, each func(*world)) (int, []string) {
	type node struct {
		parent int32
		step   string
	}
	seed := maphash.MakeSeed()
	key := func(w *world) uint64 { return maphash.Comparable(seed, *w) }
	first := g.start(faults)
	seen := map[uint64]bool{key(&first): true}
	nodes := []node{{-1, "the beginning"}}
	level, at := []world{first}, []int32{0}
	for len(level) > 0 && len(nodes) < limit {
		var next []world
		var nextAt []int32
		for i := range level {
			for _, s := range g.steps(&level[i], false) {
				n := level[i]
				s.do(&n)
				g.prompt(&n, 1)
				fold(&n)
				k := key(&n)
				if seen[k] {
					continue
				}
				seen[k] = true
				nodes = append(nodes, node{at[i], s.name})
				if g.wrong(&n) != "" {
					way := []string{g.wrong(&n)}
					for p := int32(len(nodes) - 1); p >= 0; p = nodes[p].parent {
						way = append(way, nodes[p].step)
					}
					slices.Reverse(way)
					return len(nodes), way
				}
				each(&n)
				next, nextAt = append(next, n), append(nextAt, int32(len(nodes)-1))
			}
		}
		level, at = next, nextAt
	}
	return len(nodes), nil
}

func newGame(t require.TestingT, f flaw) *game {
	s, err := NewSchedule(5*sec, sec/2)
	require.NoError(t, err)
	require.Equal(t, []time.Duration{sec, 2 * sec, 3 * sec}, []time.Duration{s.Renew, s.Suspect, s.Yield},
		"whole seconds")
	return &game{flaw: f, schedule: s}
}

// heal walks on with nothing going wrong any more, for as long as a minute, and reports whether the instance runs.
func (g *game) heal(w world) bool {
	w.faults, w.down = 0, false
	for range 60 {
		for h := range w.hosts {
			x := &w.hosts[h]
			if x.alive && (x.m.Phase == Gone) {
				g.kill(&w, h)
			}
			if !x.alive {
				g.begin(&w, h)
			}
			x.frozen, x.mute, x.deaf, x.hung = false, false, false, false
			g.feed(&w, h, Tick{})
			if x.leashStarts {
				x.leash, x.leashStarts = true, false
				g.feed(&w, h, LeashUp{})
			}
			g.prompt(&w, h)
			for n, l := range w.leases[h] {
				if l.id != 0 && l.expires <= present {
					g.expire(&w, h, n)
				}
			}
			if x.forking != 0 {
				x.run, x.forking = x.forking, 0
			}
			if x.ends || x.draining {
				x.run = 0
			}
			g.settle(&w, h)
			g.prompt(&w, h)
			if x.m.Lists() && x.m.Registered && !x.own {
				g.claim(&w, h)
			}
			if g.mayStart(x) {
				x.run = int8(x.m.Lease)
			}
		}
		one := w.hosts[0].run != 0 || w.hosts[1].run != 0
		if one && w.hosts[0].m.Phase == In && w.hosts[1].m.Phase == In {
			return true
		}
		if g.wrong(&w) != "" {
			return false
		}
		g.pass(&w)
		fold(&w)
	}
	return false
}

const (
	mute    = "what it sends does not arrive"
	hangs   = "the disk hangs"
	killed  = "the daemon is killed"
	killed2 = "the daemon is killed after a write"
	freezes = "the daemon freezes"
	givesUp = "it gives the instance up"
	leaves  = "it leaves"
)

var all = flag.Bool("all", false, "walk every pair of faults and more, which takes minutes")

// A single fault, and pairs of them; between them everything that can be late is late in every order.
func TestNoOrderOfEventsMakesTwoRuns(t *testing.T) {
	sets := [][]string{{killed, givesUp, leaves}, {mute, freezes}, {hangs, killed2}}
	walk := func(t *testing.T, faults int8, only []string, idle bool) {
		g := newGame(t, none)
		g.only, g.idle = only, idle
		count, healed := 0, 0
		states, way := g.walk(faults, 1<<30, func(w *world) {
			if count++; count%29 == 0 {
				healed++
				if !g.heal(*w) {
					t.Fatalf("the instance never runs again: %+v", *w)
				}
			}
		})
		require.Empty(t, way)
		t.Logf("%d states, %d of them healed", states, healed)
	}
	t.Run("one fault", func(t *testing.T) { walk(t, 1, nil, false) })
	t.Run("one fault, before the start", func(t *testing.T) { walk(t, 1, nil, true) })
	for _, set := range sets {
		t.Run("two faults: "+strings.Join(set, ", "), func(t *testing.T) { walk(t, 2, set, false) })
	}
	if *all {
		t.Run("two faults", func(t *testing.T) { walk(t, 2, nil, false) })
		t.Run("two faults, before the start", func(t *testing.T) { walk(t, 2, nil, true) })
		t.Run("three faults", func(t *testing.T) { walk(t, 3, []string{mute, killed, freezes}, false) })
	}
}

func TestTheModelFindsWhatIsBuiltIn(t *testing.T) {
	for f, faults := range map[flaw][]string{
		fromAnswer:    {mute, freezes},
		anew:          {mute, killed},
		noLeash:       {killed},
		halfStarts:    {freezes},
		voidUnwritten: {leaves, killed},
		staleClaim:    {givesUp, killed},
	} {
		t.Run(string(f), func(t *testing.T) {
			g := newGame(t, f)
			g.only, g.idle = faults, f == halfStarts
			states, way := g.walk(2, 1<<30, func(*world) {})
			require.NotEmpty(t, way)
			require.Equal(t, "two fenced runs of one instance", way[len(way)-1], "%q", way)
			t.Logf("%d states, %d steps: %q", states, len(way), way)
		})
	}
}

func TestARandomWalkOfTwoExposedHostsMakesNoTwoRuns(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		g := newGame(r, none)
		w := g.start(100)
		for range rapid.IntRange(1, 300).Draw(r, "steps") {
			steps := g.steps(&w, true)
			n := rapid.IntRange(0, len(steps)*4/3).Draw(r, "step")
			if n >= len(steps) {
				n = 0 // a second passes
			}
			s := steps[n]
			s.do(&w)
			fold(&w)
			if wrong := g.wrong(&w); wrong != "" {
				r.Fatalf("%s after %s: %+v", wrong, s.name, w)
			}
		}
		if !g.heal(w) {
			r.Fatalf("the instance never runs again: %+v", w)
		}
	})
}
