package chaos

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// life is a process of "a" that was born and last seen at the moments given, and listens.
func life(pid int, born, alive int64) Life {
	return Life{Process: Process{pid, uint64(pid) * 10}, Instance: "a", Run: pid, Port: 1000 + pid, Spec: "1",
		Born: born, Alive: alive, Listening: 1000 + pid}
}

func ended(l Life, at int64) Life {
	l.Ended = at
	return l
}

func showing(l Life) Shown {
	return Shown{ID: l.Instance, Phase: "running", Health: "healthy", PID: l.PID, Port: l.Port, Run: l.Run}
}

func of(l Life, instance string) Life {
	l.Instance = instance
	return l
}

func TestLivesAreReadFromTheLedgerAndFromWhatWasSeen(t *testing.T) {
	p, q := Process{7, 70}, Process{8, 80}
	lives := Lives([]Entry{
		{At: 10, Instance: "a", Run: 1, Process: p, Port: 100, Event: Start, Note: Note{"spec": "x"}},
		{At: 20, Instance: "a", Run: 1, Process: p, Port: 100, Event: Listen, Note: Note{"port": "100"}},
		{At: 25, Instance: "a", Run: 1, Process: Process{9, 90}, Event: Grandchild},
		{At: 30, Instance: "a", Run: 1, Process: p, Port: 100, Event: Term},
		{At: 31, Instance: "a", Run: 1, Process: p, Port: 100, Event: Signal, Note: Note{"signal": "18"}},
		{At: 40, Instance: "a", Run: 1, Process: p, Port: 100, Event: Exit, Note: Note{"code": "3", "lines": "12"}},
		{At: 50, Instance: "a", Run: 2, Process: q, Port: 101, Event: Start, Note: Note{"rival": "7"}},
	}, map[Process]Sighting{p: {Alive: 35, Ended: 45}, q: {Alive: 60}})
	require.Equal(t, []Life{
		{Process: p, Instance: "a", Run: 1, Port: 100, Spec: "x", Born: 10, Alive: 40, Ended: 45, Listening: 100,
			Terms: 1, Signals: []int{18}, Exit: &Exited{3, 0, 12}},
		{Process: q, Instance: "a", Run: 2, Port: 101, Rival: 7, Born: 50, Alive: 60},
	}, lives)
	require.Equal(t, map[string][]Life{"a": lives[1:]}, Living(lives))
	require.Len(t, Of(lives, "a"), 2)
	require.Empty(t, Of(lives, "b"))
}

func TestTwoProcessesOfAnInstanceAtOnceAreFound(t *testing.T) { // I1
	require.Empty(t, NeverTwo([]Life{ended(life(1, 10, 20), 30), life(2, 25, 40)}),
		"the first was last seen before the second was born")
	require.Empty(t, NeverTwo([]Life{life(1, 10, 50), of(life(2, 25, 40), "b")}), "two instances")
	require.Empty(t, NeverTwo([]Life{of(life(1, 10, 50), ""), of(life(2, 25, 40), "")}), "bystanders")
	require.Len(t, NeverTwo([]Life{life(1, 10, 26), life(2, 25, 40)}), 1)
	require.Len(t, NeverTwo([]Life{life(1, 10, 100), ended(life(2, 25, 30), 31), life(3, 50, 60)}),
		2, "also with one in between")
	rival := life(2, 25, 40)
	rival.Rival = 1
	require.Len(t, NeverTwo([]Life{ended(life(1, 10, 20), 30), rival}), 1, "it met the other")
}

func TestWhatOutlivesItsRunIsFound(t *testing.T) { // I3
	alive := map[Process]Entry{{1, 1}: {Instance: "a", Run: 2}, {2, 2}: {Instance: "a", Run: 1},
		{3, 3}: {Instance: "h", Run: 4}, {4, 4}: {Instance: "x", Run: 1}}
	shown := []Shown{{ID: "a", PID: 7, Run: 2}, {ID: "h", Run: 4}}
	require.Len(t, NothingLeft(shown, alive), 3, "of an earlier run, of a stopped one, of one that is gone")
	require.Empty(t, NothingLeft(shown, map[Process]Entry{{1, 1}: alive[Process{1, 1}]}))
}

