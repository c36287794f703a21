package cgroup

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
)

// position is where the hierarchy is mounted, and where this process is in it.
type position struct {
	mount string
	own   string // below the mount
}

// locate reads what /proc/self/mountinfo and /proc/self/cgroup say.
func locate(mountinfo, self string) (position, error) {
	at := ""
	for line := range strings.Lines(self) {
		if p, is := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::"); is {
			at = p
		}
	}
	if at == "" {
		return position{}, errors.New("this process is in no cgroup v2")
	}
	for line := range strings.Lines(mountinfo) {
		before, after, _ := strings.Cut(line, " - ")
		fields, kind := strings.Fields(before), strings.Fields(after)
		if len(fields) < 5 || len(kind) < 1 || kind[0] != "cgroup2" {
			continue
		}
		root := unescape(fields[3])
		if own, inside := below(root, at); inside {
			return position{unescape(fields[4]), own}, nil
		}
	}
	return position{}, errors.New("no hierarchy of cgroups v2 is mounted in which this process is")
}

// below returns the path that at has seen from root.
func below(root, at string) (string, bool) {
	if strings.HasPrefix(at, "/..") || strings.HasPrefix(root, "/..") {
		return "", false // outside of what this namespace shows
	}
	if root == "/" || at == root {
		return path.Clean("/" + strings.TrimPrefix(at, root)), true
	}
	rest, inside := strings.CutPrefix(at, root+"/")
	return "/" + rest, inside
}

// unescape undoes how the kernel writes blanks in a path: \040.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// leaf is the cgroup of the daemon below one that is divided: DelegateSubgroup= of the unit says so, too.
const leaf = "daemon"

// prefix begins the name of a cgroup in which those of the runs of one state directory are.
const prefix = "procman-"

// division is what may be divided.
type division struct {
	base    string // below which cgroups are made
	unit    string // of systemd; empty: it is none's
	crowded bool   // this process is in it: it can hand on no controllers
	root    bool   // it is the root of the hierarchy, to which that rule does not apply
}

// divide decides what this process may divide. delegated tells of a cgroup whether it was delegated to this process,
// isRoot whether it is the root of the hierarchy.
func divide(own string, user int, delegated, isRoot func(string) bool) (division, error) {
	up := path.Dir(own)
	switch {
	case path.Base(own) == leaf && strings.HasPrefix(path.Base(up), prefix):
		// an earlier program of this process has moved it
		return division{base: path.Dir(up), unit: unitOf(path.Dir(up))}, nil
	case path.Base(own) == leaf && delegated(up):
		return division{base: up, unit: unitOf(up)}, nil
	case delegated(own):
		return division{base: own, unit: unitOf(own), crowded: true}, nil
	case unitOf(own) != "":
		return division{}, fmt.Errorf("the cgroup of %s is not delegated to it; Delegate=yes and DelegateSubgroup=%s "+
			"in the unit do that", unitOf(own), leaf)
	case user != 0:
		return division{}, fmt.Errorf("the cgroup %s is not delegated to user %d", own, user)
	}
	root := isRoot(own)
	return division{base: own, crowded: !root, root: root}, nil
}

// unitOf returns the innermost unit of systemd that the cgroup belongs to; empty: none.
func unitOf(at string) string {
	parts := strings.Split(at, "/")
	for n := len(parts) - 1; n >= 0; n-- {
		if strings.HasSuffix(parts[n], ".service") || strings.HasSuffix(parts[n], ".scope") {
			return parts[n]
		}
	}
	return ""
}
