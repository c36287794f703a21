package config

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// positive is a rule of durations. The pattern of a duration has no sign.
var positive = rule[time.Duration]{complain: func(d time.Duration) string { return when(d <= 0, "it must be more than 0") }}

func atLeast[V int | int64](least V) rule[V] {
	return rule[V]{
		func(v V) string { return when(v < least, fmt.Sprintf("it must be at least %d", least)) },
		func(s *shape) { s.Minimum = limit(least) },
	}
}

func between(least, most float64) rule[float64] {
	return rule[float64]{
		func(f float64) string {
			return when(f < least || f > most, fmt.Sprintf("it must be from %v to %v", least, most))
		},
		func(s *shape) { s.Minimum, s.Maximum = limit(least), limit(most) },
	}
}

var fraction = rule[float64]{
	func(f float64) string { return when(f < 0 || f >= 1, "it must be at least 0 and less than 1") },
	func(s *shape) { s.Minimum, s.Below = limit(0), limit(1) },
}

var notEmpty = rule[string]{
	func(s string) string { return when(s == "", "leave the key out if nothing is meant") },
	func(s *shape) { s.MinLength = 1 },
}

var urlPath = rule[string]{
	func(s string) string {
		if !strings.HasPrefix(s, "/") {
			return "it must begin with /"
		}
		odd := strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f })
		return when(odd, "it must hold neither blanks nor control characters")
	},
	func(s *shape) { s.Pattern = `^/[^\x00-\x20\x7f]*$` },
}

// socketPath knows the limit of the kernel, whose own complaint is "invalid argument".
var socketPath = rule[string]{
	func(s string) string {
		return when(len(s) > maxSocket, fmt.Sprintf("it has %d bytes, and the path of a socket can have %d", len(s), maxSocket))
	},
	func(s *shape) { s.MaxLength = maxSocket },
}

const maxSocket = 99 // bytes: of 103 that every system takes, some are for the name under which it is made

var address = rule[string]{
	func(s string) string {
		if s == "" {
			return ""
		}
		_, port, err := net.SplitHostPort(s)
		_, portErr := strconv.ParseUint(port, 10, 16)
		return when(err != nil || portErr != nil, "write host:port, such as 127.0.0.1:9464")
	},
	func(s *shape) { s.Pattern = "^$|:[0-9]+$" },
}

func when(wrong bool, complaint string) string {
	if wrong {
		return complaint
	}
	return ""
}
