package doctor

import (
	"fmt"

	"procman/actors/budget"
)

// What comes and goes beside what the daemon keeps open: starts, probes (256 at once) and callers (256 at once).
const (
	filesAtStart = 50
	filesInPeaks = 256 + 256
)

func openFiles(f Facts) Finding {
	const check = "open files"
	if f.Files.Limit == nil {
		return unknown(check, f.Files.Err, "")
	}
	limit, each := *f.Files.Limit, budget.Each(f.Wants.Hold)
	fit := budget.Fits(uint64(limit), budget.OwnFiles, each)
	need := int64(each*f.Wants.Instances + budget.OwnFiles + filesAtStart + filesInPeaks)
	what := fmt.Sprintf("%s, %d needed for %s", number(limit), need, count(f.Wants.Instances, "instance"))
	if f.Files.Used != nil {
		what += fmt.Sprintf(", %d open now", *f.Files.Used)
	}
	do := fmt.Sprintf("service: LimitNOFILE=%d in its [Service] section; shell: ulimit -n %d before `procman run`; "+
		"container: --ulimit nofile=%d",
		max(2*need, int64(storeOf(f.Unit)+filesBeside)), 2*need, 2*need)
	switch {
	case fit < f.Wants.Instances:
		return Finding{check, Fault, what, fmt.Sprintf("%d of them fit beside what is kept for control; the others "+
			"wait: \"out of resources\"", fit), do}
	case limit < need:
		return Finding{check, Warning, what, "enough for a quiet day; when many instances are probed and many " +
			"callers connect, they wait for one another", do}
	}
	return ok(check, "%s", what)
}

// tasksAssumed is how many threads a small server has where none runs that could be asked.
const tasksAssumed = 12

// tasksBeside is for the daemon and everything else.
const tasksBeside = 64

func processes(f Facts) Finding {
	const check = "processes"
	if len(f.Tasks.Limits) == 0 {
		return unknown(check, f.Tasks.Err, "")
	}
	each, how := int64(tasksAssumed), "assumed"
	if f.Tasks.Each != nil {
		each, how = *f.Tasks.Each, "measured"
	}
	need := each*int64(f.Wants.Instances) + tasksBeside
	least := f.Tasks.Limits[0]
	for _, l := range f.Tasks.Limits {
		if l.Value < least.Value {
			least = l
		}
	}
	what := fmt.Sprintf("%s by %s, %d needed (%d threads an instance, %s)", number(least.Value), least.Name,
		need, each, how)
	switch {
	case least.Value < int64(f.Wants.Instances)+2:
		return Finding{check, Fault, what, "not every instance can have a process", least.Raise}
	case least.Value < need:
		return Finding{check, Warning, what, "instances may fail to start, or to make a thread and crash", least.Raise}
	}
	return ok(check, "%s", what)
}

// inotifyOwn is what the daemon needs for itself: its output files together, and its configuration.
const inotifyOwn = 2

func inotify(f Facts) Finding {
	const check = "inotify"
	i := f.Inotify
	if i.Instances == nil || i.Watches == nil {
		return unknown(check, i.Err, "")
	}
	watches := int64(2*f.Wants.Instances + 8)
	what := fmt.Sprintf("%s watches, %d needed; %s instances, %d needed", number(*i.Watches), watches,
		number(*i.Instances), inotifyOwn)
	means := "files that cannot be watched are looked at every second: output is forwarded, and an edit of the " +
		"configuration seen, that much later"
	switch {
	case *i.Watches < watches:
		return Finding{check, Warning, what, means, sysctl("fs.inotify.max_user_watches",
			fmt.Sprint(max(8192, 2*watches)))}
	case *i.Instances < 8: // other programs of the user have theirs
		return Finding{check, Warning, what, means, sysctl("fs.inotify.max_user_instances", "128")}
	}
	return ok(check, "%s", what)
}

func outOfMemory(f Facts) Finding {
	const check = "out of memory"
	if f.OOM == nil {
		return unknown(check, nil, "")
	}
	if *f.OOM < 0 {
		return ok(check, "oom_score_adj is %d; instances are not protected with the daemon, they get 0", *f.OOM)
	}
	return ok(check, "oom_score_adj is %d, and so it is for every instance", *f.OOM)
}

func coreDumps(f Facts) Finding {
	const check = "core dumps"
	switch {
	case f.Core == nil:
		return unknown(check, nil, "")
	case *f.Core == 0:
		return ok(check, "off; an instance that crashes leaves none")
	case *f.Core == Unlimited:
		return ok(check, "on; an instance that crashes may leave one as large as its memory")
	}
	return ok(check, "on, up to %s", size(*f.Core))
}

// sysctl gives the commands that set a parameter now and at every boot.
func sysctl(name, value string) string {
	return fmt.Sprintf("sysctl -w %s=%s\necho '%s = %s' > /etc/sysctl.d/60-%s.conf", name, value, name, value, name)
}

func number(n int64) string {
	if n == Unlimited {
		return "unlimited"
	}
	return fmt.Sprint(n)
}

func size(n int64) string {
	switch {
	case n >= 10<<30:
		return fmt.Sprintf("%d GiB", n>>30)
	case n >= 10<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 10<<10:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}
