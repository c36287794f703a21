package doctor

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Fleet is what a host of a fleet has beside.
type Fleet struct {
	Grace time.Duration // what fenced instances get to end in a partition
	Clock Clock
	Leash Leash
	Store Store
	// Cut are the fenced instances known here that are given more time by an ordinary stop than by a partition.
	Cut []string
}

// Store is what the hosts share.
type Store struct {
	Missing error // why it could not be asked: that is no fault of the store
	Asked   bool
	Err     error // of a read of what this host needs
	Servers []Server
}

// Server is a member of it.
type Server struct {
	Name, Version string
	Took          time.Duration
	Err           error // why it cannot be used
	Advice        string
}

// Clock is how the kernel's clocks run.
type Clock struct {
	Rate   *float64 // against the hardware's, by which CLOCK_BOOTTIME is made faster or slower
	Synced bool     // the wall clock is held by another host's
	Err    error
}

// Leash is what ends fenced instances when the lease is over.
type Leash struct {
	Able   Trial // whether one can live here
	PID    int   // 0: it has not said it
	Lives  bool
	Fenced []string      // the fenced instances whose process lives
	Left   time.Duration // until they are ended
	Over   error         // why that is now; nil: it is not
	Err    error
}

// maxDrift is how far the clock may be from its hardware's, of the one hundredth that the deadline leaves for all.
const maxDrift = 0.005

// inFleet are the findings about a host of a fleet; none of another.
func inFleet(f Facts) []Finding {
	if f.Fleet == nil {
		return nil
	}
	return []Finding{fleetStore(f), fleetClock(f), fleetGrace(f), leashed(f)}
}

func fleetStore(f Facts) Finding {
	const check = "fleet store"
	s := f.Fleet.Store
	var good, bad []string
	advice := ""
	for _, x := range s.Servers {
		if x.Err != nil {
			bad = append(bad, x.Name+": "+x.Err.Error())
			if advice == "" {
				advice = x.Advice
			}
		} else {
			good = append(good, fmt.Sprintf("%s is etcd %s and answers in %v", x.Name, x.Version,
				x.Took.Round(time.Millisecond)))
		}
	}
	all := strings.Join(slices.Concat(bad, good), "; ")
	if advice == "" {
		advice = "look at etcd, and at fleet.endpoints, fleet.tls and fleet.user"
	}
	switch {
	case s.Missing != nil:
		return Finding{check, Fault, "it cannot be asked: " + s.Missing.Error(),
			"no daemon of this host can be a member of its fleet",
			"put procman-fleet beside procman, or into PATH"}
	case !s.Asked:
		return unknown(check, nil, "")
	case s.Err != nil:
		if len(bad) == 0 {
			all = s.Err.Error()
		}
		return Finding{check, Fault, all, "the host is no member of its fleet while that lasts: what is fenced does " +
			"not run here", advice}
	case len(bad) > 0:
		return Finding{check, Warning, all, "the host asks another member; the fleet lives while most of them do",
			advice}
	}
	return ok(check, "%s", all)
}

func fleetClock(f Facts) Finding {
	const check = "fleet clock"
	c := f.Fleet.Clock
	if c.Rate == nil {
		return unknown(check, c.Err, "")
	}
	what := fmt.Sprintf("the kernel runs it at %+.0f ppm", (*c.Rate-1)*1e6)
	switch {
	case math.Abs(*c.Rate-1) > maxDrift:
		return Finding{check, Fault, what, "deadlines allow for 1 % between this host and etcd's: another host could " +
			"start what still runs here",
			"have chrony or ntpd set the clock anew, or `adjtimex --tick 10000 --frequency 0`"}
	case !c.Synced:
		return Finding{check, Warning, what + ", and nothing holds the wall clock",
			"leases do not need it, but times of events of two hosts cannot be compared",
			"run chrony, ntpd or systemd-timesyncd on the host"}
	}
	return ok(check, "%s, and the wall clock is held", what)
}

func fleetGrace(f Facts) Finding {
	const check = "fleet grace"
	grace := f.Fleet.Grace
	if len(f.Fleet.Cut) == 0 {
		return ok(check, "%v between TERM and KILL in a partition; no fenced instance known here has a longer "+
			"stop.grace", grace)
	}
	return Finding{check, Warning, fmt.Sprintf("%v between TERM and KILL in a partition; stop.grace is longer of %s",
		grace, few(f.Fleet.Cut)),
		"what does not end in time is killed: others may start it",
		"raise fleet.grace, with fleet.ttl by as much, or shorten stop.grace"}
}

func leashed(f Facts) Finding {
	const check = "leash"
	l := f.Fleet.Leash
	guards := "nothing fenced runs here"
	if len(l.Fenced) > 0 {
		guards = "fenced and running: " + few(l.Fenced)
	}
	switch {
	case l.Able.Fails():
		return Finding{check, Fault, "it cannot live here: " + l.Able.Err.Error(), "the host does not join its fleet",
			"use Linux 5.4 or later, and let the sandbox (seccomp) pass pidfd_open, pidfd_send_signal and " +
				"timerfd_create"}
	case l.Err != nil, !l.Able.Made:
		return unknown(check, l.Err, "")
	case l.Lives && f.Daemon.Answers:
		return ok(check, "process %d; %s", l.PID, guards)
	case l.Lives && len(l.Fenced) > 0:
		when := "now: "
		if l.Over != nil {
			when += l.Over.Error()
		} else {
			when = fmt.Sprintf("in %v", l.Left.Round(100*time.Millisecond))
		}
		return Finding{check, Warning, fmt.Sprintf("process %d, without a daemon; %s", l.PID, guards),
			"it ends them " + when, "start the daemon: procman run"}
	case l.Lives:
		return ok(check, "process %d, without a daemon; %s", l.PID, guards)
	case len(l.Fenced) > 0:
		return Finding{check, Fault, "none; " + guards,
			"nobody ends them when the host's lease is over, and another host may start them",
			"a daemon starts one: see its log, and leash.log in the state directory; without a daemon: procman run, " +
				"or end them by hand"}
	case f.Daemon.Answers:
		return Finding{check, Fault, "none, though the daemon runs", "the host does not join its fleet without one",
			"see the log of the daemon, and leash.log in the state directory"}
	}
	return ok(check, "none runs, and nothing fenced; the daemon starts one")
}

// few names some of them.
func few(names []string) string {
	const most = 5
	if more := len(names) - most; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), more)
	}
	return strings.Join(names, ", ")
}