func TestWhatHasNotConvergedIsFound(t *testing.T) { // I2
	good := life(1, 10, 20)
	want := []Wanted{{ID: "a", Spec: "1"}}
	require.Empty(t, Converged(want, []Life{ended(life(9, 1, 2), 3), good}, []Shown{showing(good)}))
	for name, change := range map[string]func(*Wanted, *Life, *Shown){
		"dead":               func(_ *Wanted, l *Life, _ *Shown) { l.Ended = 30 },
		"another instance's": func(_ *Wanted, l *Life, _ *Shown) { l.Instance = "b" },
		"starting":           func(_ *Wanted, _ *Life, s *Shown) { s.Phase = "starting" },
		"unhealthy":          func(_ *Wanted, _ *Life, s *Shown) { s.Health = "unhealthy" },
		"said to be held":    func(_ *Wanted, _ *Life, s *Shown) { s.Held = true },
		"other pid":          func(_ *Wanted, _ *Life, s *Shown) { s.PID++ },
		"other run":          func(_ *Wanted, _ *Life, s *Shown) { s.Run++ },
		"other port":         func(_ *Wanted, _ *Life, s *Shown) { s.Port++ },
		"does not listen":    func(_ *Wanted, l *Life, _ *Shown) { l.Listening = 0 },
		"listens elsewhere":  func(_ *Wanted, l *Life, _ *Shown) { l.Listening++ },
		"old specification":  func(w *Wanted, _ *Life, _ *Shown) { w.Spec = "2" },
		"not shown":          func(_ *Wanted, _ *Life, s *Shown) { s.ID = "" },
		"held, and lives":    func(w *Wanted, _ *Life, _ *Shown) { w.Held = true },
	} {
		w, l, s := want[0], good, showing(good)
		change(&w, &l, &s)
		require.NotEmpty(t, Converged([]Wanted{w}, []Life{l}, []Shown{s}), name)
	}
	require.NotEmpty(t, Converged(want, []Life{good, life(2, 30, 40)}, []Shown{showing(good)}), "two")
	require.NotEmpty(t, Converged(nil, nil, []Shown{{ID: "a", Phase: "stopped"}}), "shown, not wanted")
	held := []Wanted{{ID: "a", Held: true}}
	require.Empty(t, Converged(held, nil, []Shown{{ID: "a", Phase: "stopped", Held: true}}))
	require.NotEmpty(t, Converged(held, nil, []Shown{{ID: "a", Phase: "stopped"}}), "not said to be held")
	require.NotEmpty(t, Converged(held, nil, []Shown{{ID: "a", Phase: "backoff", Held: true}}))
}

func TestAProcessThatNobodyWantsIsFound(t *testing.T) { // I3
	want := []Wanted{{ID: "a"}, {ID: "h", Held: true}}
	require.Empty(t, NothingElse(want, map[Process]string{{1, 1}: "a"}))
	require.Len(t, NothingElse(want, map[Process]string{{1, 1}: "a", {2, 2}: "h", {3, 3}: "x"}), 2)
}

func TestAPortGivenOutTwiceIsFound(t *testing.T) { // I4
	one, two := life(1, 10, 50), of(life(2, 20, 60), "b")
	require.Empty(t, PortsApart([]Life{one, two}))
	two.Port = one.Port
	require.Len(t, PortsApart([]Life{one, two}), 1)
	two.Born = 55
	require.Empty(t, PortsApart([]Life{one, two}), "one after the other")
}

