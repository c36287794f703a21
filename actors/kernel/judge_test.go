package kernel

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhatAProcessIsToARun(t *testing.T) {
	record := Run{Boot: "now", PID: 10, Start: 500, Tag: "T7", Number: 7}
	onRecord := Evidence{Boot: "now", Record: &record, PID: 10, Stat: Stat{Group: 10, Session: 10, Start: 500}}
	own := Tags{Dir: "/st", ID: "a", Tag: "T7", Run: 7}
	newer := Tags{Dir: "/st", ID: "a", Tag: "T8", Run: 8}
	older := Tags{Dir: "/st", ID: "a", Tag: "T6", Run: 6}
	other := Evidence{Boot: "now", Record: &record, PID: 20, Stat: Stat{Group: 20, Session: 20, Start: 600}}
	for _, c := range []struct {
		what    string
		from    Evidence
		change  func(*Evidence)
		verdict Verdict
		doubt   Doubt
	}{
		{"boot, pid and start on record, its tag shown", onRecord, func(e *Evidence) { e.Shows = own }, Leader, ""},
		{"boot, pid and start on record, nothing shown", onRecord, func(*Evidence) {}, Leader, ""},
		{"boot, pid and start on record, and leads no session", onRecord, func(e *Evidence) { e.Stat.Session = 3 },
			Stranger, ""},
		{"boot, pid and start on record, a zombie", onRecord,
			func(e *Evidence) { e.Stat.State, e.Stat.Session, e.Stat.Group = 'Z', 0, 0 }, Leader, ""},
		{"boot, pid and start on record, another tag shown", onRecord,
			func(e *Evidence) { e.Shows, e.Ours = Tags{Tag: "X", Run: 9}, false }, Stranger, ""},
		{"a newer run of the same instance under another state directory",
			other, func(e *Evidence) { e.Shows, e.Ours, e.Lock = newer, false, true }, Stranger, ""},
		{"the pid on record, another start", onRecord, func(e *Evidence) { e.Stat.Start++ }, Stranger, ""},
		{"the pid on record, another boot", onRecord, func(e *Evidence) { e.Boot = "before" }, Stranger, ""},
		{"the pid on record, another start, its tag shown", onRecord,
			func(e *Evidence) { e.Stat.Start++; e.Shows = own }, Leader, ""},
		{"the pid on record, no start on record", onRecord,
			func(e *Evidence) { e.Record = &Run{Boot: "now", PID: 10, Tag: "T7", Number: 7} }, Unclear, DoubtStart},
		{"the pid on record, not shown by /proc", onRecord, func(e *Evidence) { e.Stat, e.Hidden = Stat{}, true },
			Unclear, DoubtHidden},
		{"the pid on record, not shown by /proc, our child", onRecord,
			func(e *Evidence) { e.Stat, e.Hidden, e.Child = Stat{}, true, true }, Leader, ""},
		{"the pid on record, our child that shows whatever", onRecord,
			func(e *Evidence) { e.Child, e.Shows = true, Tags{Tag: "X"} }, Leader, ""},
		{"the pid on record, our child, no start on record", onRecord, func(e *Evidence) {
			e.Child, e.Record = true, &Run{Boot: "now", PID: 10, Tag: "T7", Number: 7}
		}, Leader, ""},
		{"the pid on record, our child, another start", onRecord, func(e *Evidence) { e.Child = true; e.Stat.Start++ },
			Stranger, ""},
		{"the pid on record of a run that was seen to end", onRecord, func(e *Evidence) {
			e.Record = &Run{Boot: "now", PID: 10, Start: 500, Tag: "T7", Number: 7, Ended: true}
		}, Stranger, ""},
		{"proved, while another manager has its directory", onRecord,
			func(e *Evidence) { e.Shows, e.Manager = own, 99 }, Unclear, DoubtManaged},
		{"a stranger, while another manager has its directory", onRecord,
			func(e *Evidence) { e.Stat.Start++; e.Manager = 99 }, Stranger, ""},

		{"the run's tag, another pid", other, func(e *Evidence) { e.Shows = own }, Belongs, ""},
		{"the run's tag, another pid, the lock, a session of its own", other,
			func(e *Evidence) { e.Shows, e.Lock = own, true }, Belongs, ""},
		{"in the run's session", other, func(e *Evidence) { e.Stat.Session, e.Kin = 10, true }, Belongs, ""},
		{"in the run's cgroup, and nothing else", other, func(e *Evidence) { e.Cgroup = true }, Belongs, ""},
		{"in the run's cgroup, another instance's tag shown",
			other, func(e *Evidence) { e.Cgroup, e.Shows, e.Ours = true, Tags{Tag: "X", Run: 9}, false }, Stranger, ""},
		{"in the run's cgroup, and an earlier run's tag", other, func(e *Evidence) { e.Cgroup, e.Shows = true, older },
			Belongs, ""},
		{"in the run's cgroup, and the lock, which says nothing",
			other, func(e *Evidence) { e.Cgroup, e.Lock = true, true }, Belongs, ""},
		{"in the run's cgroup, and the pid on record with another start",
			onRecord, func(e *Evidence) { e.Cgroup = true; e.Stat.Start++ }, Belongs, ""},
		{"in the run's cgroup, and not shown by /proc", other,
			func(e *Evidence) { e.Cgroup, e.Stat, e.Hidden = true, Stat{}, true }, Belongs, ""},
		{"nothing", other, func(*Evidence) {}, Stranger, ""},
		{"nothing but the lock", other, func(e *Evidence) { e.Lock = true }, Unclear, DoubtLock},
		{"nothing that can be read", other, func(e *Evidence) { e.Stat, e.Hidden = Stat{}, true },
			Unclear, DoubtHidden},

		{"a newer run's tag and the lock", other, func(e *Evidence) { e.Shows, e.Lock = newer, true }, Leader, ""},
		{"a newer run's tag and a lock that names it", other,
			func(e *Evidence) { e.Shows, e.Witness = newer, &Run{"now", 20, 600, "T8", 8, false, nil} }, Leader, ""},
		{"a newer run's tag and a lock that names its leader",
			other, func(e *Evidence) {
				e.Shows, e.Lock, e.Witness = newer,
					true, &Run{"now", 19, 599, "T8", 8, false, nil}
			}, Belongs, ""},
		{"a newer run's tag and the lock of the run before", other,
			func(e *Evidence) { e.Shows, e.Lock, e.Witness = newer, true, &Run{"now", 10, 500, "T7", 7, false, nil} },
			Leader, ""},
		{"a newer run's tag without the lock", other, func(e *Evidence) { e.Shows = newer }, Unclear, DoubtNoLock},
		{"a newer run's tag without the lock, and not what was to be started", other,
			func(e *Evidence) { e.Shows, e.Helper = newer, true }, Belongs, ""},
		{"a newer run's tag in somebody's session", other,
			func(e *Evidence) { e.Shows, e.Lock, e.Stat.Session = newer, true, 19 }, Belongs, ""},
		{"an earlier run's tag, and the lock", other, func(e *Evidence) { e.Shows, e.Lock = older, true }, Belongs, ""},
		{"an earlier run's tag, and a lock that names it", other,
			func(e *Evidence) { e.Shows, e.Witness = older, &Run{"now", 20, 600, "T6", 6, false, nil} }, Belongs, ""},
		{"no tag, a lock that names it as an earlier run's", other,
			func(e *Evidence) { e.Lock, e.Witness = true, &Run{"now", 20, 600, "T6", 6, false, nil} }, Belongs, ""},
		{"no tag, a lock that names it as a newer run's", other,
			func(e *Evidence) { e.Lock, e.Witness = true, &Run{"now", 20, 600, "T8", 8, false, nil} }, Leader, ""},
		{"no tag, a lock that names the run on record", other, func(e *Evidence) { e.Lock, e.Witness = true, &record },
			Belongs, ""},
		{"no tag, a lock of another boot", other,
			func(e *Evidence) { e.Lock, e.Witness = true, &Run{"before", 20, 600, "T8", 8, false, nil} },
			Unclear, DoubtLock},

		{"no record, a tag and the lock", other, func(e *Evidence) { e.Record, e.Shows, e.Lock = nil, own, true },
			Leader, ""},
		{"no record, a tag and no lock", other, func(e *Evidence) { e.Record, e.Shows = nil, own },
			Unclear, DoubtNoLock},
		{"no record, no tag, a lock that names it", other,
			func(e *Evidence) { e.Record, e.Lock, e.Witness = nil, true, &Run{"now", 20, 600, "T7", 7, false, nil} },
			Leader, ""},
		{"no record, nothing but the lock", other, func(e *Evidence) { e.Record, e.Lock = nil, true },
			Unclear, DoubtLock},
		{"no record, nothing", other, func(e *Evidence) { e.Record = nil }, Stranger, ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			e := c.from
			e.Ours = true
			c.change(&e)
			verdict, doubt := Judge(e)
			require.Equal(t, []any{c.verdict, c.doubt}, []any{verdict, doubt})
		})
	}
}

