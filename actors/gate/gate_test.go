package gate

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"procman/messages"
)

var epoch = time.Unix(1_000_000, 0)

func at(d time.Duration) time.Time { return epoch.Add(d) }

const ms = time.Millisecond

// house is a gate, and what went on, by name.
type house struct {
	*Gate
	starts map[string]*Start
}

func with(places int) *house { return &house{New(places), map[string]*Start{}} }

// arrive has starts come, in this order.
func (h *house) arrive(p messages.Precedence, names ...string) {
	for _, name := range names {
		h.starts[name] = &Start{Of: name}
		h.Arrive(h.starts[name], p)
	}
}

// goOn returns who goes on at the time given.
func (h *house) goOn(now time.Duration) (names []string) {
	for s := h.Next(at(now)); s != nil; s = h.Next(at(now)) {
		names = append(names, s.Of.(string))
	}
	return names
}

// passed has starts come and go on, and their processes exist, at the time given.
func (h *house) passed(t *testing.T, now time.Duration, p messages.Precedence, names ...string) {
	h.arrive(p, names...)
	require.Equal(t, names, h.goOn(now))
	for _, name := range names {
		h.Began(h.starts[name], at(now), true)
	}
}

func (h *house) saw(t *testing.T, name string, now time.Duration, u Use) {
	for _, l := range h.Due(at(now)) {
		if l.Start.Of == name {
			h.Saw(l.Start, u, at(now))
			return
		}
		h.Saw(l.Start, l.use, at(now))
	}
	t.Fatalf("%s is not due at %v", name, now)
}

func TestWhoHasAPlace(t *testing.T) {
	for _, c := range []struct {
		name  string
		first Use // seen after a millisecond
		then  Use // seen when it is due again
		takes []bool
		after time.Duration // the second look; 0: when it is due
	}{
		{"rests at once", Use{Time: 500 * time.Microsecond}, Use{Time: 500 * time.Microsecond},
			[]bool{false, false}, 0},
		{"runs still", Use{Time: 900 * time.Microsecond, Runs: true}, Use{Time: 900 * time.Microsecond},
			[]bool{true, false}, 0},
		{"works on", Use{Time: 1 * ms, Runs: true}, Use{Time: 8 * ms}, []bool{true, true}, 0},
		{"begins, and goes to work after a rest", Use{Time: 500 * time.Microsecond}, Use{Time: 8 * ms},
			[]bool{false, true}, 0},
		{"waits for a processor that others have", Use{Runs: true}, Use{Runs: true}, []bool{true, true}, 0},
		{"has another work for it", Use{Time: ms / 2, Runs: true, Family: true},
			Use{Time: ms / 2, Runs: true, Family: true}, []bool{true, true}, 0},
		{"asks now and then whether what it needs is there", Use{Time: ms / 2}, Use{Time: ms/2 + 100*time.Microsecond},
			[]bool{false, false}, 0},
		{"may never end", Use{Time: ms, Runs: true}, Use{Time: 10 * time.Second, Runs: true}, []bool{true, false}, 0},
		{"may never end, on a host that is busy", Use{Time: 6 * ms, Runs: true}, Use{Time: 7 * ms, Runs: true},
			[]bool{true, false}, endlessTime},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := with(1)
			h.passed(t, 0, messages.PrecedenceFirst, "it")
			h.arrive(messages.PrecedenceFirst, "other", "third")
			require.Empty(t, h.goOn(0))
			h.saw(t, "it", firstLook, c.first)
			taken, _ := h.Taken()
			require.Equal(t, c.takes[0], taken == 1, "after a look")
			h.starts["third"].stage = waits
			due := h.starts["it"].due
			if c.after > 0 {
				due = at(c.after)
			}
			h.saw(t, "it", due.Sub(epoch), c.then)
			taken, _ = h.Taken()
			require.Equal(t, c.takes[1], taken == 1, "after two")
		})
	}
}

