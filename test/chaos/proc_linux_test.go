package chaos

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"procman/actors/kernel"
)

// monotonic returns CLOCK_MONOTONIC in nanoseconds.
func monotonic() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		panic(err) // it cannot fail with these arguments
	}
	return t.Nano()
}

// stat is what the tests want to know of /proc/PID/stat.
type stat struct {
	State  byte
	Parent int
	Start  uint64
}

func readStat(pid int) (stat, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, err
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 20 {
		return stat{}, fmt.Errorf("/proc/%d/stat is %q", pid, text)
	}
	parent, err := strconv.Atoi(fields[1])
	if err != nil {
		return stat{}, err
	}
	start, err := strconv.ParseUint(fields[19], 10, 64)
	return stat{State: fields[0][0], Parent: parent, Start: start}, err
}

// tagged returns the processes of the host in whose environment stands one of the entries, with the value of another
// variable of theirs.
func tagged(variable string, entries ...string) map[Process]string {
	found := map[Process]string{}
	names, err := os.ReadDir("/proc")
	if err != nil {
		panic(err)
	}
	for _, name := range names {
		pid, err := strconv.Atoi(name.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		before, err := readStat(pid)
		if err != nil {
			continue
		}
		env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err != nil {
			continue // it has ended
		}
		var value string
		hit := false
		for entry := range strings.SplitSeq(string(env), "\x00") {
			for _, e := range entries {
				hit = hit || entry == e
			}
			if v, is := strings.CutPrefix(entry, variable+"="); is {
				value = v
			}
		}
		if hit {
			found[Process{pid, before.Start}] = value
		}
	}
	return found
}

// signalProcess sends a signal to that very process, and to no other that was given its pid. It reports whether it
// lived.
func signalProcess(p Process, s unix.Signal) bool {
	fd, err := kernel.OpenPidfd(p.PID)
	if err != nil {
		return false
	}
	defer fd.Close()
	if now, err := readStat(p.PID); err != nil || now.Start != p.Start || now.State == 'Z' {
		return false
	}
	return fd.Signal(s) == nil
}

// usage returns what a process uses.
func usage(pid int) (u Usage, err error) {
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return u, err
	}
	u.Descriptors = len(fds)
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return u, err
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		n, err := strconv.ParseInt(words[1], 10, 64)
		switch words[0] {
		case "Threads:":
			u.Threads = int(n)
		case "VmRSS:":
			u.Resident = n << 10
		default:
			continue
		}
		if err != nil {
			return u, err
		}
	}
	return u, nil
}
