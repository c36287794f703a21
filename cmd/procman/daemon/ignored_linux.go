package daemon

import (
	"os"
	"strconv"
	"strings"
	"syscall"
)

// ignored returns the signals that this process ignores. Package os/signal does not know of those that Go has no
// handler for from the start, such as TSTP.
func ignored() (all []os.Signal) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return nil // without /proc nothing runs, and that is told elsewhere
	}
	for line := range strings.Lines(string(text)) {
		set, err := strconv.ParseUint(strings.TrimSpace(strings.TrimPrefix(line, "SigIgn:")), 16, 64)
		if !strings.HasPrefix(line, "SigIgn:") || err != nil {
			continue
		}
		for n := range 64 {
			if set&(1<<n) != 0 {
				all = append(all, syscall.Signal(n+1))
			}
		}
	}
	return all
}