func TestWhetherAProcessRunsIsAskedOnlyIfItsTimeDoesNotTell(t *testing.T) {
	for _, c := range []struct {
		name string
		l    Look
		used time.Duration
		asks bool
	}{
		{"it was at work", Look{seen: at(0), use: Use{Time: 3 * ms}}, 6 * ms, false},
		{"it has used little, and may wait for a processor", Look{seen: at(0), use: Use{Time: 3 * ms}}, 3 * ms, true},
		{"it has only begun", Look{seen: at(0)}, ms, true},
		{"it rests, and has used nothing", Look{seen: at(0), use: Use{Time: 3 * ms}, rests: true}, 3 * ms, false},
		{"it rested, and has used something", Look{seen: at(0), use: Use{Time: 3 * ms}, rests: true}, 3*ms + 1, true},
		{"it rests, and those that it has started may not",
			Look{seen: at(0), use: Use{Time: 3 * ms, Family: true}, rests: true}, 3 * ms, true},
	} {
		require.Equal(t, c.asks, c.l.Closer(c.used, at(10*ms)), c.name)
	}
}

func TestWhoGoesFirst(t *testing.T) {
	h := with(1)
	h.arrive(messages.PrecedenceFailing, "failing")
	h.arrive(messages.PrecedenceFailed, "failed")
	h.arrive(messages.PrecedenceFirst, "a", "b", "c")
	h.arrive(messages.PrecedenceUrgent, "urgent")
	h.Leave(h.starts["b"]) // it was stopped while it waited
	h.Urge(h.starts["c"])
	for _, name := range []string{"urgent", "c", "a", "failed", "failing"} {
		require.Equal(t, []string{name}, h.goOn(0))
		h.Leave(h.starts[name])
	}
	require.Nil(t, h.Next(at(0)))
	require.Equal(t, 0, h.all[undecided]+h.all[working]+h.waiting+h.failing[undecided]+h.failing[working]+len(h.looks))
}

func TestWhoWaitsIsNotPassedByForEver(t *testing.T) {
	h := with(1)
	h.arrive(messages.PrecedenceFailing, "last")
	h.arrive(messages.PrecedenceFirst, "first")
	var order []string
	for n := range 20 {
		h.arrive(messages.PrecedenceUrgent, fmt.Sprint(n))
		went := h.goOn(0)
		require.Len(t, went, 1)
		h.Leave(h.starts[went[0]])
		order = append(order, went[0])
	}
	require.Equal(t, "first", order[8])
	require.Equal(t, "last", order[9])
}

func TestThoseThatFailAgainAndAgainHaveHalfOfThePlaces(t *testing.T) {
	for places, share := range map[int]int{1: 1, 2: 1, 4: 2, 8: 4} {
		h := with(places)
		for n := range 20 {
			h.arrive(messages.PrecedenceFailing, fmt.Sprint(n))
		}
		require.Len(t, h.goOn(0), share)
		h.arrive(messages.PrecedenceUrgent, "good")
		if places > 1 {
			require.Equal(t, []string{"good"}, h.goOn(0))
		}
	}
}

func TestAStartWhoseProcessDoesNotComeToExistHasNoPlaceForLong(t *testing.T) {
	h := with(1)
	h.arrive(messages.PrecedenceFirst, "hangs in its exec", "other")
	require.Equal(t, []string{"hangs in its exec"}, h.goOn(0))
	when, due := h.LookAt()
	require.True(t, due)
	require.Empty(t, h.Due(when))
	require.Equal(t, []string{"other"}, h.goOn(when.Sub(epoch)))
	h.Began(h.starts["hangs in its exec"], when, true)
	taken, _ := h.Taken()
	require.Equal(t, 2, taken, "there is a process after all, and it may be at work")
}

func TestAProcessOfWhichNothingIsSeenHasItsPlaceForTenSeconds(t *testing.T) {
	h := with(1)
	h.arrive(messages.PrecedenceFirst, "blind", "other")
	h.goOn(0)
	h.Began(h.starts["blind"], at(0), false)
	require.Empty(t, h.Due(at(10*time.Second-1)))
	require.Empty(t, h.goOn(10*time.Second-1))
	require.Empty(t, h.Due(at(10*time.Second)))
	require.Equal(t, []string{"other"}, h.goOn(10*time.Second))
}

