package messages

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// ProcessPolicy says as whom and within which bounds the process of an instance runs. What is left out is as it is for
// the manager.
type ProcessPolicy struct {
	User        string // its name, or its number
	Group       string // empty: the user's own; beside it the process has all groups of the user
	Umask       string // octal, as in 027; empty: the manager's
	Nice        int    // from -20, before others, to 19; 0: the manager's
	OOMScoreAdj int    // from -1000, never, to 1000, first; 0: the usual
	Limits      Limits
}

// Limits are resource limits of a process in one text, as in "core=0 nofile=1024 stack=unlimited", in the order of
// their names: of a type that == compares. Each is the soft and the hard limit.
type Limits string

// ResourceLimit is one of them.
type ResourceLimit struct {
	Name  string
	Value uint64 // math.MaxUint64: unlimited
}

// List returns them.
func (l Limits) List() []ResourceLimit {
	var list []ResourceLimit
	for _, word := range strings.Fields(string(l)) {
		name, value, _ := strings.Cut(word, "=")
		n, err := strconv.ParseUint(value, 10, 64)
		if err != nil {
			n = math.MaxUint64
		}
		list = append(list, ResourceLimit{name, n})
	}
	return list
}

// String is the list as a configuration has it: {core: 0, nofile: 1024}.
func (l Limits) String() string {
	if l == "" {
		return "{}"
	}
	return "{" + strings.ReplaceAll(strings.ReplaceAll(string(l), "=", ": "), " ", ", ") + "}"
}

// LimitNames are the limits there are.
func LimitNames() []string {
	return []string{"as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc",
		"rss", "rtprio", "sigpending", "stack"}
}

// NewLimits makes them of names and values: whole numbers, or unlimited. The error says which name or value is none.
func NewLimits(written map[string]string) (Limits, error) {
	var words []string
	for name, value := range written {
		if !slices.Contains(LimitNames(), name) {
			return "", fmt.Errorf("%.40q is no limit; there are %s", name, Alternatives(LimitNames()))
		}
		if n, err := strconv.ParseUint(value, 10, 63); value != "unlimited" &&
			(err != nil || strconv.FormatUint(n, 10) != value) {
			return "", fmt.Errorf("%s is %.40q; it must be a whole number, or unlimited", name, value)
		}
		words = append(words, name+"="+value)
	}
	slices.Sort(words)
	return Limits(strings.Join(words, " ")), nil
}

var (
	account = []Limit{Must(func(s string) string {
		odd := strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f || r == ':' || r == '/' })
		return when(odd || strings.HasPrefix(s, "-"), "it must be a name, or a number")
	}, nil)}
	octal = []Limit{Must(func(s string) string {
		n, err := strconv.ParseUint(s, 8, 16)
		return when(s != "" && (err != nil || n > 0o777), "it must be an octal number from 000 to 777, such as 027")
	}, nil)}
	niceness = []Limit{whole(-20, 19)}
	oomScore = []Limit{whole(-1000, 1000)}
)

func whole(least, most int) Limit {
	return Must(func(n int) string {
		return when(n < least || n > most, fmt.Sprintf("it must be from %d to %d", least, most))
	},
		map[string]any{"minimum": least, "maximum": most})
}
