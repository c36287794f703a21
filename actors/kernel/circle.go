package kernel

// Run names one run and its process, as it is on record.
type Run struct {
	Boot   string // of the host, when the process was started
	PID    int
	Start  uint64 // ticks; 0: not known
	Tag    string
	Number int
	Ended  bool // it was seen to end: whoever has its pid now is another
	// Cgroup are the pids that are in its own cgroup, where it has one.
	Cgroup map[int]bool
}

// aTurn, a second in ticks, is less than it takes to give every pid away: the smallest usual limit is 32768.
const aTurn = 100

// Circle is the set of the processes that belong to a run, beside its process itself: those of its session and its
// group, those that carry its tag, those in its cgroup, and all that any of these have started. What carries the tag of
// another run is that other run's, with all it has started. Zombies are among them. The table is one reading of /proc;
// where it has no tags, only those of session, group and descent are found.
//
// When the run's process is not in the table, its pid may have been given away since, and its session may be that of a
// stranger: then those of the session and the group count only if unbroken says that the run has been watched all the
// time, so that its number cannot have become free while any of them lived, or if they are nearly as old as the run: a
// number is given again only when all others have had their turn.
func Circle(table map[int]Process, run Run, unbroken bool) []Process {
	leader, there := table[run.PID]
	number := run.PID > 0 && (there && (run.Start == 0 || leader.Start == run.Start) || !there && unbroken)
	early := func(p Process) bool {
		return run.PID > 0 && !there && run.Start != 0 && p.Start >= run.Start && p.Start-run.Start < aTurn
	}
	known := make(map[int]bool, 16) // what was found out, by pid
	var in func(p Process, depth int) bool
	in = func(p Process, depth int) bool {
		if answer, done := known[p.PID]; done {
			return answer
		}
		answer := false
		switch {
		case p.Tag != "" && p.Tag != run.Tag:
		case run.Cgroup[p.PID]:
			answer = !startedByOther(table, p, run.Tag)
		case p.PID == run.PID && there && number, p.Tag != "" && p.Tag == run.Tag, number && p.Parent == run.PID,
			(p.Group == run.PID || p.Session == run.PID) && (number || early(p)):
			answer = true
		case depth > 0 && p.Parent > 1:
			// The table is no snapshot, so a loop in it is possible; a real line of descent is no longer than this.
			up, ok := table[p.Parent]
			answer = ok && in(up, depth-1)
		}
		known[p.PID] = answer
		return answer
	}
	var circle []Process
	for pid, p := range table {
		if !(pid == run.PID && there && number) && in(p, 100) {
			circle = append(circle, p)
		}
	}
	return circle
}

// startedByOther reports whether somebody in the line of descent of the process shows the tag of another run.
func startedByOther(table map[int]Process, p Process, tag string) bool {
	for range 100 {
		if p.Tag != "" {
			return p.Tag != tag
		}
		up, there := table[p.Parent]
		if !there || p.Parent <= 1 {
			return false
		}
		p = up
	}
	return false
}