func TestNobodyIsLookedAtWhileNobodyWaits(t *testing.T) {
	h := with(2)
	h.passed(t, 0, messages.PrecedenceFirst, "a", "b")
	_, due := h.LookAt()
	require.False(t, due)
	require.Empty(t, h.Due(at(time.Hour)))
	h.arrive(messages.PrecedenceFirst, "c")
	_, due = h.LookAt()
	require.True(t, due)
	h.Leave(h.starts["c"])
	_, due = h.LookAt()
	require.False(t, due)
}

// program is what a start does in the simulation.
type program struct {
	works   time.Duration // with the processor to itself
	hangs   bool          // and is never healthy
	precede messages.Precedence

	start           Start
	used            time.Duration
	exists          bool
	gone            bool
	arrived, passed time.Duration
	ended           time.Duration
}

// simulation is a host with so many processors, which those that are at work share.
type simulation struct {
	gate     *Gate
	cores    int
	programs []*program
	live     []*program // of those
	now      time.Duration
	most     int // at work at once
	deadline time.Duration
}

func (s *simulation) step(t require.TestingT, d time.Duration) {
	var working []*program
	for _, p := range s.live {
		if p.exists && p.used < p.works {
			working = append(working, p)
		}
	}
	s.most = max(s.most, len(working))
	share := d
	if len(working) > s.cores {
		share = d * time.Duration(s.cores) / time.Duration(len(working))
	}
	for _, p := range working {
		p.used = min(p.works, p.used+share)
	}
	s.now += d
	for _, p := range s.live {
		if p.exists && (p.used >= p.works && !p.hangs || s.now-p.passed > s.deadline) {
			p.gone, p.ended = true, s.now
			s.gate.Leave(&p.start)
		}
	}
	s.live = slices.DeleteFunc(s.live, func(p *program) bool { return p.gone })
	for _, l := range s.gate.Due(at(s.now)) {
		p := l.Start.Of.(*program)
		u := Use{Time: p.used}
		if l.Closer(p.used, at(s.now)) {
			u.Runs = p.used < p.works
		}
		s.gate.Saw(l.Start, u, at(s.now))
	}
	for next := s.gate.Next(at(s.now)); next != nil; next = s.gate.Next(at(s.now)) {
		p := next.Of.(*program)
		p.passed, p.exists = s.now, true
		s.gate.Began(next, at(s.now), true)
	}
	var all, failing [kinds]int
	for _, p := range s.live {
		all[p.start.place]++
		if p.precede == messages.PrecedenceFailing {
			failing[p.start.place]++
		}
	}
	all[none], failing[none] = s.gate.all[none], s.gate.failing[none]
	require.Equal(t, all, s.gate.all)
	require.Equal(t, failing, s.gate.failing)
	require.GreaterOrEqual(t, s.gate.doubt, least)
	require.LessOrEqual(t, s.gate.doubt, whole)
}

func (s *simulation) arrive(p *program) {
	p.start.Of, p.arrived, p.passed = p, s.now, -1
	s.programs, s.live = append(s.programs, p), append(s.live, p)
	s.gate.Arrive(&p.start, p.precede)
}

func TestWhateverComesNobodyWaitsForEverAndThoseOfOnePrecedenceGoInTheirOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		places := rapid.IntRange(1, 8).Draw(t, "places")
		s := &simulation{gate: New(places), cores: rapid.IntRange(1, 4).Draw(t, "cores"), deadline: 5 * time.Second}
		for range rapid.IntRange(1, 40).Draw(t, "programs") {
			s.arrive(&program{
				works:   time.Duration(rapid.SampledFrom([]int{0, 1, 20, 300, 100_000}).Draw(t, "works")) * ms,
				hangs:   rapid.Bool().Draw(t, "hangs"),
				precede: rapid.SampledFrom(messages.Precedences()).Draw(t, "precedence"),
			})
			for range rapid.IntRange(0, 5).Draw(t, "steps") {
				s.step(t, ms)
			}
		}
		// An endless stream of those that go first is no reason to keep the others for ever.
		for n := 0; n < 20_000; n++ {
			if n%10 == 0 && n < 1000 {
				s.arrive(&program{works: ms, precede: messages.PrecedenceUrgent})
			}
			s.step(t, 10*ms)
			if s.gate.waiting == 0 && n >= 1000 {
				break
			}
		}
		require.Zero(t, s.gate.waiting)
		last := map[messages.Precedence]time.Duration{}
		for _, p := range s.programs {
			require.GreaterOrEqual(t, p.passed, last[p.precede], "the order of those that are alike")
			last[p.precede] = p.passed
		}
		for range 600 {
			s.step(t, 10*ms)
		}
		taken, _ := s.gate.Taken()
		require.Zero(t, taken, "all have left")
		require.Empty(t, s.gate.looks)
	})
}

