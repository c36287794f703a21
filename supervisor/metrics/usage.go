package metrics

import "github.com/prometheus/procfs"

// usage reads what processes use, from /proc. Without one it knows nothing.
type usage struct {
	fs    procfs.FS
	there bool
}

// used is what one process uses.
type used struct{ cpu, memory float64 } // seconds, bytes

func newUsage() usage {
	fs, err := procfs.NewDefaultFS()
	return usage{fs, err == nil}
}

// of returns what a process uses: nothing without a process. It is not known of one that has ended this instant.
func (u usage) of(pid int) (used, bool) {
	if pid == 0 {
		return used{}, true
	}
	if !u.there {
		return used{}, false
	}
	p, err := u.fs.Proc(pid)
	if err != nil {
		return used{}, false
	}
	stat, err := p.Stat()
	if err != nil {
		return used{}, false
	}
	return used{stat.CPUTime(), float64(stat.ResidentMemory())}, true
}
