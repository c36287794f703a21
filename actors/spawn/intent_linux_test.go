package spawn

import (
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/actors/kernel"
	"procman/actors/record"
	"procman/messages"
)

// TestAProcessWhoseManagerDiedBeforeItWasOnRecordIsFoundThoughItShowsNothing: the manager died between fork and record,
// and the process has wiped its environment and closed the lock. The intent is all that was written.
func TestAProcessWhoseManagerDiedBeforeItWasOnRecordIsFoundThoughItShowsNothing(t *testing.T) {
	t.Parallel()
	for name, sure := range map[string]bool{"its command line is that of the start": true,
		"it shows another command line": false} {
		t.Run(name, func(t *testing.T) {
			dir := stateDir(t)
			pid := orphanedAs(t, dir, bare("3>&-"))
			line, err := kernel.Procfs("/proc").CommandLine(pid)
			require.NoError(t, err)
			args := []string{"another"}
			if sure {
				args = line
			}
			forgetAllButTheIntent(t, dir, args)

			s := opened(t, dir)
			v := survivors(t, s)["a"]
			require.True(t, v.Alive)
			require.Equal(t, []any{pid, 7}, []any{v.PID, v.Run})
			if sure {
				require.Empty(t, v.Unclear)
				require.Equal(t, pid, adopted(t, s).PID())
				return
			}
			require.Contains(t, v.Unclear, "shows another command line")
			_, err = s.Spawn(t.Context(), messages.Launch{App: bare(""), Run: 8, Port: 30008})
			require.Error(t, err, "nothing is started in its place")
			require.True(t, alive(pid))
		})
	}
}

// forgetAllButTheIntent leaves of instance "a" what there is before the fork.
func forgetAllButTheIntent(t testing.TB, dir messages.StateDir, args []string) {
	t.Helper()
	text, err := os.ReadFile(dir.InstanceLock("a"))
	require.NoError(t, err)
	var r runRecord
	require.NoError(t, record.Unseal(lockKind, text, &r))
	r.PID, r.Start, r.Args = 0, 0, hashOf(args)
	r.Started = readClock().stamp(time.Now().Add(-time.Minute))
	text, err = record.Seal(lockKind, r)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(dir.InstanceLock("a"), text, 0o600))
	require.NoError(t, os.Remove(dir.Run("a")))
}

// workerOf returns the process that the leader of a session has started.
func workerOf(t *testing.T, leader int) (worker int) {
	t.Helper()
	eventually(t, "it has a worker", func() bool {
		table, err := kernel.Procfs("/proc").Table(t.Context())
		require.NoError(t, err)
		for pid, p := range table {
			if p.Session == leader && pid != leader && p.Name == "sleep" {
				worker = pid
			}
		}
		return worker != 0
	})
	endAfter(t, worker)
	return worker
}

// TestWhatLivesOfARunOfWhichOnlyTheIntentIsKnownBelongsToIt: its first process has ended too, and what it had started
// shows and holds nothing.
func TestWhatLivesOfARunOfWhichOnlyTheIntentIsKnownBelongsToIt(t *testing.T) {
	t.Parallel()
	dir := stateDir(t)
	leader := orphanedAs(t, dir, shell("env -i sleep 300 3>&- & exec env -i sleep 300 3>&-"))
	worker := workerOf(t, leader)
	forgetAllButTheIntent(t, dir, []string{"whatever"})
	require.NoError(t, syscall.Kill(leader, syscall.SIGKILL))
	eventually(t, "it is gone", func() bool { return !alive(leader) })

	s := opened(t, dir)
	v := survivors(t, s)["a"]
	require.Equal(t, []any{true, true, 7}, []any{v.Alive, v.Outlived, v.Run})
	p := adopted(t, s)
	require.NoError(t, p.Signal(syscall.SIGKILL, messages.LeftoversEnd))
	eventually(t, "the worker is ended with its run", func() bool { return !alive(worker) })
}

// TestAStartInDoubtIsNotTheRunOnRecordBeforeIt: of the run before there is a record, with how it ended. Once the
// process in doubt has ended, what it had started still belongs to its own run.
func TestAStartInDoubtIsNotTheRunOnRecordBeforeIt(t *testing.T) {
	t.Parallel()
	dir := stateDir(t)
	leader := orphanedAs(t, dir, shell("env -i sleep 300 3>&- & exec env -i sleep 300 3>&-"))
	worker := workerOf(t, leader)
	forgetAllButTheIntent(t, dir, []string{"another"})
	before := runRecord{ID: "a", Run: 6, PID: 1, Tag: newTag(),
		Exit: readClock().exitRecord(messages.Exit{Known: true})}
	text, err := os.ReadFile(dir.InstanceLock("a"))
	require.NoError(t, err)
	before.Boot = lockRecord(text, "a").Boot
	require.NoError(t, record.Stage(dir.Run("a"), runKind, before, false))
	require.NoError(t, record.Commit(dir.Run("a"), false))

	s := opened(t, dir)
	v := survivors(t, s)["a"]
	require.Equal(t, []any{true, 7}, []any{v.Alive, v.Run})
	require.Contains(t, v.Unclear, "shows another command line")
	require.NoError(t, syscall.Kill(leader, syscall.SIGKILL))
	eventually(t, "it is gone", func() bool { return !alive(leader) })
	p, err := s.Adopt(t.Context(), "a", 7)
	require.NoError(t, err)
	require.Equal(t, 7, p.Run())
	require.NoError(t, p.Signal(syscall.SIGKILL, messages.LeftoversEnd))
	eventually(t, "the worker is ended with its run", func() bool { return !alive(worker) })
	require.False(t, p.Wait().Known, "how it ended is not how the one before did")
}

// TestARunOfWhichNothingButTheIntentIsLeftHasEndedAndItsNumberIsGivenToNobodyElse: the process ended before the next
// manager came. That it never was cannot be told apart from that.
func TestARunOfWhichNothingButTheIntentIsLeftHasEndedAndItsNumberIsGivenToNobodyElse(t *testing.T) {
	t.Parallel()
	dir := stateDir(t)
	s := opened(t, dir)
	app := bare("")
	text, err := record.Seal(lockKind, s.intent(messages.Launch{App: app, Run: 7, Port: 30007}, []string{"x"}))
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(dir.Instance("a"), 0o700))
	require.NoError(t, os.WriteFile(dir.InstanceLock("a"), text, 0o600))
	v, found := survivors(t, s)["a"]
	require.True(t, found)
	require.False(t, v.Alive)
	require.Equal(t, 7, v.Run)
	require.Equal(t, app.SpecHash(), v.SpecHash)
	require.False(t, v.Exit.Known, "nobody knows how")
}
