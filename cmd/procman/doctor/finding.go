package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Verdict says how bad a finding is.
type Verdict string

// The verdicts.
const (
	OK      Verdict = "ok"
	Warning Verdict = "warning" // procman works, but not as well, or not for ever
	Fault   Verdict = "fault"   // something that procman promises does not hold here
	Unknown Verdict = "unknown" // it could not be found out
)

// Finding is what one check came to.
type Finding struct {
	Check   string  `json:"check"`
	Verdict Verdict `json:"verdict"`
	What    string  `json:"what"`  // what is, with numbers
	Means   string  `json:"means"` // what follows from it; empty: nothing
	Do      string  `json:"do"`    // what to do, in lines; empty: nothing
}

// Examine returns one finding for every check, always in the same order.
func Examine(f Facts) []Finding {
	findings := append([]Finding{configuration(f), daemon(f)}, foreign(f)...)
	findings = append(append(findings, Adoption(f)...),
		pidfds(f), groupSignals(f), exitStatus(f), cgroups(f),
		openFiles(f), processes(f), inotify(f), portRange(f), outgoingPorts(f),
		stateDirectory(f), fileSystem(f), diskSpace(f), socket(f), outOfMemory(f), coreDumps(f))
	return append(findings, inFleet(f)...)
}

// Adoption returns the findings on what would void adoption. They need Facts.Unit and Facts.Init only.
func Adoption(f Facts) []Finding { return []Finding{serviceManager(f), processOne(f)} }

func ok(check, format string, args ...any) Finding {
	return Finding{Check: check, Verdict: OK, What: fmt.Sprintf(format, args...)}
}

// unknown says that a check could not be made; err may be nil.
func unknown(check string, err error, do string) Finding {
	f := Finding{Check: check, Verdict: Unknown, What: "it could not be found out", Do: do}
	if err != nil {
		f.What += ": " + err.Error()
	}
	return f
}

func configuration(f Facts) Finding {
	c := f.Config
	switch {
	case c.Err != nil && c.Kept != "":
		return Finding{"configuration", Fault, c.Err.Error(), "it is not in force: the last good one is, of " + c.Kept +
			", for the daemon that runs and for the next one, and what follows is by that",
			"procman validate -c " + c.Path}
	case c.Err != nil:
		return Finding{"configuration", Fault, c.Err.Error(),
			"the next daemon will not start with it, and the one that runs does not take it; what follows is by the " +
				"defaults", "procman validate -c " + c.Path}
	case c.Path == "":
		return ok("configuration", "none found; the defaults are examined")
	}
	return ok("configuration", "%s, %s", c.Path, count(f.Wants.Instances, "instance"))
}

func daemon(f Facts) Finding {
	const check = "daemon"
	d := f.Daemon
	switch {
	case errors.Is(d.Err, fs.ErrPermission):
		return Finding{check, Unknown, "whether one answers at " + f.Socket.Path +
			" this user may not find out; this process is examined in its place", "",
			"run `procman doctor` as the user that the daemon runs as, or as root"}
	case d.Owner != 0:
		return Finding{check, Fault, fmt.Sprintf("pid %d has the state directory, and does not answer at %s; this "+
			"process is examined in its place", d.Owner, f.Socket.Path),
			"nobody can ask for anything", "look at its log, and at what lies at the place of its socket; one that " +
				"runs makes that again within seconds, if nothing else is there"}
	case !d.Answers && d.Err != nil:
		return Finding{check, OK, "none answers at " + f.Socket.Path +
			"; this process is examined in its place", "", ""}
	case !d.Answers:
		return unknown(check, nil, "")
	case d.Other != "":
		return Finding{check, Fault, fmt.Sprintf("pid %d answers at %s and runs by another configuration, %s",
			d.PID, f.Socket.Path, d.Other),
			"this configuration has no daemon, and what follows is about that one",
			"give each configuration a state_dir, and a socket, of its own"}
	case f.Dir.Path != "" && d.StateDir != "" && d.StateDir != f.Dir.Path:
		return Finding{check, Fault, fmt.Sprintf("pid %d answers at %s and uses the state directory %s; the "+
			"configuration says %s", d.PID, f.Socket.Path, d.StateDir, f.Dir.Path),
			"a daemon started with this configuration would not find what that one runs",
			"name with -c the file that the daemon was started with, or correct state_dir"}
	case !d.Visible:
		return Finding{check, Unknown, fmt.Sprintf("it answers at %s, but its process cannot be seen from here",
			f.Socket.Path),
			"its limits, its service and its pid 1 are not known; this process is examined in its place",
			"run `procman doctor` in the container or pid namespace of the daemon"}
	}
	return ok(check, "pid %d answers at %s", d.PID, f.Socket.Path)
}

func count(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// foreign tells of processes that the daemon does not know, and that run what it is to run; there is one finding for
// each state directory.
func foreign(f Facts) []Finding {
	const check = "other state directories"
	byDir := map[string][]Foreign{}
	for _, p := range f.Foreign {
		byDir[p.Dir] = append(byDir[p.Dir], p)
	}
	var findings []Finding
	for _, dir := range slices.Sorted(maps.Keys(byDir)) {
		var names, pids []string
		for _, p := range byDir[dir] {
			names = append(names, fmt.Sprintf("%s (pid %d)", p.ID, p.PID))
			pids = append(pids, strconv.Itoa(p.PID))
		}
		what := func(whose string) string {
			return fmt.Sprintf("%s of this configuration under %s, which %s: %s", plural(len(names)), dir, whose,
				strings.Join(names, ", "))
		}
		const means = "they are not started here meanwhile: nothing is to run twice on one database"
		if m := byDir[dir][0].Manager; m != 0 {
			end := ""
			if socket := byDir[dir][0].Socket; socket != "" {
				end = fmt.Sprintf(": procman --socket %s shutdown", socket)
			}
			findings = append(findings, Finding{check, Warning,
				what(fmt.Sprintf("the daemon with pid %d has", m)), means,
				"one of the two daemons is too many" + end})
			continue
		}
		findings = append(findings, Finding{check, Warning, what("no daemon has"), means,
			fmt.Sprintf("state_dir: %s, and a new daemon takes them over as they are; or end them: kill %s", dir,
				strings.Join(pids, " "))})
	}
	return findings
}

func plural(processes int) string {
	if processes == 1 {
		return "1 process"
	}
	return fmt.Sprintf("%d processes", processes)
}
