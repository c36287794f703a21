package doctor

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// cgroups tells whether runs have cgroups of their own, and whether what is to be bounded can be.
func cgroups(f Facts) Finding {
	const check = "cgroups"
	c, wants := f.Cgroups, f.Wants.Bounded
	var lacks, why []string
	for _, name := range slices.Sorted(maps.Keys(wants)) {
		switch {
		case c.Absent != nil:
			lacks = append(lacks, name)
		case c.Refuses[name] != "":
			lacks, why = append(lacks, name), append(why, c.Refuses[name])
		}
	}
	switch {
	case c.Absent == nil && c.Base == "":
		return unknown(check, nil, "")
	case c.Absent != nil && len(lacks) > 0:
		return Finding{check, Fault, "runs have none of their own: " + c.Absent.Error(),
			"what has `resources:` cannot be started: " + names(wants, lacks),
			"have a cgroup delegated to the daemon (Delegate=yes, DelegateSubgroup=daemon in its unit), or leave out " +
				"resources"}
	case c.Absent != nil:
		return Finding{check, OK, "runs have none of their own: " + c.Absent.Error(), "", ""}
	case len(lacks) > 0:
		return Finding{check, Fault, fmt.Sprintf("each run has one of its own below %s; there %s",
			c.Base, strings.Join(why, "; ")),
			"what has `resources:` for it cannot be started: " + names(wants, lacks),
			"do that, or leave out resources of these"}
	}
	usable := slices.DeleteFunc(slices.Clone(c.Controllers), func(name string) bool { return c.Refuses[name] != "" })
	bounds := "resources that it can bound: none"
	if len(usable) > 0 {
		bounds = "resources that it can bound: " + strings.Join(usable, ", ")
	}
	return ok(check, "each run has one of its own below %s, ended as a whole by cgroup.kill; %s", c.Base, bounds)
}

// names are the instances that need one of those controllers.
func names(wants map[string][]string, lacks []string) string {
	var all []string
	for _, name := range lacks {
		all = append(all, wants[name]...)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	if more := len(all) - 5; more > 0 {
		all = append(all[:5], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(all, ", ")
}
