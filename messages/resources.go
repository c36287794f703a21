package messages

import (
	"fmt"
	"strconv"
)

// Resources are bounds that the kernel holds for all processes of a run together, by its cgroup. Zero: none.
type Resources struct {
	Memory Bytes   // what more is needed than can be freed ends a process of the run
	CPU    float64 // in cores: 0.5 is half of the time of one
	Pids   int     // processes and threads
}

// Bytes is a size of which 0 is none.
type Bytes int64

// String writes it as a configuration has it: 512MiB; empty for 0.
func (b Bytes) String() string {
	if b == 0 {
		return ""
	}
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	for len(units) > 1 && b%1024 == 0 {
		b, units = b/1024, units[1:]
	}
	return strconv.FormatInt(int64(b), 10) + units[0]
}

// Bounds returns the bounds of the instance's runs; the zero Resources if there are none.
func (a *AppInstance) Bounds() Resources { return *a.resources() }

// resources is where they are read. A read makes none: instances are shared.
func (a *AppInstance) resources() *Resources {
	if a.Resources == nil {
		return &Resources{}
	}
	return a.Resources
}

// bounded is where they are written.
func (a *AppInstance) bounded() *Resources {
	a.Resources = a.resources()
	return a.Resources
}

func (r *Resources) clone() *Resources {
	if r == nil {
		return nil
	}
	c := *r
	return &c
}

// leastMemory is about what a process needs to end with a message.
const leastMemory = 1 << 20

// mostPids is what Linux takes for pids.max, and has pids for.
const mostPids = 4 << 20

var (
	memoryBounds = []Limit{Must(
		func(b Bytes) string { return when(b != 0 && b < leastMemory, "it must be at least 1MiB") }, nil)}
	// The kernel counts by periods of 100 ms, of which it gives 1 ms at least.
	cpuBounds = []Limit{Must(func(f float64) string {
		return when(f != 0 && (f < 0.01 || f > 10000), "it must be from 0.01 to 10000 cores, or 0 for no bound")
	}, map[string]any{"minimum": 0, "maximum": 10000})}
	pidsBounds = []Limit{AtLeast(0), Must(func(n int) string {
		return when(n > mostPids, fmt.Sprintf("it must be at most %d, more than which no kernel counts", mostPids))
	}, map[string]any{"maximum": mostPids})}
)

// Cgroup names the cgroup of a run until the host is started again.
type Cgroup struct {
	Path string `json:"path"` // below the mount of the hierarchy
	ID   uint64 `json:"id"`   // that the kernel gives to no other
}
