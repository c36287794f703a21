package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"procman/messages"
	"procman/test/fake"
)

func entries(t *testing.T, dir string) (names []string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

func TestALookTriesEverythingAndLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o700))
	output := messages.StateDir(dir).Stdout("a")
	require.NoError(t, os.MkdirAll(filepath.Dir(output), 0o700))
	require.NoError(t, os.WriteFile(output, make([]byte, 1<<16), 0o600))
	f, err := Look(t.Context(), Options{StateDir: messages.StateDir(dir), Socket: filepath.Join(dir, "s"),
		Brief: []string{"true"},
		Wants: Wants{Instances: 1, First: 30000, Last: 30010}, Children: []int{os.Getpid(), 1 << 30},
		Cgroups: func(int) Cgroups { return Cgroups{Base: "/x"} }})
	require.NoError(t, err)
	require.Equal(t, []string{"instances"}, entries(t, dir))

	require.True(t, f.Kernel.Pidfd.Works(), "procman does not run elsewhere")
	require.NotEmpty(t, f.Kernel.Release)
	require.True(t, f.Kernel.GroupSignals.Made && f.Kernel.ExitStatus.Made)
	d := f.Dir
	require.True(t, d.Exists && d.Write.Works() && d.Flock.Works() && d.Collapse.Made && d.Punch.Made, "%+v", d)
	require.Equal(t, []any{os.FileMode(0o700), os.Geteuid(), os.Geteuid()}, []any{d.Mode.Perm(), d.Owner, d.User})
	var s unix.Statfs_t
	require.NoError(t, unix.Statfs(dir, &s))
	require.Equal(t, int64(s.Type), d.Type)
	require.Positive(t, *d.FreeBytes)
	require.EqualValues(t, 1<<16, d.OutputBytes)

	require.Nil(t, f.Socket.Mode)
	require.Nil(t, f.Files.Used, "this process is not the daemon")
	require.Positive(t, *f.Files.Limit)
	require.Positive(t, *f.Tasks.Each)
	require.NotEmpty(t, f.Tasks.Limits)
	require.Positive(t, *f.Inotify.Watches)
	require.NotNil(t, f.Core)
	require.NotNil(t, f.OOM)
	require.NotEmpty(t, f.Unit.Cgroup)
	require.True(t, f.Unit.Own)
	require.NotZero(t, f.Init.PID)
	for _, x := range Examine(f) {
		if x.Check != "daemon" && x.Check != "service manager" {
			require.NotEqual(t, Unknown, x.Verdict, x)
		}
	}
}

func TestTheKernelTellsHowItsClockRuns(t *testing.T) {
	c := LookClock()
	require.NoError(t, c.Err)
	require.InDelta(t, 1, *c.Rate, 0.11, "it can be changed by a tenth")
}

func TestAMissingStateDirectoryIsNotMade(t *testing.T) {
	dir := t.TempDir()
	d := lookDir(filepath.Join(dir, "a", "b"))
	require.Equal(t, []any{false, dir, true}, []any{d.Exists, d.Looked, d.Write.Works()})
	require.Empty(t, entries(t, dir))

	require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
	require.ErrorIs(t, lookDir(filepath.Join(dir, "file")).Err, unix.ENOTDIR)
	require.ErrorIs(t, lookDir(filepath.Join(dir, "file", "below")).Err, unix.ENOTDIR)
	require.Error(t, lookDir("").Err)
}

func TestTheKernelTellsWhoAnswersAndNotTheDaemonItself(t *testing.T) {
	dir, err := os.MkdirTemp("", "pm")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	f, err := Look(t.Context(), Options{StateDir: messages.StateDir(dir), Socket: path,
		Daemon: Daemon{Answers: true, PID: 1 << 30, StateDir: dir + "/."}})
	require.NoError(t, err)
	require.Equal(t, Daemon{Answers: true, PID: os.Getpid(), Visible: true, StateDir: dir}, f.Daemon)
	require.Positive(t, *f.Files.Used)
	require.Equal(t, OK, daemon(f).Verdict)
	require.NotNil(t, f.Socket.Mode)
	require.False(t, f.Kernel.ExitStatus.Made, "there was no command for it")
}

