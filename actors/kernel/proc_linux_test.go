package kernel

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestAStatOfAnyProgramNameIsRead(t *testing.T) {
	rest := " S 1 77 78 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 9 10 11 1 1 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 " +
		"0 0 0 0 0 0 0 256\n"
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.String().Draw(t, "name")
		s, err := ParseStat([]byte("42 (" + name + ")" + rest))
		require.NoError(t, err)
		require.Equal(t, Stat{State: 'S', Parent: 1, Group: 77, Session: 78, Threads: 1, Start: 987654, Bare: true,
			Status: 256, Name: name}, s)
		_, err = ParseStat([]byte(name))
		require.Error(t, err)
		_, err = ParseStat([]byte("42 (" + name + ") S 1 77 78 0"))
		require.Error(t, err, "a line that was cut")
	})
	for _, bad := range []string{"", "7", ")(", "7 (x)", "7 (x) S a b c",
		"7 (x)" + strings.Replace(rest, "987654", "x", 1)} {
		_, err := ParseStat([]byte(bad))
		require.Error(t, err, bad)
	}
}

func TestTheTableHasEveryProcessAndItsTags(t *testing.T) {
	cmd := exec.Command("sleep", "300")
	cmd.Env = []string{EnvTag + "=t", EnvInstance + "=a", EnvRun + "=7", EnvStateDir + "=/st", "PORT=x"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	var table map[int]Process
	require.Eventually(t, func() bool { // its exec takes a moment
		var err error
		table, err = Procfs("/proc").TaggedTable(t.Context())
		require.NoError(t, err)
		return table[cmd.Process.Pid].Tag != ""
	}, 10e9, 2e6)
	p := table[cmd.Process.Pid]
	require.Equal(t, Tags{Dir: "/st", Tag: "t", ID: "a", Run: 7}, p.Tags)
	require.Equal(t, []any{os.Getpid(), true, false, "sleep"}, []any{p.Parent, p.Leads(p.PID), p.Zombie(), p.Name})
	require.Contains(t, table, os.Getpid())
	require.Empty(t, table[os.Getpid()].Tag)
}

func TestWhatAProcessHasOpenIsComparedByTheFileAndNotByItsName(t *testing.T) {
	path := t.TempDir() + "/lock"
	f, err := os.Create(path)
	require.NoError(t, err)
	defer f.Close()
	pid, fd := os.Getpid(), int(f.Fd())
	has := func() bool {
		has, err := Procfs("/proc").HasOpen(pid, fd, path)
		require.NoError(t, err)
		return has
	}
	require.True(t, has())
	require.NoError(t, os.Remove(path))
	require.False(t, has(), "there is none")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	require.False(t, has(), "it is another")
	has2, err := Procfs("/proc").HasOpen(pid, 9999, path)
	require.NoError(t, err)
	require.False(t, has2)
}
