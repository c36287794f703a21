//go:build linux && failpoint

package spawn

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// failpointHits counts how often the failpoint asked for was passed. It exists in programs built for chaos tests only.
var failpointHits atomic.Int64

// failpoint kills this process with KILL if PROCMAN_FAILPOINT is name, or name:N and this is the Nth time.
func failpoint(name string) {
	asked, count, _ := strings.Cut(os.Getenv("PROCMAN_FAILPOINT"), ":")
	if asked != name {
		return
	}
	nth, err := strconv.ParseInt(count, 10, 64)
	if err != nil {
		nth = 1
	}
	if failpointHits.Add(1) != nth {
		return
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
		panic(err)
	}
	select {} // the signal is on its way; nothing after this point may happen
}
