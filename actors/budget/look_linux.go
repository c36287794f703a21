package budget

import (
	"math"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"procman/actors/kernel"
)

// Limit returns how many descriptors this process may have; 0: it is not known, or there is none.
func Limit() uint64 {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil || l.Cur == unix.RLIM_INFINITY {
		return 0
	}
	return l.Cur
}

func look(withTasks bool) usage {
	u := usage{files: int(min(Limit(), math.MaxInt32)), filesUsed: openFiles()}
	if withTasks {
		u.tasks, u.tasksUsed, u.each, u.tasksBy = tasks()
	}
	if u.filesUsed == 0 {
		u.files = 0
	}
	return u
}

// openFiles returns how many descriptors this process has open; 0: that cannot be learned.
func openFiles() int {
	const dir = "/proc/self/fd"
	if info, err := os.Stat(dir); err == nil && info.Size() > 0 { // Linux 6.2
		return int(info.Size())
	}
	f, err := os.Open(dir)
	if err != nil {
		return 0
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return 0
	}
	return len(names) - 1 // without the one that was opened to look
}

// perInstance is how many threads an instance is taken to have before there is one that could be asked.
const perInstance = 4

// tasks returns the tightest limit of processes and threads, how many of them exist, and how many an instance has.
func tasks() (limit, used, each int, by string) {
	each = perInstance
	if l, u := cgroupTasks(); l > 0 {
		limit, used, by = l, u, "pids.max of the cgroup"
	}
	user, free := userLimit()
	if !free && (limit == 0 || user < limit-used || allTasks() > user/2) {
		n, average := userTasks()
		if average > 0 {
			each = average
		}
		if limit == 0 || user-n < limit-used {
			limit, used, by = user, n, "ulimit -u"
		}
	}
	return limit, used, each, by
}

// userLimit returns how many processes and threads the user may have. Whoever has one of two capabilities is free.
func userLimit() (limit int, free bool) {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NPROC, &l); err != nil || l.Cur == unix.RLIM_INFINITY || unix.Getuid() == 0 {
		return 0, true
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err == nil &&
		data[0].Effective&(1<<unix.CAP_SYS_RESOURCE|1<<unix.CAP_SYS_ADMIN) != 0 {
		return 0, true
	}
	limit = int(min(l.Cur, math.MaxInt32))
	return limit, allTasks() > 0 && allTasks() < limit/2 // far from it, whosever they are: nobody need be counted
}

// allTasks returns how many threads the host has; 0: it is not told.
func allTasks() int {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text))
	if len(fields) < 4 {
		return 0
	}
	_, total, _ := strings.Cut(fields[3], "/")
	n, _ := strconv.Atoi(total) // what is no number is not told
	return n
}

// userTasks counts the threads of the user, and how many the children of this process have on average, rounded up.
func userTasks() (all, average int) {
	proc := kernel.Procfs("/proc")
	pids, err := proc.PIDs()
	if err != nil {
		return 0, 0
	}
	self, uid := os.Getpid(), uint32(os.Getuid())
	children, theirs := 0, 0
	for _, pid := range pids {
		var st unix.Stat_t
		if unix.Stat("/proc/"+strconv.Itoa(pid), &st) != nil || st.Uid != uid {
			continue
		}
		stat, err := proc.Stat(pid)
		if err != nil {
			continue
		}
		all += stat.Threads
		if stat.Parent == self && !stat.Zombie() {
			children, theirs = children+1, theirs+stat.Threads
		}
	}
	if children > 0 {
		average = (theirs + children - 1) / children
	}
	return all, average
}

// cgroupTasks returns the pids.max and pids.current of the cgroup, from its own up to the root, that leave the least
// room.
func cgroupTasks() (limit, used int) {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) < 3 {
			continue
		}
		mount := "/sys/fs/cgroup"
		switch parts[1] {
		case "":
		case "pids":
			mount += "/pids"
		default:
			continue
		}
		for at := path.Clean("/" + parts[2]); ; at = path.Dir(at) {
			most, now := number(mount+at+"/pids.max"), number(mount+at+"/pids.current")
			if most > 0 && (limit == 0 || most-now < limit-used) {
				limit, used = most, now
			}
			if at == "/" {
				break
			}
		}
	}
	return limit, used
}

// number returns what the file says; 0 if it is not there or says "max".
func number(file string) int {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	n, _ := strconv.Atoi(strings.TrimSpace(string(text))) // "max" is no limit
	return n
}
