package doctor

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// process is what /proc shows of one.
type process int

func (p process) file(name string) string { return "/proc/" + strconv.Itoa(int(p)) + "/" + name }

func (p process) comm() (string, error) {
	text, err := os.ReadFile(p.file("comm"))
	return strings.TrimSpace(string(text)), err
}

// status reads /proc/PID/status.
func (p process) status() (map[string]string, error) {
	text, err := os.ReadFile(p.file("status"))
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if name, value, is := strings.Cut(line, ":"); is {
			values[name] = strings.TrimSpace(value)
		}
	}
	return values, nil
}

// capable reports whether the process has the capability.
func (p process) capable(capability int) bool {
	status, err := p.status()
	if err != nil {
		return false
	}
	set, err := strconv.ParseUint(status["CapEff"], 16, 64)
	return err == nil && set&(1<<capability) != 0
}

type rlimit struct{ soft, hard *int64 }

// limits reads /proc/PID/limits.
func (p process) limits() (map[string]rlimit, error) {
	text, err := os.ReadFile(p.file("limits"))
	if err != nil {
		return nil, err
	}
	all := map[string]rlimit{}
	const nameWidth = 26 // the kernel pads the names to it
	for line := range strings.Lines(string(text)) {
		if len(line) < nameWidth {
			continue
		}
		values := strings.Fields(line[nameWidth:])
		if len(values) < 2 {
			continue
		}
		soft, err1 := parseLimit(values[0])
		hard, err2 := parseLimit(values[1])
		if err1 == nil && err2 == nil {
			all[strings.TrimSpace(line[:nameWidth])] = rlimit{&soft, &hard}
		}
	}
	return all, nil
}

// files tells how many files the process may open. A daemon that does not run yet raises its soft limit to the hard
// one, as every Go program does.
func (p process) files(daemon bool) (f Files) {
	limits, err := p.limits()
	if err != nil {
		f.Err = err
		return f
	}
	l := limits["Max open files"]
	f.Limit = l.hard
	if !daemon {
		return f
	}
	f.Limit = l.soft
	if open, err := os.ReadDir(p.file("fd")); err == nil { // of another user's daemon they are not shown
		used := int64(len(open))
		f.Used = &used
	}
	return f
}

// measured is how many instances are asked for their threads.
const measured = 50

// tasks tells how many processes and threads there may be beside the process.
func (p process) tasks(children []int) (t Tasks) {
	threads, asked := int64(0), int64(0)
	for _, pid := range children[:min(len(children), measured)] {
		status, err := process(pid).status()
		if n, convErr := strconv.ParseInt(status["Threads"], 10, 64); err == nil && convErr == nil {
			threads, asked = threads+n, asked+1
		}
	}
	if asked > 0 {
		each := (threads + asked - 1) / asked
		t.Each = &each
	}
	var errs []error
	add := func(name, raise string, value *int64, err error) {
		errs = append(errs, err)
		if value != nil {
			t.Limits = append(t.Limits, Limit{name, *value, raise})
		}
	}
	pidMax, err := numberIn("/proc/sys/kernel/pid_max")
	add("kernel.pid_max", sysctl("kernel.pid_max", "4194304"), pidMax, err)
	threadsMax, err := numberIn("/proc/sys/kernel/threads-max")
	add("kernel.threads-max", sysctl("kernel.threads-max", "200000"), threadsMax, err)
	name, pids, err := p.cgroupLimit()
	add("pids.max of the cgroup "+name, "service: TasksMax=infinity in its [Service] section; container: "+
		"--pids-limit -1", pids, err)
	if !p.capable(unix.CAP_SYS_RESOURCE) && !p.capable(unix.CAP_SYS_ADMIN) { // whoever has one of them is not limited
		limits, err := p.limits()
		add("ulimit -u", "service: LimitNPROC=infinity in its [Service] section; shell: ulimit -u",
			limits["Max processes"].soft, err)
	}
	if len(t.Limits) == 0 {
		t.Err = errors.Join(errs...)
	}
	return t
}

// cgroupLimit returns the least pids.max from the process's cgroup up to the root; nil if there is none on the way.
func (p process) cgroupLimit() (name string, limit *int64, err error) {
	text, err := os.ReadFile(p.file("cgroup"))
	if err != nil {
		return "", nil, err
	}
	_, at, old := cgroupsOf(string(text), unified())
	if at == "" {
		return "", nil, nil
	}
	mount := "/sys/fs/cgroup"
	if old {
		mount += "/pids"
	}
	for ; ; at = path.Dir(at) {
		// The root, and a controller that is not switched on, have no such file.
		if n, err := numberIn(fmt.Sprintf("%s%s/pids.max", mount, at)); err == nil && *n != Unlimited &&
			(limit == nil || *n < *limit) {
			name, limit = at, n
		}
		if at == "/" || at == "." {
			return name, limit, nil
		}
	}
}

// unified reports whether systemd uses the common hierarchy of cgroups here.
func unified() bool {
	var fs unix.Statfs_t
	return unix.Statfs("/sys/fs/cgroup", &fs) == nil && fs.Type == unix.CGROUP2_SUPER_MAGIC
}
