package daemon

import (
	"bytes"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// LetGoOfProgram lets go of the pages of this program's file that it has in memory: what it does once, at its start,
// and what the kernel has mapped beside it. They stay in the page cache, and are mapped again as they are needed.
func LetGoOfProgram() {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return
	}
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	var all [][2]uintptr // first all are known: what finds them out would be mapped again
	for line := range bytes.Lines(maps) {
		var from, to uintptr
		var mode string
		if _, err := fmt.Sscanf(string(line), "%x-%x %s", &from, &to, &mode); err != nil ||
			!bytes.HasSuffix(bytes.TrimSpace(line), []byte(program)) {
			continue
		}
		if mode != "r-xp" && mode != "r--p" { // what was written is nowhere else
			continue
		}
		all = append(all, [2]uintptr{from, to})
	}
	for _, m := range all {
		// The kernel is told about addresses, of which no pointer is made.
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, m[0], m[1]-m[0], unix.MADV_DONTNEED) // it is for the host's good only
	}
}
