package kernel

import (
	"bytes"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// ProcessorTime returns how long the process, with all of its threads, has used a processor. It costs one system call.
func ProcessorTime(pid int) (time.Duration, error) {
	// The clock of a process is named by its number, as clock_getcpuclockid(3) has it: inverted, above three bits that
	// say which clock. 2 is the time that the scheduler has counted.
	const scheduled = 2
	var t unix.Timespec
	err := unix.ClockGettime(int32(^pid<<3|scheduled), &t)
	return time.Duration(t.Nano()), err
}

// So many processes and threads are looked at of one that has more.
const (
	mostMembers = 32
	mostThreads = 64
)

// Runs reports whether the process, or one that descends from it, runs at this moment or waits for a processor, and
// whether it has children that live. What is not shown does not run.
func (p Procfs) Runs(pid int) (runs, family bool) {
	var space [1 << 10]byte
	var members [mostMembers]int
	all := append(members[:0], pid)
	threads := mostThreads
	for n := 0; n < len(all); n++ {
		one := [1]string{strconv.Itoa(all[n])}
		tasks := one[:]
		line, err := p.read(all[n], "stat", space[:])
		if err != nil {
			continue
		}
		st, err := ParseStat(line)
		switch {
		case err != nil:
			continue
		case st.State == 'R':
			return true, len(all) > 1
		case st.Threads > 1:
			if tasks, err = Entries(p.file(all[n], "task")); err != nil {
				continue
			}
		}
		for _, task := range tasks {
			if threads--; threads < 0 {
				return false, len(all) > 1
			}
			if len(tasks) > 1 && p.threadRuns(all[n], task, space[:]) {
				return true, len(all) > 1
			}
			children, err := p.read(all[n], "task/"+task+"/children", space[:])
			if err != nil {
				continue // the kernel was built without
			}
			for _, child := range bytes.Fields(children) {
				if c, err := strconv.Atoi(string(child)); err == nil && len(all) < mostMembers {
					all = append(all, c)
				}
			}
		}
	}
	return false, len(all) > 1
}

func (p Procfs) threadRuns(pid int, task string, buffer []byte) bool {
	line, err := p.read(pid, "task/"+task+"/stat", buffer)
	if err != nil {
		return false
	}
	st, err := ParseStat(line)
	return err == nil && st.State == 'R'
}
