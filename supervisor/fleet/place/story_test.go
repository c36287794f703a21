package place

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func ids(f *Fleet) (runs, starts []string) {
	f.Runs(func(r Run) {
		runs = append(runs, r.ID)
		if r.Start {
			starts = append(starts, r.ID)
		}
	})
	return runs, starts
}

// two returns a store with hosts a and b, and two instances at a, of which one may move.
func two() *store {
	s := newStore()
	s.join("a", 0, nil, 0)
	s.join("b", 0, nil, 0)
	s.specs["moves"] = Spec{ID: "moves", Movable: true, Fenced: true}
	s.specs["stays"] = Spec{ID: "stays"}
	for id := range s.specs {
		s.revision++
		s.assigns[id] = Assignment{id, "a", s.members["a"].Incarnation, id == "stays", s.revision}
	}
	return s
}

func TestADrainReleasesWhatMayMoveOnceItIsDownAndStopsWhatMayNot(t *testing.T) {
	s := two()
	s.drains["a"] = true
	a, b := s.view("a", 0), s.view("b", 0)
	runs, _ := ids(a)
	require.Empty(t, runs)
	require.Equal(t, Held, a.Why("stays", 0).Kind)
	require.Equal(t, "stopped at a, which is being drained: it may not move (movable: false), and starts there after "+
		"the undrain",
		b.Why("stays", 0).String())
	require.Equal(t, Reason{Kind: Leaves, Host: "a", Epoch: s.assigns["moves"].Epoch, Give: ForDrain},
		b.Why("moves", 0))
	require.Empty(t, a.Decide(0, up).Releases)
	d := a.Decide(0, gone)
	require.Equal(t, []Release{{"moves", s.assigns["moves"].Epoch, ForDrain}}, d.Releases)
	require.Empty(t, a.Decide(0, gone).Releases, "one is under way")
	require.True(t, s.release(d.Releases[0]))
	b.RemoveAssignment("moves", s.revision, sec)
	d = b.Decide(sec, gone)
	require.Equal(t, []Claim{{ID: "moves"}}, d.Claims, "at once, for the host that is being drained has no turn")
	b.Claimed(d.Claims[0], s.claim("b", d.Created, d.Claims[0]), sec)
	runs, starts := ids(b)
	require.Equal(t, []string{"moves"}, runs)
	require.Equal(t, runs, starts)

	a.RemoveAssignment("moves", s.revision-1, sec)
	a.SetDrain("a", false)
	runs, _ = ids(a)
	require.Equal(t, []string{"stays"}, runs, "what waited there starts there again")
}

func TestAReleaseWhoseEndIsNotKnownIsOvertakenByAClaimBeforeAStart(t *testing.T) {
	s := two()
	a := s.view("a", 0)
	first := Claim{ID: "moves", Epoch: s.assigns["moves"].Epoch}
	a.Claimed(first, s.claim("a", s.members["a"].Created, first), 0)
	a.SetDrain("a", true)
	d := a.Decide(0, gone)
	require.Len(t, d.Releases, 1)
	a.Refused("moves")
	a.SetDrain("a", false)
	_, starts := ids(a)
	require.Equal(t, []string{"stays"}, starts)
	again := a.Decide(0, gone)
	require.Equal(t, []Claim{{ID: "moves", Epoch: d.Releases[0].Epoch}}, again.Claims)
	a.Claimed(again.Claims[0], s.claim("a", again.Created, again.Claims[0]), 0)
	_, starts = ids(a)
	require.ElementsMatch(t, []string{"moves", "stays"}, starts)
	require.False(t, s.release(d.Releases[0]), "it arrives now, and finds another epoch")
}

func TestAClaimThatIsSeenBeforeItsAnswerIsNotMadeAgain(t *testing.T) {
	for _, answer := range []string{"claimed", "refused", "claimed, and overtaken"} {
		s := two()
		s.specs["new"] = Spec{ID: "new", Movable: true, Fenced: true}
		delete(s.members, "b")
		a := s.view("a", 0)
		d := a.Decide(0, func(id string) bool { return id == "new" })
		require.Equal(t, []Claim{{ID: "new"}}, d.Claims)
		epoch := s.claim("a", d.Created, d.Claims[0])
		a.SetAssignment(s.assigns["new"], 0)
		require.Empty(t, a.Decide(0, func(id string) bool { return id == "new" }).Claims)
		_, starts := ids(a)
		require.NotContains(t, starts, "new", "a predecessor may have written it")
		switch answer {
		case "claimed":
			a.Claimed(d.Claims[0], epoch, 0)
			_, starts = ids(a)
			require.Contains(t, starts, "new")
			require.Empty(t, a.Decide(0, func(id string) bool { return id == "new" }).Claims)
			continue
		case "refused":
			a.Refused("new")
		default:
			s.revision++
			s.assigns["new"] = Assignment{"new", "a", s.members["a"].Incarnation, false, s.revision}
			a.SetAssignment(s.assigns["new"], 0)
			a.Claimed(d.Claims[0], epoch, 0)
		}
		again := a.Decide(0, func(id string) bool { return id == "new" }).Claims
		require.Equal(t, []Claim{{ID: "new", Epoch: s.assigns["new"].Epoch}},
			again, "who does not know whether it is his claims it")
		require.Zero(t, a.claims)
	}
}

