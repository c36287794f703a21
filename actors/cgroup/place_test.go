package cgroup

import (
	"testing"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

func TestWhereTheHierarchyIsAndWhereThisProcessIsInIt(t *testing.T) {
	t.Parallel()
	const one = "29 22 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
	const both = "30 22 0:27 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n34 30 0:31 / /sys/fs/cgroup/memory rw - " +
		"cgroup cgroup rw,memory\n40 30 0:37 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
	for name, c := range map[string]struct {
		mounts, self string
		want         position
		err          string
	}{
		"one hierarchy": {one, "0::/system.slice/procman.service/daemon\n",
			position{"/sys/fs/cgroup", "/system.slice/procman.service/daemon"}, ""},
		"both kinds": {both, "9:name=systemd:/\n6:memory:/x\n0::/\n",
			position{"/sys/fs/cgroup/unified", "/"}, ""},
		"a container's part of it": {"29 22 0:26 /docker/12 /sys/fs/cgroup ro - cgroup2 cgroup rw\n",
			"0::/docker/12/a\n", position{"/sys/fs/cgroup", "/a"}, ""},
		"the whole of that part": {"29 22 0:26 /docker/12 /sys/fs/cgroup ro - cgroup2 cgroup rw\n", "0::/docker/12\n",
			position{"/sys/fs/cgroup", "/"}, ""},
		"another one's part": {"29 22 0:26 /docker/12 /sys/fs/cgroup ro - cgroup2 cgroup rw\n",
			"0::/docker/123\n", position{}, "no hierarchy of cgroups v2 is mounted"},
		"a blank in its name": {`29 22 0:26 / /my\040cgroups rw - cgroup2 cgroup2 rw` + "\n", "0::/a\n",
			position{"/my cgroups", "/a"}, ""},
		"outside of the namespace": {one, "0::/../other\n", position{}, "no hierarchy"},
		"the old kind alone": {"34 30 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
			"6:memory:/x\n", position{}, "this process is in no cgroup v2"},
		"garbage": {"a b\n\n - \n", "0::/a\n", position{}, "no hierarchy"},
	} {
		got, err := locate(c.mounts, c.self)
		if c.err != "" {
			require.ErrorContains(t, err, c.err, name)
			continue
		}
		require.NoError(t, err, name)
		require.Equal(t, c.want, got, name)
	}
}

func TestWhatMayBeDivided(t *testing.T) {
	t.Parallel()
	const unit = "/system.slice/procman.service"
	for name, c := range map[string]struct {
		own       string
		user      int
		delegated string
		want      division
		err       string
	}{
		"a delegated unit with a subgroup for the daemon": {unit + "/daemon", 0, unit,
			division{base: unit, unit: "procman.service"}, ""},
		"one without: nothing can be handed on": {unit, 0, unit,
			division{base: unit, unit: "procman.service", crowded: true}, ""},
		"a user's": {"/user.slice/u.service/app.slice/p.service/daemon",
			1000, "/user.slice/u.service/app.slice/p.service",
			division{base: "/user.slice/u.service/app.slice/p.service", unit: "p.service"}, ""},
		"a unit that is systemd's": {unit, 0, "", division{},
			"the cgroup of procman.service is not delegated to it; Delegate=yes and DelegateSubgroup=daemon in the " +
				"unit do that"},
		"a session": {"/user.slice/session-3.scope", 0, "", division{},
			"the cgroup of session-3.scope is not delegated"},
		"the root, by root":      {"/", 0, "", division{base: "/", root: true}, ""},
		"a container's, by root": {"/box", 0, "", division{base: "/box", crowded: true}, ""},
		"nobody's, by another user": {"/box", 1000, "", division{},
			"the cgroup /box is not delegated to user 1000"},
		"moved by an earlier program": {"/box/procman-01234567/daemon", 0, "",
			division{base: "/box"}, ""},
	} {
		got, err := divide(c.own, c.user, func(p string) bool { return p == c.delegated },
			func(p string) bool { return p == "/" })
		if c.err != "" {
			require.ErrorContains(t, err, c.err, name)
			continue
		}
		require.NoError(t, err, name)
		require.Equal(t, c.want, got, name)
	}
}

func TestWhatIsWrittenForResources(t *testing.T) {
	t.Parallel()
	require.Empty(t, bounds(messages.Resources{}))
	require.Equal(t, []bound{
		{"resources.memory", "memory", "memory.max", "536870912"}, {"resources.cpu", "cpu", "cpu.max", "50000 100000"},
		{"resources.pids", "pids", "pids.max", "7"},
	}, bounds(messages.Resources{Memory: 512 << 20, CPU: 0.5, Pids: 7}))
	require.Equal(t, "1000 100000", bounds(messages.Resources{CPU: 0.01})[0].value, "the least that the kernel takes")
	require.Equal(t, []string{"cpu", "memory"}, onV1("4:memory:/\n2:cpu,cpuacct:/\n0::/\n7:pidsx:/\nx\n",
		[]string{"cpu", "memory", "pids"}))
}
