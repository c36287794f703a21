package doctor

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// unitOf returns the innermost service or scope that a cgroup path names, and whether a user's service manager has it.
func unitOf(path string) (name string, user bool) {
	for part := range strings.SplitSeq(path, "/") {
		switch {
		case strings.HasPrefix(part, "user@") && strings.HasSuffix(part, ".service"):
			name, user = part, false // whatever is below it is the user's
		case strings.HasSuffix(part, ".service"), strings.HasSuffix(part, ".scope"):
			user = user || strings.HasPrefix(name, "user@")
			name = part
		}
	}
	return name, user
}

// cgroupsOf reads /proc/PID/cgroup: the path in the hierarchy that systemd uses, that in the one that counts processes,
// and whether that is an old one (v1). systemd uses its own old hierarchy, and the common one where that is mounted
// alone (unified). A line of the other tells nothing: the host's own systemd may have it, and in a container it is "/"
// then.
func cgroupsOf(text string, unified bool) (unit, pids string, old bool) {
	own := false
	for line := range strings.Lines(text) {
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(parts) != 3 {
			continue
		}
		controllers, path := strings.Split(parts[1], ","), parts[2]
		switch {
		case parts[1] == "name=systemd":
			if own = !unified; own || unit == "" {
				unit = path
			}
		case slices.Contains(controllers, "pids"):
			pids, old = path, true
		case parts[0] == "0" && parts[1] == "":
			if !own {
				unit = path
			}
			if !old {
				pids = path
			}
		}
	}
	return unit, pids, old
}

// storeOf is how many descriptors the service manager keeps.
func storeOf(u Unit) int {
	n, err := strconv.Atoi(u.Properties["FileDescriptorStoreMax"])
	if err != nil {
		return 0 // the service manager has none, or is too old to say
	}
	return n
}

// serviceManager judges the unit as a whole, so that there is one file to be written and not one for every setting.
func serviceManager(f Facts) Finding {
	const check = "service manager"
	u := f.Unit
	who := "the daemon"
	if u.Own {
		who = "this process"
	}
	switch {
	case u.Err != nil && u.Name == "":
		return unknown(check, u.Err, "")
	case u.Name == "" && u.Cgroup == "":
		return unknown(check, nil, "")
	case u.Name == "":
		return ok(check, "%s is in no systemd unit", who)
	case !strings.HasSuffix(u.Name, ".service"):
		return ok(check, "%s is in %s, which is no service", who, u.Name)
	case len(u.Properties) == 0:
		return Finding{check, Unknown, fmt.Sprintf("%s is in %s, and systemd does not tell of it%s", who, u.Name,
			because(u.Err)),
			"whether a restart of the service kills every instance is not known",
			systemctl(u) + " show -p KillMode,OOMPolicy " + u.Name + "   # must be process, continue"}
	}
	c := unitCheck{unit: u, verdict: OK}
	c.judge(f.Wants.Instances)
	c.judgeLimit(f.Wants.Instances)
	what := fmt.Sprintf("%s is in %s: KillMode=%s, OOMPolicy=%s, FileDescriptorStoreMax=%d", who,
		u.Name, u.Properties["KillMode"], u.Properties["OOMPolicy"], storeOf(u))
	if u.Own && c.verdict == Fault {
		c.verdict = Warning // it counts if the daemon is started from here
	}
	return Finding{check, c.verdict, what, strings.Join(c.means, "; "), c.dropIn()}
}

// unitCheck is a judgement under way.
type unitCheck struct {
	unit    Unit
	verdict Verdict
	means   []string
	lines   []string // of the drop-in
}

func (c *unitCheck) judge(instances int) {
	p := c.unit.Properties
	switch p["KillMode"] {
	case "process":
	case "none":
		c.needs(Warning, "KillMode=process", "a stop of the service does not end the daemon")
	default:
		c.needs(Fault, "KillMode=process", "`systemctl restart` and `stop`, and every death of the daemon, kill "+
			"every instance: there is nothing left to adopt")
	}
	switch p["OOMPolicy"] {
	case "continue", "": // systemd before 243 has none
	case "kill":
		c.needs(Fault, "OOMPolicy=continue", "when the kernel kills one instance for its memory, it kills all of "+
			"them and the daemon")
	default:
		c.needs(Warning, "OOMPolicy=continue", "when the kernel kills one instance for its memory, systemd ends the "+
			"daemon")
	}
	if n := storeOf(c.unit); n < instances || n == 0 {
		c.needs(Warning, fmt.Sprintf("FileDescriptorStoreMax=%d", max(128, 2*instances)),
			"exit codes of instances that end while no daemon lives may be unknown")
	} else if p["NotifyAccess"] == "none" {
		c.needs(Warning, "NotifyAccess=main", "the daemon may not use the descriptor store")
	}
	switch p["Type"] {
	case "forking", "oneshot", "dbus":
		c.needs(Fault, "Type=simple", "`procman run` stays in the foreground, which Type="+p["Type"]+
			" takes for a start that does not end")
	}
	if p["Restart"] == "no" {
		c.needs(Warning, "Restart=always", "nobody starts the daemon again when it has died")
	}
}