func TestASuccessorKeepsWhatLivesAndClaimsWhatDoesNotBeforeItStartsIt(t *testing.T) {
	a := two().view("a", 0)
	runs, starts := ids(a)
	require.ElementsMatch(t, []string{"moves", "stays"}, runs)
	require.Equal(t, []string{"stays"}, starts, "what may not move needs nobody's leave")
	require.Empty(t, a.Decide(0, up).Claims)
	require.Len(t, a.Decide(0, gone).Claims, 1)
}

func TestTheNextInRankHasItsTurnAfterThePause(t *testing.T) {
	s := newStore()
	for _, name := range []string{"a", "b", "c"} {
		s.join(name, 0, nil, 0)
	}
	s.specs["x"] = Spec{ID: "x", Movable: true}
	views := map[string]*Fleet{}
	for name := range s.members {
		views[name] = s.view(name, 0)
	}
	var order []string
	for n := range 4 {
		now := time.Duration(n) * pace.Pause
		turn := views["a"].Why("x", now+sec)
		require.Equal(t, Turn, turn.Kind)
		require.Equal(t, fmt.Sprintf("it is %s's turn to claim it, for 2s more", turn.Host), turn.String())
		for name, f := range views {
			d := f.Decide(now, up)
			if require.Equal(t, name == turn.Host, len(d.Claims) == 1); len(d.Claims) == 1 {
				order = append(order, name)
				f.Refused("x")
			} else {
				require.Equal(t, now+pace.Pause, d.Next)
			}
		}
	}
	require.ElementsMatch(t, []string{"a", "b", "c"}, order[:3])
	require.Equal(t, order[0], order[3])
}

func TestTheHostWhereItWasComesFirstIfItIsBack(t *testing.T) {
	s := two()
	s.join("a", 0, nil, 0)
	for n := range 20 {
		id := fmt.Sprint("m", n)
		s.specs[id] = Spec{ID: id, Movable: true, Fenced: true}
		s.assigns[id] = Assignment{id, "a", "earlier", false, int64(n + 1)}
	}
	require.Empty(t, s.view("b", 0).Decide(0, up).Claims)
	require.Len(t, s.view("a", 0).Decide(0, up).Claims, 22)
	d := s.view("b", 0).Decide(pace.Pause, up)
	require.Len(t, d.Claims, 21, "but for what may not move")
	require.Equal(t, "a", d.Claims[0].From)
	require.Equal(t, s.members["a"].Created, d.Claims[0].FromCreated)
}

func TestAHostThatHasJustJoinedClaimsNothingForAMoment(t *testing.T) {
	s := newStore()
	s.specs["x"] = Spec{ID: "x"}
	s.join("a", 0, nil, 10*sec)
	a := s.view("a", 10*sec)
	d := a.Decide(11*sec, up)
	require.Empty(t, d.Claims)
	require.Equal(t, 13*sec, d.Next)
	require.Equal(t, Reason{Kind: Settling, For: 2 * sec}, a.Why("x", 11*sec))
	require.Len(t, a.Decide(13*sec, up).Claims, 1)
}

func TestScarceRoomGoesFirstToWhatFewerHostsFit(t *testing.T) {
	s := newStore()
	s.join("a", 1, map[string]string{"disk": "fast"}, 0)
	for n := range 10 {
		id := fmt.Sprint("any", n)
		s.specs[id] = Spec{ID: id, Movable: true}
	}
	s.specs["picky"] = Spec{ID: "picky", Movable: true, Hosts: map[string]string{"disk": "fast"}}
	a := s.view("a", 0)
	require.Equal(t, []Claim{{ID: "picky"}}, a.Decide(0, up).Claims)
	require.Empty(t, a.Decide(0, up).Claims, "the room is taken by the claim under way")
}

func TestARebalanceGivesUpSoManyAtATimeAndEndsWithEachWhereItRanksFirst(t *testing.T) {
	s := newStore()
	s.join("a", 0, nil, 0)
	for n := range 60 {
		id := fmt.Sprint("m", n)
		s.specs[id] = Spec{ID: id, Movable: true, Fenced: true}
	}
	s.run(t, 0)
	s.join("b", 0, nil, 0)
	s.join("c", 0, nil, 0)
	a := s.view("a", 0)
	rounds := 0
	for ; ; rounds++ {
		given, chosen := a.Rebalance(0, 5)
		if given == 0 {
			break
		}
		require.Len(t, chosen, given)
		given, chosen = a.Rebalance(0, 5)
		require.LessOrEqual(t, given, 5, "asked again while they are under way")
		require.Empty(t, chosen)
		runs, _ := ids(a)
		d := a.Decide(0, func(id string) bool { return !slices.Contains(runs, id) })
		require.LessOrEqual(t, len(d.Releases), 5)
		for _, r := range d.Releases {
			require.Equal(t, ForRebalance, r.Why)
			require.True(t, s.release(r))
			a.RemoveAssignment(r.ID, s.revision, 0)
		}
		for _, own := range []string{"b", "c"} {
			d := s.view(own, 0).Decide(0, up)
			for _, c := range d.Claims {
				s.claim(own, d.Created, c)
				a.SetAssignment(s.assigns[c.ID], 0)
			}
		}
		require.Len(t, s.assigns, 60, "what was given up is taken by who ranks first")
	}
	require.Greater(t, rounds, 5)
	for _, own := range []string{"a", "b", "c"} {
		given, _ := s.view(own, 0).Rebalance(0, 5)
		require.Zero(t, given)
		require.Greater(t, s.load(own), 10)
	}
}