// run has all of them come at once, and returns when nobody waits any more.
func (s *simulation) run(t *testing.T, step time.Duration, programs ...*program) {
	for _, p := range programs {
		s.arrive(p)
	}
	for s.gate.waiting > 0 {
		if s.now > time.Second {
			step = 5 * ms
		}
		s.step(t, step)
		require.Less(t, s.now, time.Hour)
	}
}

func many(n int, p program) (all []*program) {
	for range n {
		one := p
		all = append(all, &one)
	}
	return all
}

func TestEightThatHangKeepNobodyWaiting(t *testing.T) {
	good := &program{works: ms}
	s := &simulation{gate: New(2), cores: 2, deadline: time.Minute}
	s.run(t, ms/2, append(many(8, program{works: ms, hangs: true}), good)...)
	require.Less(t, good.passed, 30*ms)
}

func TestAmongAHundredThatHangNineHundredStartAsIfTheyWereAlone(t *testing.T) {
	var mixed []*program
	for n := range 1000 {
		mixed = append(mixed, &program{works: ms / 2, hangs: n%10 == 0})
	}
	with, without := &simulation{gate: New(8), cores: 2, deadline: time.Minute},
		&simulation{gate: New(8), cores: 2, deadline: time.Minute}
	with.run(t, ms/4, mixed...)
	without.run(t, ms/4, many(1000, program{works: ms / 2})...)
	require.Less(t, with.now, 3*without.now/2)
}

func TestThoseThatCompileDoNotStarveEachOther(t *testing.T) {
	s := &simulation{gate: New(8), cores: 2, deadline: time.Minute}
	all := many(200, program{works: 750 * ms})
	s.run(t, ms, all...)
	require.LessOrEqual(t, s.most, 8)
	require.Less(t, s.now, 200*750*ms/2+time.Second, "and the processors are busy all along")
}

// What was learned of a thousand that had nothing to do is unlearned by the first that have.
func TestThoseThatCompileAfterManyThatHadNothingToDoDoNotStarveEachOther(t *testing.T) {
	s := &simulation{gate: New(8), cores: 2, deadline: time.Minute}
	all := many(200, program{works: 750 * ms})
	s.run(t, ms/4, append(many(1000, program{works: ms / 2}), all...)...)
	require.Equal(t, whole, s.gate.doubt)
	require.Less(t, s.most, 32, "at the first moment")
	for _, p := range all[:150] {
		require.True(t, p.gone)
		require.Less(t, p.ended-p.passed, 15*time.Second)
	}
}

// Of two places, as many undecided ones as doubt allows.
func TestWhoHasNothingToDoTakesLessAndLessOfAPlace(t *testing.T) {
	h := with(2)
	room := func(now time.Duration) int {
		var names []string
		for n := range 20 {
			names = append(names, fmt.Sprint(now, n))
		}
		h.arrive(messages.PrecedenceFirst, names...)
		went := 0
		for s := h.Next(at(now)); s != nil; s = h.Next(at(now)) {
			h.Began(s, at(now), true)
			went++
		}
		return went
	}
	look := func(now time.Duration, u Use) {
		for due := h.Due(at(now)); len(due) > 0; due = h.Due(at(now)) {
			for _, l := range due {
				h.Saw(l.Start, u, at(now))
			}
		}
	}
	before := 0
	for n := range 10 {
		now := time.Duration(n) * time.Second
		went := room(now)
		require.GreaterOrEqual(t, went, before)
		before = went
		look(now+5*ms, Use{Time: ms / 2})
		for _, s := range h.starts {
			h.Leave(s)
		}
	}
	require.Equal(t, 2*whole/least, before)
	require.Equal(t, 16, room(time.Minute))
	look(time.Minute+5*ms, Use{Time: 8 * ms, Runs: true})
	require.Equal(t, whole, h.doubt)
	require.Zero(t, room(2*time.Minute))
}
