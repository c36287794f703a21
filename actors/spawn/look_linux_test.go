package spawn

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/actors/kernel"
	"procman/actors/record"
	"procman/messages"
)

// footprint is every file below the directory with all that a change of it would change.
func footprint(t testing.TB, dir messages.StateDir) map[string]string {
	t.Helper()
	files := map[string]string{}
	require.NoError(t, filepath.WalkDir(string(dir), func(path string, d fs.DirEntry, err error) error {
		require.NoError(t, err)
		info, err := d.Info()
		require.NoError(t, err)
		files[path] = info.Mode().String() + info.ModTime().String()
		if info.Mode().IsRegular() {
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			files[path] += string(text)
		}
		return nil
	}))
	return files
}

// looked returns what a look tells of the instance "a", which must change nothing.
func looked(t testing.TB, dir messages.StateDir) Trace {
	t.Helper()
	before := footprint(t, dir)
	traces, err := Look(t.Context(), dir)
	require.NoError(t, err)
	require.Equal(t, before, footprint(t, dir), "it only looks")
	require.Len(t, traces, 1)
	require.Equal(t, messages.InstanceID("a"), traces[0].ID)
	return traces[0]
}

func TestALookTellsWhatTheNextManagerWillFind(t *testing.T) {
	t.Parallel()
	dir := stateDir(t)
	m := fullMemory(t)
	app := sleeper("a")
	p := predecessor(t, "manager", order{Dir: dir, Launches: []messages.Launch{{App: app, Run: 7, Port: 30007}},
		Remember: []messages.Memory{m}})
	withManager := looked(t, dir)
	require.Equal(t, p.cmd.Process.Pid, Owner(dir))
	p.kill()
	require.Zero(t, Owner(dir))
	trace := looked(t, dir)
	require.WithinDuration(t, withManager.Survivor.StartedAt, trace.Survivor.StartedAt, 500*time.Millisecond)
	require.Equal(t, []any{true, p.pids[0], 7, 30007, app.SpecHash()},
		[]any{trace.Survivor.Alive, trace.Survivor.PID, trace.Survivor.Run, trace.Survivor.Port,
			trace.Survivor.SpecHash})
	equalMemories(t, m, *trace.Memory)

	found := survivors(t, opened(t, dir))["a"]
	require.WithinDuration(t, found.StartedAt, trace.Survivor.StartedAt, 500*time.Millisecond)
	found.StartedAt = trace.Survivor.StartedAt
	require.Equal(t, found, *trace.Survivor)
}

func TestALookTellsOfAProcessThatHasEnded(t *testing.T) {
	t.Parallel()
	dir := stateDir(t)
	pid := orphaned(t, dir, sleeper("a"))
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	eventually(t, "it has ended", func() bool { return !alive(pid) })
	v := looked(t, dir).Survivor
	require.Equal(t, []any{false, 7}, []any{v.Alive, v.Run})
	if v.Exit.Known { // nobody has reaped it yet
		require.Equal(t, "KILL", v.Exit.Signal)
	} else {
		require.Equal(t, messages.ReasonUnknown, v.Exit.Unasked())
	}
}

func TestALookReadsTheStatusOfAZombie(t *testing.T) {
	t.Parallel()
	dir := stateDir(t)
	s := opened(t, dir)
	spawned(t, s, sleeper("a"))
	require.NoError(t, s.Close())
	cmd := exec.Command("sh", "-c", "exit 7")
	require.NoError(t, cmd.Start())
	eventually(t, "it is a zombie", func() bool { return !alive(cmd.Process.Pid) })
	st, err := kernel.Procfs("/proc").Stat(cmd.Process.Pid)
	require.NoError(t, err)
	live := survivorPID(t, dir)
	rewrite(t, dir, func(r *runRecord) { r.PID, r.Start = cmd.Process.Pid, st.Start })
	require.NoError(t, syscall.Kill(live, syscall.SIGKILL))
	_, err = syscall.Wait4(live, nil, 0, nil)
	require.NoError(t, err)
	v := looked(t, dir).Survivor
	require.Equal(t, []any{false, 7, true}, []any{v.Alive, v.Exit.Code, v.Exit.Known})
	require.Error(t, cmd.Wait())
}

func survivorPID(t testing.TB, dir messages.StateDir) int {
	v := looked(t, dir).Survivor
	require.True(t, v.Alive)
	return v.PID
}

func TestALookFindsAProcessWithoutItsRecord(t *testing.T) {
	t.Parallel()
	dir := stateDir(t)
	pid := orphaned(t, dir, sleeper("a"))
	require.NoError(t, os.Truncate(dir.Run("a"), 50))
	traces, err := Look(t.Context(), dir)
	require.ErrorIs(t, err, record.ErrDamaged)
	require.Len(t, traces, 1)
	require.Equal(t, []any{true, pid, 30007}, []any{traces[0].Survivor.Alive, traces[0].Survivor.PID,
		traces[0].Survivor.Port})
	require.NoError(t, os.RemoveAll(dir.Instances()))
	require.Equal(t, pid, looked(t, dir).Survivor.PID)
}

func TestALookTakesNoStrangerForAnInstance(t *testing.T) {
	t.Parallel()
	dir := stateDir(t)
	pid := orphaned(t, dir, sleeper("a"))
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	bystander := exec.Command("sleep", "60")
	require.NoError(t, bystander.Start())
	t.Cleanup(func() { _ = bystander.Process.Kill(); _ = bystander.Wait() })
	eventually(t, "it has ended", func() bool { return !alive(pid) })
	rewrite(t, dir, func(r *runRecord) { r.PID = bystander.Process.Pid })
	v := looked(t, dir).Survivor
	require.Equal(t, []any{false, false}, []any{v.Alive, v.Exit.Known})
}

func TestALookCreatesNoDirectory(t *testing.T) {
	t.Parallel()
	dir := messages.StateDir(t.TempDir() + "/none")
	_, err := Look(t.Context(), dir)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NoDirExists(t, string(dir))
	require.Zero(t, Owner(dir))
	require.NoError(t, os.Mkdir(string(dir), 0o700))
	traces, err := Look(t.Context(), dir)
	require.NoError(t, err)
	require.Empty(t, traces)
	require.Len(t, footprint(t, dir), 1, "the directory itself and nothing in it")
}