func TestAProcessThatWasDisturbedIsFound(t *testing.T) { // I5
	l := life(1, 10, 50)
	before := map[string]Process{"a": l.Process}
	require.Empty(t, Undisturbed(before, nil, []Life{l}))
	require.Len(t, Undisturbed(before, nil, nil), 1, "lost")
	require.Len(t, Undisturbed(before, nil, []Life{ended(l, 60)}), 1, "killed")
	require.Empty(t, Undisturbed(before, map[string]bool{"a": true}, []Life{ended(l, 60)}), "by us")
	require.Len(t, Undisturbed(before, nil, []Life{l, life(2, 20, 60)}), 1, "another beside it")
	told := l
	told.Terms = 1
	require.Len(t, Undisturbed(before, nil, []Life{told}), 1, "told to end")
	told.Exit = &Exited{}
	require.Len(t, Undisturbed(before, nil, []Life{ended(told, 60)}), 1, "told to end, and did")
	own := ended(l, 60)
	own.Exit = &Exited{Code: 3}
	require.Empty(t, Undisturbed(before, nil, []Life{own, life(2, 70, 80)}), "it ended by itself")
	other := l
	other.Start++
	require.Len(t, Undisturbed(before, nil, []Life{other}), 1, "the same pid is not the same process")
}

func TestAHarmedBystanderIsFound(t *testing.T) { // I7
	by := of(life(1, 10, 50), "")
	require.Empty(t, BystandersUnharmed([]Life{by, ended(life(2, 1, 2), 3)}, nil))
	require.Len(t, BystandersUnharmed([]Life{ended(by, 60)}, nil), 1)
	require.Len(t, BystandersUnharmed([]Life{by}, []Shown{{ID: "a", PID: by.PID}}), 1)
	by.Signals = []int{18}
	require.Len(t, BystandersUnharmed([]Life{by}, nil), 1)
	by.Signals, by.Terms = nil, 1
	require.Len(t, BystandersUnharmed([]Life{by}, nil), 1)
}

func TestWhatIsNotGivenBackIsFound(t *testing.T) { // I8
	before, more := Usage{10, 5, 90, 1000}, Allowance{1, 2, 3, 500}
	require.Empty(t, Settled(before, Usage{11, 7, 93, 1500}, more))
	require.Empty(t, Settled(before, Usage{}, more))
	require.Len(t, Settled(before, Usage{12, 8, 94, 1501}, more), 4)
}

func TestRestartsThatAreNotThoseThatHappenedAreFound(t *testing.T) { // I9
	lives := []Life{ended(life(1, 10, 20), 21), life(2, 30, 40)}
	good := showing(lives[1])
	good.Restarts = 1
	require.Empty(t, RestartsAgree(lives, []Shown{good}, nil, nil))
	wrong := good
	wrong.Restarts = 2
	require.Len(t, RestartsAgree(lives, []Shown{wrong}, nil, nil), 1)
	require.Empty(t, RestartsAgree(lives, []Shown{wrong}, map[string]int{"a": 1}, nil))
	wrong.Restarts = 0
	require.Len(t, RestartsAgree(lives, []Shown{wrong}, nil, nil), 1)
	require.Empty(t, RestartsAgree(lives, []Shown{wrong}, nil, map[string]int{"a": 1}))
	wrong = good
	wrong.Run = 1
	require.Len(t, RestartsAgree(lives, []Shown{wrong}, nil, nil), 1)
	require.Empty(t, RestartsAgree(nil, []Shown{{ID: "a"}}, nil, nil))
}

func TestAZombieThatIsLeftIsFound(t *testing.T) { // I10
	require.Empty(t, NoZombies([]Zombie{{Age: time.Second}}))
	require.Len(t, NoZombies([]Zombie{{Age: time.Second + 1}}), 1)
	require.Equal(t, 70*time.Millisecond, Zombie{Last: 5}.See(5+int64(20*time.Millisecond)).
		See(5+int64(time.Second)).Age, "a late look")
}