func TestTheCircleOfARun(t *testing.T) {
	run := Run{Boot: "now", PID: 10, Start: 500, Tag: "T"}
	p := func(pid, parent, group, session int, tag string) Process {
		return Process{PID: pid, Stat: Stat{Parent: parent, Group: group, Session: session, Start: uint64(490 + pid)},
			Tags: Tags{Tag: tag}}
	}
	table := map[int]Process{}
	for _, x := range []Process{
		p(1, 0, 1, 1, ""), p(5, 1, 5, 5, ""),
		p(10, 5, 10, 10, "T"),  // the leader
		p(11, 10, 10, 10, ""),  // its group
		p(12, 10, 12, 10, ""),  // a group of its own in its session
		p(13, 10, 13, 13, "T"), // a session of its own
		p(14, 13, 14, 14, ""),  // started by that, its environment cleared
		p(15, 1, 15, 15, "T"),  // a daemon it began
		p(16, 15, 16, 16, ""),  // and what that started
		p(17, 10, 17, 17, "U"), // another run's, for a manager may be an instance
		p(18, 17, 17, 17, ""),  // and what that started
		p(19, 1, 19, 19, ""), p(20, 5, 20, 20, "U"), p(21, 22, 21, 21, ""), p(22, 21, 21, 21, ""),
	} {
		table[x.PID] = x
	}
	pids := func(unbroken bool) map[int]bool {
		found := map[int]bool{}
		for _, x := range Circle(table, run, unbroken) {
			found[x.PID] = true
		}
		return found
	}
	of := func(pids ...int) map[int]bool {
		m := map[int]bool{}
		for _, pid := range pids {
			m[pid] = true
		}
		return m
	}
	require.Equal(t, of(11, 12, 13, 14, 15, 16), pids(false))

	t.Run("it has a cgroup of its own", func(t *testing.T) {
		table[23], table[24] = p(23, 1, 23, 23, ""), p(24, 23, 24, 24, "")
		require.NotContains(t, pids(false), 23, "a daemon that left its session, its parent and its environment "+
			"shows nothing")
		run.Cgroup = of(10, 11, 17, 18, 23)
		require.Equal(t, of(11, 12, 13, 14, 15, 16, 23, 24), pids(false), "its cgroup tells, unless another tag does")
		run.Cgroup = nil
		delete(table, 23)
		delete(table, 24)
	})
	t.Run("its leader has ended", func(t *testing.T) {
		delete(table, 10)
		require.Equal(t, of(11, 12, 13, 14, 15, 16), pids(true), "it was watched")
		require.Equal(t, of(11, 12, 13, 14, 15, 16), pids(false),
			"nobody is given a number again so soon after it was given away")
		for _, pid := range []int{11, 12} {
			late := table[pid]
			late.Start = run.Start + aTurn
			table[pid] = late
		}
		require.Equal(t, of(13, 14, 15, 16), pids(false), "the number may be a stranger's by now")
	})
	t.Run("its leader's pid was given away", func(t *testing.T) {
		stranger := p(10, 1, 10, 10, "")
		stranger.Start = 900
		table[10] = stranger
		require.Equal(t, of(13, 14, 15, 16), pids(true))
	})
}
