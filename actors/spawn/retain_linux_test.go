package spawn

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"procman/actors"
	"procman/actors/kernel"
	"procman/messages"
)

func none(messages.InstanceID) bool { return false }

func discard(t testing.TB, s *Spawner, id messages.InstanceID) error {
	return s.Discard(t.Context(), []messages.InstanceID{id})[id]
}

// left returns the error of a Discard that has kept the directory.
func left(t testing.TB, s *Spawner) string {
	t.Helper()
	var kept *messages.KeptError
	require.ErrorAs(t, discard(t, s, "a"), &kept)
	require.DirExists(t, s.dir.Instance("a"))
	return kept.Why
}

func TestOnlyWhatNobodyNeedsIsDiscarded(t *testing.T) {
	t.Parallel()
	s := opened(t, stateDir(t))
	p := spawned(t, s, shell("echo said; exec sleep 300"))
	require.Contains(t, left(t, s), "lives")
	require.NoError(t, p.Signal(9, messages.LeftoversEnd))
	p.Wait()
	eventually(t, "its end is on record",
		func() bool { r, err := s.readRun("a"); return err == nil && r != nil && r.Exit != nil })
	require.NoError(t, s.Remember(messages.Memory{ID: "a", Held: true}))
	require.Contains(t, left(t, s), "a hold", "a hold outlives the absence of what it holds")
	archived, err := s.Archived(none)
	require.NoError(t, err)
	require.Empty(t, archived)

	require.NoError(t, s.Expunge("a"))
	archived, err = s.Archived(none)
	require.NoError(t, err)
	require.Contains(t, archived, messages.InstanceID("a"))
	archived, err = s.Archived(func(id messages.InstanceID) bool { return id == "a" })
	require.NoError(t, err)
	require.Empty(t, archived, "it is in the list again")

	own := filepath.Join(s.dir.Instance("a"), "app.db")
	require.NoError(t, os.WriteFile(own, nil, 0o600))
	require.Contains(t, left(t, s), own)
	require.NoError(t, os.Remove(own))
	require.NoError(t, discard(t, s, "a"))
	require.NoDirExists(t, s.dir.Instance("a"))
	require.NoError(t, discard(t, s, "a"), "it is gone")
	require.NotNil(t, spawned(t, s, sleeper("a")), "and may come back")
}

func TestWhatWritesThereStillIsAProcessOfTheInstance(t *testing.T) {
	t.Parallel()
	s := opened(t, stateDir(t))
	spawned(t, s, shell("true")).Wait()
	eventually(t, "its end is on record",
		func() bool { r, err := s.readRun("a"); return err == nil && r != nil && r.Exit != nil })
	require.NoError(t, s.Expunge("a"))
	for _, c := range []struct {
		flag int
		why  string
	}{{os.O_WRONLY | os.O_APPEND, "write there"}, {os.O_RDONLY, ""}} {
		file, err := os.OpenFile(s.dir.Stdout("a"), c.flag, 0)
		require.NoError(t, err)
		helper := exec.Command("sleep", "300")
		helper.Stdout = file
		require.NoError(t, helper.Start())
		require.NoError(t, file.Close())
		if c.why != "" {
			require.Contains(t, left(t, s), c.why)
		} else {
			require.NoError(t, discard(t, s, "a"), "who reads keeps nothing")
		}
		require.NoError(t, helper.Process.Kill())
		_ = helper.Wait()
	}
}

func TestAHelperThatARunLeftKeepsItsDirectory(t *testing.T) {
	t.Parallel()
	s := opened(t, stateDir(t))
	p, err := s.Spawn(t.Context(), messages.Launch{App: shell("setsid sleep 300 & sleep 0.2"), Run: 1, Port: 30001})
	require.NoError(t, err)
	p.Wait()
	require.NoError(t, s.Expunge("a"))
	require.Contains(t, left(t, s), "lives")
	helpers := tagged(t, s.dir)
	require.NotEmpty(t, helpers)
	again, err := s.Adopt(t.Context(), "a", actors.AnyRun)
	if err == nil {
		require.NoError(t, again.Signal(9, messages.LeftoversEnd))
	}
	require.NoError(t, p.Signal(9, messages.LeftoversEnd))
	eventually(t, "nobody lives", func() bool { // who is dying shows no tag any more, and lives
		return len(tagged(t, s.dir)) == 0 && !slices.ContainsFunc(helpers,
			func(p kernel.Process) bool { return alive(p.PID) })
	})
	require.NoError(t, discard(t, s, "a"))
}

func TestManyAreDiscardedByOneLookAtTheProcesses(t *testing.T) {
	t.Parallel()
	s := opened(t, stateDir(t))
	var ids []messages.InstanceID
	for n := range 20 {
		app := shell("true")
		app.InstanceID = messages.InstanceID(fmt.Sprint("a", n))
		p, err := s.Spawn(t.Context(), messages.Launch{App: app, Run: 1, Port: 30001})
		require.NoError(t, err)
		p.Wait()
		eventually(t, "its end is on record",
			func() bool { r, err := s.readRun(app.InstanceID); return err == nil && r != nil && r.Exit != nil })
		require.NoError(t, s.Expunge(app.InstanceID))
		ids = append(ids, app.InstanceID)
	}
	file, err := os.OpenFile(s.dir.Stdout("a7"), os.O_WRONLY|os.O_APPEND, 0)
	require.NoError(t, err)
	helper := exec.Command("sleep", "300")
	helper.Stdout = file
	require.NoError(t, helper.Start())
	require.NoError(t, file.Close())
	defer func() { _, _ = helper.Process.Kill(), helper.Wait() }()
	read, readings := s.readings.read, 0
	s.readings.read = func() error { readings++; return read() }

	failed := s.Discard(t.Context(), append(ids, "../b"))
	require.Equal(t, 1, readings)
	var kept *messages.KeptError
	require.ErrorAs(t, failed["a7"], &kept)
	require.Equal(t, fmt.Sprintf("the processes [%d] write there", helper.Process.Pid), kept.Why)
	require.Error(t, failed["../b"])
	require.Len(t, failed, 2)
	for _, id := range ids {
		if id != "a7" {
			require.NoDirExists(t, s.dir.Instance(id))
		}
	}
}
