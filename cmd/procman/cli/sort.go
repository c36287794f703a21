package cli

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"procman/messages"
)

// The orders of a status.
const (
	byCPU      = "cpu"
	byMemory   = "memory"
	byRestarts = "restarts"
	byID       = "id"
)

func orders() []string { return []string{byCPU, byMemory, byRestarts, byID} }

// order sorts by what is most, then by id.
func order(all []messages.Status, by string, now time.Time) {
	measure := map[string]func(*messages.Status) float64{
		byCPU:      func(s *messages.Status) float64 { return processor(s, now) },
		byMemory:   func(s *messages.Status) float64 { return float64(memoryOf(s)) },
		byRestarts: func(s *messages.Status) float64 { return float64(s.Restarts) },
		byID:       func(*messages.Status) float64 { return 0 },
	}[by]
	if measure == nil {
		return
	}
	slices.SortStableFunc(all, func(a, b messages.Status) int {
		return cmp.Or(cmp.Compare(measure(&b), measure(&a)), cmp.Compare(a.ID, b.ID))
	})
}

// processor is the part of one processor that a process has used since its start; less than 0: nobody knows.
func processor(s *messages.Status, now time.Time) float64 {
	if s.Use == nil || s.StartedAt == nil {
		return -1
	}
	return s.Use.CPU / max(now.Sub(*s.StartedAt).Seconds(), 0.01)
}

// memoryOf is the memory of a process in bytes; less than 0: nobody knows.
func memoryOf(s *messages.Status) int64 {
	if s.Use == nil {
		return -1
	}
	return s.Use.Memory
}

func cpuCell(s messages.Status, now time.Time) string {
	if used := processor(&s, now); used >= 0 {
		return fmt.Sprintf("%.1f%%", 100*used)
	}
	return ""
}

func memoryCell(s messages.Status, _ time.Time) string {
	const kib = 1 << 10
	switch n := memoryOf(&s); {
	case n < 0:
		return ""
	case n < 10*kib*kib:
		return fmt.Sprintf("%dKiB", n/kib)
	case n < 10*kib*kib*kib:
		return fmt.Sprintf("%dMiB", n/kib/kib)
	default:
		return fmt.Sprintf("%.1fGiB", float64(n)/kib/kib/kib)
	}
}
