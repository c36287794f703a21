package cgroup

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"procman/messages"
)

// fake is a tree on a directory, in which a new directory has the files that the kernel makes in a new cgroup.
func fake(t *testing.T, controllers string, d division) (*Tree, string) {
	t.Helper()
	mount := t.TempDir()
	base := filepath.Join(mount, d.base)
	require.NoError(t, os.MkdirAll(base, 0o755))
	fill := func(dir string) error {
		var errs []error
		for _, name := range []string{"cgroup.kill", "cgroup.procs", "cgroup.subtree_control", "memory.max", "cpu.max",
			"pids.max"} {
			errs = append(errs, os.WriteFile(filepath.Join(dir, name), nil, 0o644))
		}
		return errors.Join(errs...)
	}
	require.NoError(t, fill(base))
	require.NoError(t, os.WriteFile(filepath.Join(base, "cgroup.controllers"), []byte(controllers+"\n"), 0o644))
	fd, err := unix.Open(mount, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	require.NoError(t, err)
	tree := &Tree{division: d, mount: mount, home: filepath.Join(d.base, "procman-01234567"), dir: fd,
		log: slog.New(slog.DiscardHandler),
		on:  map[string]bool{}, left: map[messages.InstanceID][]messages.Cgroup{}}
	tree.mkdir = func(dir int, path string, mode uint32) error {
		if err := unix.Mkdirat(dir, path, mode); err != nil {
			return err
		}
		return fill(filepath.Join(mount, path))
	}
	t.Cleanup(func() { require.NoError(t, tree.Close()) })
	return tree, mount
}

func content(t *testing.T, elements ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(elements...))
	require.NoError(t, err)
	return string(text)
}

func TestTheCgroupOfARunHasItsBoundsAndNoOtherControllerIsHandedOn(t *testing.T) {
	t.Parallel()
	tree, mount := fake(t, "cpu memory pids", division{base: "/unit"})
	at, err := tree.Make("a", 1, messages.Resources{Memory: 64 << 20, CPU: 1.5})
	require.NoError(t, err)
	require.Equal(t, "/unit/procman-01234567/a@1", at)
	require.Equal(t, "67108864", content(t, mount, at, "memory.max"))
	require.Equal(t, "150000 100000", content(t, mount, at, "cpu.max"))
	require.Empty(t, content(t, mount, at, "pids.max"))
	require.Equal(t, map[string]bool{"cpu": true, "memory": true}, tree.on)
	at, err = tree.Make("a", 2, messages.Resources{})
	require.NoError(t, err)
	require.Empty(t, content(t, mount, at, "memory.max"))
	at, err = tree.Make("a", 2, messages.Resources{})
	require.NoError(t, err)
	require.Equal(t, "/unit/procman-01234567/a@2@2", at, "one that is in use is not used again")
}

func TestAHomeThatSomebodyRemovedIsMadeAgainWithItsControllers(t *testing.T) {
	t.Parallel()
	tree, mount := fake(t, "cpu memory pids", division{base: "/unit"})
	want := messages.Resources{Pids: 7}
	_, err := tree.Make("a", 1, want)
	require.NoError(t, err)
	require.NoError(t, os.RemoveAll(filepath.Join(mount, tree.home)))
	at, err := tree.Make("a", 2, want)
	require.NoError(t, err)
	require.Equal(t, "7", content(t, mount, at, "pids.max"))
	require.Equal(t, "+pids", content(t, mount, tree.home, "cgroup.subtree_control"), "handed on anew")
}

func TestWhatManagersOfOtherStateDirectoriesHaveLeftWithoutAProcessIsRemoved(t *testing.T) {
	t.Parallel()
	tree := real(t)
	require.NoError(t, tree.ready(nil))
	name := func(what string) string {
		return path.Join(tree.base, prefix+"test-"+what+"-"+filepath.Base(tree.home))
	}
	empty, young, used := name("empty"), name("young"), name("used")
	for _, at := range []string{empty, young, path.Join(young, "a@1"), used, path.Join(used, "a@1")} {
		require.NoError(t, tree.mkdir(tree.dir, tree.at(at), 0o755))
	}
	fd, group, err := tree.Enter(path.Join(used, "a@1"))
	require.NoError(t, err)
	defer func() { _ = unix.Close(fd) }()
	sleeper := exec.Command("/bin/sleep", "300")
	sleeper.SysProcAttr = &unix.SysProcAttr{UseCgroupFD: true, CgroupFD: fd}
	require.NoError(t, sleeper.Start())
	t.Cleanup(func() {
		require.NoError(t, tree.Kill(group))
		_ = sleeper.Wait() // it was killed
		require.NoError(t, tree.rmdir(young))
		require.Eventually(t, func() bool { return tree.rmdir(used) == nil }, 10*time.Second, 5*time.Millisecond)
	})
	tree.Sweep(func(string) bool { return true })
	require.NoDirExists(t, tree.full(empty))
	require.DirExists(t, tree.full(path.Join(young, "a@1")), "a process may be about to be started there")
	require.DirExists(t, tree.full(path.Join(used, "a@1")))
}

