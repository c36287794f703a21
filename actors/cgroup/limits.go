package cgroup

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"procman/messages"
)

// bound is one file of a cgroup that bounds something.
type bound struct{ key, controller, file, value string }

// bounds returns what has to be written for the resources.
func bounds(r messages.Resources) (list []bound) {
	if r.Memory > 0 {
		list = append(list, bound{"resources.memory", "memory", "memory.max", strconv.FormatInt(int64(r.Memory), 10)})
	}
	if r.CPU > 0 {
		const period = 100_000 // microseconds
		list = append(list, bound{"resources.cpu", "cpu", "cpu.max",
			strconv.Itoa(int(math.Round(r.CPU*period))) + " " + strconv.Itoa(period)})
	}
	if r.Pids > 0 {
		list = append(list, bound{"resources.pids", "pids", "pids.max", strconv.Itoa(r.Pids)})
	}
	return list
}

// Controllers returns those that it takes to bound the resources.
func Controllers(r messages.Resources) (names []string) {
	for _, b := range bounds(r) {
		names = append(names, b.controller)
	}
	return names
}

// onV1 returns those of the controllers that the lines of /proc/self/cgroup show in a hierarchy of version 1: there
// they are nobody else's.
func onV1(self string, controllers []string) (found []string) {
	for line := range strings.Lines(self) {
		parts := strings.SplitN(line, ":", 3)
		if len(parts) != 3 || parts[0] == "0" {
			continue
		}
		for _, c := range strings.Split(parts[1], ",") {
			if slices.Contains(controllers, c) {
				found = append(found, c)
			}
		}
	}
	slices.Sort(found)
	return found
}
