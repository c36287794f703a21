package port

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Overlap warns, in a sentence for the user, if ports of the range can be given to outgoing connections: another
// program's connection then has a port that an instance was to have. Where the system does not say, there is no
// warning.
func Overlap(first, last int) (warning string, overlaps bool) {
	ephemeral, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return "", false
	}
	// Missing reserved ports are no reserved ports.
	reserved, _ := os.ReadFile("/proc/sys/net/ipv4/ip_local_reserved_ports")
	return overlap(first, last, string(ephemeral), string(reserved))
}

func overlap(first, last int, ephemeral, reserved string) (string, bool) {
	f := strings.Fields(ephemeral)
	if len(f) != 2 {
		return "", false
	}
	low, errLow := strconv.Atoi(f[0])
	high, errHigh := strconv.Atoi(f[1])
	if errLow != nil || errHigh != nil {
		return "", false
	}
	from, to := max(first, low), min(last, high)
	exempt := spans(reserved)
	for from <= to {
		next := from
		for _, s := range exempt {
			if s[0] <= next && next <= s[1] {
				next = s[1] + 1
			}
		}
		if next == from {
			return fmt.Sprintf("ports.range %d-%d overlaps the ports that outgoing connections get, %d-%d: choose "+
				"another range, "+
				"or reserve it with sysctl -w net.ipv4.ip_local_reserved_ports=%d-%d", first, last, low, high,
				first, last), true
		}
		from = next
	}
	return "", false
}

// spans reads "8080,30000-31000", which the kernel keeps sorted.
func spans(list string) [][2]int {
	var all [][2]int
	for part := range strings.SplitSeq(strings.TrimSpace(list), ",") {
		a, b, isSpan := strings.Cut(part, "-")
		if !isSpan {
			b = a
		}
		low, errLow := strconv.Atoi(a)
		high, errHigh := strconv.Atoi(b)
		if errLow == nil && errHigh == nil {
			all = append(all, [2]int{low, high})
		}
	}
	return all
}