// started returns a process that sleeps, begun by a shell after the command.
func started(t *testing.T, before string, attr *syscall.SysProcAttr) process {
	t.Helper()
	cmd := exec.Command("sh", "-c", before+"; echo ready; exec sleep 60")
	cmd.SysProcAttr = attr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	if err := cmd.Start(); errors.Is(err, unix.EPERM) {
		t.Skip("not allowed here: ", err)
	} else {
		require.NoError(t, err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	var word string
	_, err = fmt.Fscan(out, &word)
	require.NoError(t, err)
	return process(cmd.Process.Pid)
}

func TestTheLimitsAreThoseOfTheProcess(t *testing.T) {
	p := started(t, "ulimit -S -n 100; ulimit -H -n 200; ulimit -c 0", nil)
	f := p.files(true)
	require.EqualValues(t, 100, *f.Limit, "a daemon that runs has what it has")
	require.Positive(t, *f.Used)
	require.EqualValues(t, 200, *p.files(false).Limit, "one that starts raises it")
	limits, err := p.limits()
	require.NoError(t, err)
	require.Zero(t, *limits["Max core file size"].soft)
	require.Error(t, process(1<<30).files(true).Err)
}

func TestProcessOneOfANamespaceIsSeenFromOutside(t *testing.T) {
	p := started(t, ":", &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID})
	f, err := LookAdoption(t.Context(), int(p))
	require.NoError(t, err)
	require.Equal(t, 1, f.Init.PID)
	found := processOne(f)
	require.Equal(t, Fault, found.Verdict)
	require.Contains(t, found.What, "the daemon is pid 1")
}

func TestTheParentOfAnAdoptedInstanceIsItsReaper(t *testing.T) {
	p := started(t, ":", nil)
	i := lookInit(process(1), []int{1 << 30, int(p)})
	require.Equal(t, os.Getpid(), i.ReaperPID)
	require.NotEmpty(t, i.ReaperComm)
	require.Zero(t, lookInit(process(os.Getpid()), []int{int(p)}).ReaperPID, "a child of the daemon has no other")
}

// fakeSystemctl puts a program of that name before all others.
func fakeSystemctl(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, fake.Executable(filepath.Join(dir, "systemctl"), []byte("#!/bin/sh\n"+script)))
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func TestSystemdIsAskedForTheUnitAndCannotHoldUs(t *testing.T) {
	fakeSystemctl(t, `echo "KillMode=process"; echo "OOMPolicy=$*"`)
	p, err := properties(t.Context(), Unit{Name: "p.service", User: true})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"KillMode": "process",
		"OOMPolicy": "--user show -p KillMode,OOMPolicy,Type,Restart,FileDescriptorStoreMax,NotifyAccess,LimitNOFILE," +
			"LimitNOFILESoft -- p.service"}, p)
	fakeSystemctl(t, "echo 'Host is down' >&2; exit 1")
	_, err = properties(t.Context(), Unit{Name: "p.service"})
	require.ErrorContains(t, err, "Host is down")
	fakeSystemctl(t, "exec sleep 60")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = properties(ctx, Unit{Name: "p.service"})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	t.Setenv("PATH", t.TempDir())
	_, err = properties(t.Context(), Unit{Name: "p.service"})
	require.ErrorIs(t, err, exec.ErrNotFound)
}

func TestAServiceThatKillsItsInstancesIsAFault(t *testing.T) {
	cgroup := hierarchy(t) + fmt.Sprintf("/procman-test-%d.service", os.Getpid())
	if err := os.Mkdir(cgroup, 0o700); err != nil {
		t.Skip("no cgroup can be made here: ", err)
	}
	t.Cleanup(func() { require.NoError(t, os.Remove(cgroup)) })
	p := started(t, ":", nil)
	if err := os.WriteFile(cgroup+"/cgroup.procs", fmt.Append(nil, int(p)), 0o600); err != nil {
		t.Skip("no process can be put into a cgroup here: ", err)
	}
	fakeSystemctl(t, "echo KillMode=control-group; echo OOMPolicy=stop; echo FileDescriptorStoreMax=0")
	f, err := LookAdoption(t.Context(), int(p))
	require.NoError(t, err)
	found := Adoption(f)[0]
	require.Equal(t, Fault, found.Verdict, found)
	require.Contains(t, found.What, filepath.Base(cgroup))
	require.Contains(t, found.Do, "/etc/systemd/system/"+filepath.Base(cgroup)+
		".d/procman.conf:\n  [Service]\n  KillMode=process\n")
}

// hierarchy returns where the cgroups are in which systemd has its units.
func hierarchy(t *testing.T) string {
	for _, dir := range []string{"/sys/fs/cgroup/systemd", "/sys/fs/cgroup"} {
		if _, err := os.Stat(dir + "/cgroup.procs"); err == nil {
			text, err := os.ReadFile("/proc/self/cgroup")
			require.NoError(t, err)
			at, _, _ := cgroupsOf(string(text), false)
			return strings.TrimSuffix(dir+at, "/")
		}
	}
	t.Skip("no cgroups here")
	return ""
}