// filesBeside is how many descriptors systemd needs beside the stored ones to start a service.
const filesBeside = 64

// judgeLimit compares two settings of which neither is wrong alone: before it starts a service, systemd brings all
// stored descriptors below the unit's soft limit.
func (c *unitCheck) judgeLimit(instances int) {
	soft, err := strconv.Atoi(c.unit.Properties["LimitNOFILESoft"])
	store := storeOf(c.unit)
	if err != nil || store == 0 || soft >= store+filesBeside {
		return // infinity, or the service manager does not say
	}
	verdict, hard := Warning, c.unit.Properties["LimitNOFILE"]
	if instances+filesBeside > soft {
		verdict = Fault
	}
	if n, err := strconv.Atoi(hard); err == nil && n < store+filesBeside {
		hard = strconv.Itoa(store + filesBeside)
	}
	c.needs(verdict, fmt.Sprintf("LimitNOFILE=%d:%s", store+filesBeside, cmp.Or(hard, "infinity")),
		fmt.Sprintf("with some %d handles in the descriptor store, of up to %d, systemd cannot start the daemon "+
			"again after a crash (status=202/FDS): "+
			"the soft limit of open files, %d, is too small for them", max(soft-filesBeside, 0), store, soft))
}

func (c *unitCheck) needs(v Verdict, line, means string) {
	if c.verdict != Fault {
		c.verdict = v
	}
	c.lines = append(c.lines, line)
	c.means = append(c.means, means)
}

// dropIn is the text that puts everything right.
func (c *unitCheck) dropIn() string {
	if len(c.lines) == 0 {
		return ""
	}
	dir := "/etc/systemd/system/"
	if c.unit.User {
		dir = "~/.config/systemd/user/"
	}
	return fmt.Sprintf("write to %s%s.d/procman.conf:\n  [Service]\n  %s\nthen %s daemon-reload", dir, c.unit.Name,
		strings.Join(c.lines, "\n  "), systemctl(c.unit))
}

func systemctl(u Unit) string {
	if u.User {
		return "systemctl --user"
	}
	return "systemctl"
}

func because(err error) string {
	if err == nil {
		return ""
	}
	return ": " + err.Error()
}

// inits are programs that reap what is left to them.
func inits() []string {
	return []string{"systemd", "init", "tini", "tini-static", "docker-init", "podman-init", "catatonit", "dumb-init",
		"s6-svscan",
		"runit", "runit-init", "openrc-init", "busybox", "upstart", "finit", "pause", "sh", "bash", "dash"}
}

func processOne(f Facts) Finding {
	const check = "pid 1"
	i := f.Init
	who, reaper := i.Comm, ""
	if i.ReaperPID > 1 {
		reaper = fmt.Sprintf("; adopted instances belong to pid %d, %s", i.ReaperPID, i.ReaperComm)
	}
	switch {
	case i.PID == 1:
		subject := "the daemon"
		if !f.Daemon.Visible {
			subject = "this process"
		}
		return Finding{check, Fault, subject + " is pid 1 of its pid namespace",
			"when such a daemon ends, the kernel kills every instance; nothing can be adopted",
			"have another pid 1, and one that starts the daemon again, as --init alone ends with it:\n" +
				"  docker run --init IMAGE sh -c 'until procman run; do sleep 1; done'   # compose: init: true; or " +
				"ENTRYPOINT [\"tini\", \"--\", …]"}
	case i.PID == 0 || who == "":
		return unknown(check, i.Err, "")
	case i.ReaperPID > 1:
		who = i.ReaperComm
	}
	if !slices.Contains(inits(), who) {
		return Finding{check, Warning, fmt.Sprintf("%s is not known as an init%s", i.Comm, reaper),
			"if it does not reap, an instance that ends while no daemon lives, or after it was adopted, stays as a " +
				"zombie",
			"in a container: docker run --init, or tini as its entry point"}
	}
	return ok(check, "%s%s", i.Comm, reaper)
}

// parseProperties reads what systemctl show prints.
func parseProperties(text string) map[string]string {
	values := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, is := strings.Cut(strings.TrimSpace(line), "="); is {
			values[name] = value
		}
	}
	return values
}