func TestABoundThatCannotBeHeldIsAStartErrorThatNamesTheControllerAndWhatToDo(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		controllers string
		d           division
		v1          []string
		want        string
		help        string
	}{
		"of the old kind": {"hugetlb", division{base: "/", root: true}, []string{"memory"},
			"resources: cannot be bounded: resources.memory: the controller memory is missing in",
			"cgroup_no_v1=memory, or leave out resources.memory"},
		"of a unit": {"cpu pids", division{base: "/u", unit: "p.service"}, nil, "the controller memory is missing in",
			"which has cpu, pids; Delegate=yes in p.service hands it on"},
		"of none": {"", division{base: "/u"}, nil, "which has none", "have the cgroups above it hand it on"},
		"in the way": {"memory", division{base: "/u", unit: "p.service", crowded: true},
			nil, "cannot hand on the controller memory, since processes are in it",
			"DelegateSubgroup=daemon in p.service (systemd 254 or later)"},
	} {
		tree, mount := fake(t, c.controllers, c.d)
		tree.v1 = c.v1
		_, err := tree.Make("a", 1, messages.Resources{Memory: 64 << 20})
		var start *messages.StartError
		require.ErrorAs(t, err, &start, name)
		require.Equal(t, messages.FaultBounds, start.Fault)
		require.False(t, start.Fault.Host(), "it is not waited for")
		require.ErrorContains(t, err, c.want, name)
		require.ErrorContains(t, err, c.help, name)
		require.NoDirExists(t, filepath.Join(mount, tree.home, "a@1"))
		at, err := tree.Make("a", 1, messages.Resources{})
		require.NoError(t, err, "a run that needs no controller has its cgroup")
		require.NotEmpty(t, at)
	}
}

func TestWhereNoCgroupCanBeMadeOnlyWhatIsToBeBoundedIsNotStarted(t *testing.T) {
	t.Parallel()
	tree, mount := fake(t, "memory", division{base: "/u"})
	tree.mkdir = func(int, string, uint32) error { return unix.EAGAIN } // cgroup.max.descendants
	at, err := tree.Make("a", 1, messages.Resources{})
	require.NoError(t, err)
	require.Empty(t, at)
	_, err = tree.Make("a", 1, messages.Resources{Memory: 64 << 20})
	require.ErrorContains(t, err, "resources.memory: "+filepath.Join(mount, "u/procman-01234567")+
		" cannot be made: resource temporarily unavailable")

	var none *Tree
	require.Error(t, none.Absent())
	require.Empty(t, none.Left("a"))
	require.NoError(t, none.Close())
	pids, err := none.Procs(messages.Cgroup{Path: "/a", ID: 1})
	require.NoError(t, err)
	require.Empty(t, pids)
}

func TestWhatTheKernelKilledForWantOfMemoryIsCounted(t *testing.T) {
	t.Parallel()
	tree, mount := fake(t, "memory", division{base: "/u"})
	at, err := tree.Make("a", 1, messages.Resources{Memory: 64 << 20})
	require.NoError(t, err)
	require.Zero(t, tree.Starved(at))
	require.NoError(t, os.WriteFile(filepath.Join(mount, at, "memory.events"),
		[]byte("low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n"), 0o644))
	require.Equal(t, 2, tree.Starved(at))
	require.NoError(t, os.WriteFile(filepath.Join(mount, at, "memory.events"),
		[]byte("low 0\nhigh 0\nmax 12\noom 0\noom_kill 1\noom_group_kill 0\n"), 0o644))
	require.Zero(t, tree.Starved(at), "it was the host that had no more")
}

// real is a tree of this host's.
func real(t *testing.T) *Tree {
	t.Helper()
	tree := Open(messages.StateDir(t.TempDir()), slog.New(slog.DiscardHandler))
	t.Cleanup(func() { require.NoError(t, tree.Close()) })
	if err := tree.Absent(); err != nil {
		t.Skipf("this host has no cgroups to divide: %v", err)
	}
	return tree
}