func TestWhatIsOffTheListIsReleasedOnceItIsDown(t *testing.T) {
	s := two()
	delete(s.specs, "stays")
	a := s.view("a", 0)
	require.Equal(t, "leaves a as soon as it is down: it is not on the list any more", a.Why("stays", 0).String())
	runs, _ := ids(a)
	require.Equal(t, []string{"moves"}, runs)
	require.Equal(t, []Release{{"stays", s.assigns["stays"].Epoch, ForList}}, a.Decide(0, gone).Releases)
}

func TestWhatIsNotFencedGoesOnUntilAnotherHasIt(t *testing.T) {
	s := two()
	s.specs["moves"] = Spec{ID: "moves", Movable: true}
	a := s.view("a", 0)
	a.RemoveMember("a", 0)
	runs, _ := ids(a)
	require.ElementsMatch(t, []string{"moves", "stays"}, runs)
	delete(s.members, "a")
	d := s.view("b", 0).Decide(0, up)
	require.NotZero(t, s.claim("b", d.Created, d.Claims[0]))
	a.SetAssignment(s.assigns["moves"], 0)
	runs, _ = ids(a)
	require.Equal(t, []string{"stays"}, runs)
}

func TestWhatIsFencedIsNotOnTheListOfAHostThatIsNoMember(t *testing.T) {
	a := two().view("a", 0)
	a.RemoveMember("a", 0)
	runs, _ := ids(a)
	require.Equal(t, []string{"stays"}, runs)
}

func TestTheHashesAreThoseOfEveryOtherVersion(t *testing.T) {
	require.Equal(t, uint64(0xf52a15e9a9b5e89b), hash(""))
	require.Equal(t, uint64(0xfb77df25f066c2e5), hash("users"))
	require.Equal(t, uint64(0x968fdbd2eb6f2ca1), score(hash("users"), hash("host-1")))
}

func TestInstancesSpreadEvenly(t *testing.T) {
	s := newStore()
	counts := map[string]int{}
	for n := range 100 {
		s.join(fmt.Sprint("host-", n), 0, nil, 0)
	}
	f := s.view("host-0", 0)
	fit := f.fit(nil, 0)
	for n := range 20_000 {
		i := slot{hash: hash(fmt.Sprint("app-", n)), host: -1}
		best := fit[0]
		for _, c := range fit[1:] {
			if f.before(&i, c, best) {
				best = c
			}
		}
		counts[f.hosts[best.host].Name]++
	}
	chi := 0.0
	for _, n := range counts {
		chi += float64(n-200) * float64(n-200) / 200
	}
	require.Len(t, counts, 100)
	require.Less(t, chi, 160.0, "99 degrees of freedom")
}

func TestWhatMayMoveByNowIsTakenOverOnlyOnceItsHostHasHeardOfThat(t *testing.T) {
	s := two()
	s.specs["stays"] = Spec{ID: "stays", Movable: true, Fenced: true}
	lost := s.members["a"]
	delete(s.members, "a")
	b := s.view("b", 0)
	require.Len(t, b.Decide(0, up).Claims,
		1, "moves, and not stays: a may run that, and has no lease that would end it")
	require.Equal(t, Unheard, b.Why("stays", 0).Kind)

	s.members["a"] = lost
	a := s.view("a", 0)
	runs, _ := ids(a)
	require.Equal(t, []string{"moves"}, runs, "a ends it")
	require.Empty(t, a.Decide(0, up).Claims)
	d := a.Decide(0, func(id string) bool { return id == "stays" })
	require.Equal(t, []Claim{{ID: "stays", Epoch: s.assigns["stays"].Epoch}}, d.Claims)
	a.Claimed(d.Claims[0], s.claim("a", d.Created, d.Claims[0]), 0)
	_, starts := ids(a)
	require.Equal(t, []string{"stays"}, starts)

	delete(s.members, "a")
	require.Len(t, s.view("b", 0).Decide(0, up).Claims, 2)
}

func TestWhatMayNotMoveAnyMoreIsBoundBeforeItIsStartedUnfenced(t *testing.T) {
	s := two()
	s.specs["moves"] = Spec{ID: "moves"}
	a := s.view("a", 0)
	runs, starts := ids(a)
	require.ElementsMatch(t, []string{"moves", "stays"}, runs, "what lives goes on")
	require.Equal(t, []string{"stays"}, starts)
	require.Equal(t, []Claim{{ID: "moves", Bound: true, Epoch: s.assigns["moves"].Epoch}}, a.Decide(0, up).Claims)
}