func TestACgroupIsKnownByItsNumberAndHeldByWhoIsInItOrBelow(t *testing.T) {
	t.Parallel()
	tree := real(t)
	at, err := tree.Make("a", 1, messages.Resources{})
	require.NoError(t, err)
	if at == "" {
		t.Skip("no cgroup can be made here")
	}
	fd, c, err := tree.Enter(at)
	require.NoError(t, err)
	require.NoError(t, unix.Close(fd))
	inner := filepath.Join(tree.mount, at, "inner")
	require.NoError(t, os.Mkdir(inner, 0o755))
	sleep := exec.Command("sleep", "300")
	in, err := os.Open(inner)
	require.NoError(t, err)
	sleep.SysProcAttr = &unix.SysProcAttr{UseCgroupFD: true, CgroupFD: int(in.Fd())}
	require.NoError(t, sleep.Start())
	require.NoError(t, in.Close())
	pids, err := tree.Procs(c)
	require.NoError(t, err)
	require.Equal(t, []int{sleep.Process.Pid}, pids)
	pids, err = tree.Procs(messages.Cgroup{Path: at, ID: c.ID + 1})
	require.NoError(t, err)
	require.Empty(t, pids, "the name is not the cgroup")

	require.False(t, tree.Vacate(c), "somebody is in it")
	tree.Remove("a", at)
	require.Equal(t, []messages.Cgroup{c}, tree.Left("a"), "who is in it keeps it")
	require.Equal(t, []messages.InstanceID{"a"}, tree.AllLeft())
	tree.Sweep(func(string) bool { return false })
	require.DirExists(t, inner)
	require.NoError(t, tree.Kill(c))
	require.Error(t, sleep.Wait())
	require.Empty(t, tree.Left("a"))
	require.Empty(t, tree.AllLeft())
	require.NoDirExists(t, filepath.Join(tree.mount, at))
	require.NoError(t, tree.Kill(c), "there is nobody")
}

func TestACgroupWithNobodyInItIsVacatedThoughAZombieOfItIsLeft(t *testing.T) {
	t.Parallel()
	tree := real(t)
	at, err := tree.Make("a", 1, messages.Resources{})
	require.NoError(t, err)
	if at == "" {
		t.Skip("no cgroup can be made here")
	}
	fd, c, err := tree.Enter(at)
	require.NoError(t, err)
	none := exec.Command("true")
	none.SysProcAttr = &unix.SysProcAttr{UseCgroupFD: true, CgroupFD: fd}
	require.NoError(t, none.Start())
	require.NoError(t, unix.Close(fd))
	require.NoError(t, unix.Waitid(unix.P_PID, none.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil))
	require.True(t, tree.Vacate(c))
	require.NoDirExists(t, filepath.Join(tree.mount, at))
	pids, err := tree.Procs(c)
	require.NoError(t, err)
	require.Empty(t, pids)
	require.NoError(t, none.Wait())
}

// TestTheKernelHoldsTheBoundsOfARun runs wherever the controllers are there.
func TestTheKernelHoldsTheBoundsOfARun(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		bounds messages.Resources
		script string
		held   func(tree *Tree, at string) int
	}{
		"memory": {messages.Resources{Memory: 32 << 20}, `x=0123456789abcdef; while :; do x=$x$x; done`,
			(*Tree).Starved},
		"cpu": {messages.Resources{CPU: 0.2}, `while :; do :; done`, counted("cpu.stat", "nr_throttled")},
		"pids": {messages.Resources{Pids: 5}, `for i in 1 2 3 4 5 6 7; do sleep 300 & done; wait`,
			counted("pids.events", "max")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tree := real(t)
			at, err := tree.Make("a", 1, c.bounds)
			if err != nil {
				t.Skipf("not here: %v", err)
			}
			fd, group, err := tree.Enter(at)
			require.NoError(t, err)
			defer func() { _ = unix.Close(fd) }()
			eater := exec.Command("/bin/sh", "-c", c.script)
			eater.SysProcAttr = &unix.SysProcAttr{UseCgroupFD: true, CgroupFD: fd}
			require.NoError(t, eater.Start())
			t.Cleanup(func() {
				require.NoError(t, tree.Kill(group))
				_ = eater.Wait() // it was killed, or could not fork
				require.Eventually(t, func() bool { return tree.rmdir(at) == nil }, 10*time.Second, 5*time.Millisecond)
			})
			require.Eventually(t, func() bool { return c.held(tree, at) > 0 }, 30*time.Second, 5*time.Millisecond)
		})
	}
}

// counted returns what reads one number of a file of a cgroup.
func counted(file, key string) func(*Tree, string) int {
	return func(tree *Tree, at string) (n int) {
		text, _ := tree.read(filepath.Join(at, file))
		for line := range strings.Lines(text) {
			_, _ = fmt.Sscanf(line, key+" %d", &n) // of another key, it is none
		}
		return n
	}
}
