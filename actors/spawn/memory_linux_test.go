package spawn

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"procman/actors"
	"procman/actors/record"
	"procman/messages"
)

func recalled(t testing.TB, s *Spawner) []messages.Memory {
	t.Helper()
	all, err := s.Recall(t.Context())
	require.NoError(t, err)
	return all
}

// fullMemory has no field at its zero value but Rebooted, which the reader sets.
func fullMemory(t testing.TB) messages.Memory {
	now := time.Now()
	m := messages.Memory{
		ID: "a", Run: 4, Exited: true, Spec: "spec", Rule: "rule", Starts: 3, Counted: true,
		Stop: messages.StopPolicy{Grace: time.Second, Leftovers: messages.LeftoversLeave, Signal: "QUIT"}, Attempts: 2,
		Phase: messages.Backoff, Reason: "why",
		DueAt: now.Add(time.Minute), HealthySince: now.Add(-time.Hour), StopAs: messages.ReasonChanged,
		KillAt: now.Add(time.Second), Held: true,
		HeldBy: "uid 1000", HeldAt: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC),
		LastExit: &messages.Exit{Code: -1, Signal: "SEGV", Known: true, At: now.Add(-time.Second),
			Reason: messages.ReasonSignal},
	}
	v := reflect.ValueOf(m)
	for n := range v.NumField() {
		if name := v.Type().Field(n).Name; name != "Rebooted" {
			require.False(t, v.Field(n).IsZero(), name)
		}
	}
	for _, f := range messages.Fields() {
		if section, _ := f.Section(); section == "stop" {
			require.False(t, reflect.ValueOf(f.At(&messages.AppInstance{Stop: m.Stop})).Elem().IsZero(), f.Key)
		}
	}
	return m
}

// equalMemories compares memories whose times went through two readings of the clock.
func equalMemories(t testing.TB, want, got messages.Memory) {
	t.Helper()
	for _, pair := range [][2]*time.Time{{&want.DueAt, &got.DueAt}, {&want.HealthySince, &got.HealthySince},
		{&want.KillAt, &got.KillAt}} {
		require.WithinDuration(t, *pair[0], *pair[1], 500*time.Millisecond)
		*pair[0] = *pair[1]
	}
	if want.LastExit != nil && got.LastExit != nil {
		w, g := *want.LastExit, *got.LastExit
		require.WithinDuration(t, w.At, g.At, 500*time.Millisecond)
		w.At = g.At
		want.LastExit, got.LastExit = &w, &g
	}
	require.Equal(t, want, got)
}

func TestEverythingThatIsRememberedIsRecalled(t *testing.T) {
	t.Parallel()
	dir := stateDir(t)
	m := fullMemory(t)
	predecessor(t, "manager", order{Dir: dir, Remember: []messages.Memory{m}}).kill()
	s := opened(t, dir)
	all := recalled(t, s)
	require.Len(t, all, 1)
	require.NotZero(t, all[0].DueAt)
	// The predecessor read the times from JSON, so it had them by the wall clock.
	equalMemories(t, m, all[0])

	require.NoError(t, s.Remember(messages.Memory{ID: "b"}))
	require.NoError(t, s.Remember(messages.Memory{ID: "a", Run: 5}))
	require.Equal(t, []messages.Memory{{ID: "a", Run: 5}, {ID: "b"}}, recalled(t, s))
	require.Error(t, s.Remember(messages.Memory{ID: "../c"}))
}

func TestMemoriesOfAnyShapeAreRecalled(t *testing.T) {
	t.Parallel() // it waits
	s := opened(t, stateDir(t))
	rapid.Check(t, func(r *rapid.T) {
		m := messages.Memory{
			ID:  messages.InstanceID(rapid.StringMatching(`[a-z]`).Draw(r, "id")),
			Run: rapid.Int().Draw(r, "run"), Reason: strings.ToValidUTF8(rapid.String().Draw(r, "reason"), "?"),
			Held: rapid.IntRange(0, 20).Draw(r, "held") == 0,
		}
		if rapid.Bool().Draw(r, "due") {
			m.DueAt = time.Now().Add(time.Duration(rapid.Int64Range(-1e18, 1e18).Draw(r, "in")))
		}
		if err := s.Remember(m); err != nil {
			r.Fatal(err)
		}
		for _, got := range recalled(t, s) {
			if got.ID == m.ID {
				equalMemories(t, m, got)
				return
			}
		}
		r.Fatal("it is forgotten")
	})
}

func TestTimesOfAnotherBootAreForgotten(t *testing.T) {
	t.Parallel()
	dir := stateDir(t)
	s := openedWith(t, dir, Options{BootID: func() string { return "before" }})
	m := fullMemory(t)
	require.NoError(t, s.Remember(m))
	require.False(t, recalled(t, s)[0].Rebooted)
	require.NoError(t, s.Close())
	m.DueAt, m.HealthySince, m.KillAt, m.LastExit.At, m.Rebooted = time.Time{}, time.Time{}, time.Time{},
		time.Time{}, true
	require.Equal(t, m, recalled(t, opened(t, dir))[0])
}

func TestADamagedMemoryIsReportedAndTheOthersAreRecalled(t *testing.T) {
	t.Parallel()
	dir := stateDir(t)
	s := opened(t, dir)
	m := fullMemory(t)
	require.NoError(t, s.Remember(m))
	m.ID = "b"
	require.NoError(t, s.Remember(m))
	path := dir.Memory("a")
	good, err := os.ReadFile(path)
	require.NoError(t, err)
	bad := map[string]func(){
		"empty":     func() { write(t, path, "") },
		"NULs":      func() { write(t, path, strings.Repeat("\x00", len(good))) },
		"newer":     func() { write(t, path, `{"schema":99,"body":{}}`) },
		"another's": func() { other, _ := os.ReadFile(dir.Memory("b")); write(t, path, string(other)) },
		"no memory": func() {
			sealed, _ := record.Seal(runKind, memoryRecord{ID: "a"})
			write(t, path,
				string(sealed))
		},
		"wrong type": func() {
			sealed, _ := record.Seal(memoryKind, map[string]any{"run": "x"})
			write(t, path, string(sealed))
		},
		"a fifo": func() { os.Remove(path); unix.Mkfifo(path, 0o600) },
	}
	for n := range good {
		bad["cut at "+string(rune('0'+n%10))+" "+time.Duration(n).String()] = func() {
			write(t, path, string(good[:n]))
		}
	}
	for name, spoil := range bad {
		require.NoError(t, os.RemoveAll(path))
		spoil()
		all, err := s.Recall(t.Context())
		require.Error(t, err, name)
		require.Contains(t, err.Error(), path, name)
		require.Len(t, all, 1, name)
		require.Equal(t, messages.InstanceID("b"), all[0].ID, name)
	}
	require.NoError(t, os.RemoveAll(path))
	require.NoError(t, s.Remember(messages.Memory{ID: "a"}), "it is replaced by the next")
	require.Len(t, recalled(t, s), 2)
}

func TestAHoldIsKnownToBeOnDisk(t *testing.T) {
	t.Parallel()
	dir := stateDir(t)
	s := opened(t, dir)
	require.NoError(t, s.Remember(messages.Memory{ID: "a", Held: true}))
	require.NoError(t, s.Close())
	s = opened(t, dir)
	require.True(t, s.wasHeld(s.instance("a")), "so that its end will be synced too")
	require.False(t, s.wasHeld(s.instance("b")))
}

func TestAnExpungedInstanceIsForgottenButForItsOutput(t *testing.T) {
	t.Parallel()
	dir := stateDir(t)
	s := opened(t, dir)
	require.NoError(t, s.Expunge("a"), "nothing to forget")
	spawned(t, s, shell("echo kept")).Wait()
	require.NoError(t, s.Remember(fullMemory(t)))
	require.NoError(t, s.Expunge("a"))
	require.Empty(t, recalled(t, s))
	require.Empty(t, survivors(t, s))
	_, err := s.Adopt(t.Context(), "a", actors.AnyRun)
	require.ErrorIs(t, err, messages.ErrNoRun)
	require.Equal(t, "kept\n", output(t, s))

	p := spawned(t, s, sleeper("a"))
	require.NoError(t, s.Expunge("a"))
	require.FileExists(t, dir.Run("a"), "the record of a live process stays")
	require.Equal(t, p.PID(), survivors(t, s)["a"].PID)
}

// It holds the lock and shows nothing: what the lock says is all that tells of which run it is.
func TestAHelperWithTheLockOfAnExpungedInstanceIsInNobodysWay(t *testing.T) {
	t.Parallel()
	dir := stateDir(t)
	s := opened(t, dir)
	p := spawned(t, s, shell(`env -i setsid /bin/sh -c 'echo $$; exec sleep 300' & sleep 0.2`))
	p.Wait()
	var helper int
	_, err := fmt.Sscan(output(t, s), &helper)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, syscall.Kill(helper, syscall.SIGKILL)) })
	require.True(t, alive(helper))
	require.False(t, s.unlocked("a"))
	require.NoError(t, s.Expunge("a"))
	require.NoError(t, s.Clear(t.Context(), sleeper("a")))
	again := spawned(t, s, sleeper("a"))
	require.NotEqual(t, helper, again.PID())
	require.Equal(t, again.PID(), survivors(t, s)["a"].PID)
	require.True(t, alive(helper), "it is nobody's")
}

// The wall clock is set by a year, there or back, while no manager runs: what was due in a minute is due in a minute.
func TestARecordOutlivesAStepOfTheWallClock(t *testing.T) {
	t.Parallel()
	wrote := readClock()
	record := memorize(messages.Memory{ID: "a", DueAt: wrote.now.Add(time.Minute),
		HealthySince: wrote.now.Add(-time.Hour), KillAt: wrote.now.Add(3 * time.Second)}, "boot", wrote)
	for _, step := range []time.Duration{365 * 24 * time.Hour, -365 * 24 * time.Hour} {
		read := clock{now: wrote.now.Round(0).Add(step + 10*time.Second), mono: wrote.mono + int64(10*time.Second)}
		m := record.recall("boot", read)
		require.Equal(t, 50*time.Second, m.DueAt.Sub(read.now))
		require.Equal(t, -time.Hour-10*time.Second, m.HealthySince.Sub(read.now))
		require.Equal(t, -7*time.Second, m.KillAt.Sub(read.now))
	}
}

// F127: every instance was told to have failed.
func TestAContainerThatWasStartedAgainIsAnotherBootThoughTheBootIDIsTheHosts(t *testing.T) {
	t.Parallel()
	s := opened(t, messages.StateDir(t.TempDir()))
	require.NoError(t, s.Remember(fullMemory(t)))
	require.False(t, recalled(t, s)[0].Rebooted)
	r, err := s.readMemory("a")
	require.NoError(t, err)
	require.NotZero(t, r.Init)
	init := r.Init
	for _, c := range []struct {
		init     uint64
		rebooted bool
	}{{init + 1, true}, {0, false}, {init, false}} { // 0: an older procman has written it
		r.Init = c.init
		require.NoError(t, record.Stage(s.dir.Memory("a"), memoryKind, r, false))
		require.NoError(t, record.Commit(s.dir.Memory("a"), false))
		require.Equal(t, c.rebooted, recalled(t, s)[0].Rebooted)
	}
}

// What earlier versions wrote and read: an upgrade and the way back lose nothing.
func TestAMemoryIsOnDiskAsItAlwaysWas(t *testing.T) {
	t.Parallel()
	const fixed = `{"instance":"a","boot_id":"boot","run":4,"exited":true,"spec_hash":"spec","restart_hash":"rule","starts":3,"counted":true,` +
		`"grace_ns":1000000000,"leftovers":"leave","stop_signal":"QUIT","attempts":2,"phase":"backoff","reason":"why","due_ns":7,"healthy_since_ns":7,"stop_as":"changed",` +
		`"kill_ns":7,"held":true,"held_by":"uid 1000","held_at":"2026-01-02T03:04:05.000000006Z",` +
		`"last_exit":{"code":-1,"signal":"SEGV","known":true,"at_ns":7,"reason":"signal"}}`
	c := clock{now: time.Now(), mono: 7}
	m := fullMemory(t)
	m.DueAt, m.HealthySince, m.KillAt, m.LastExit.At = c.now, c.now, c.now, c.now
	text, err := json.Marshal(memorize(m, "boot", c))
	require.NoError(t, err)
	require.Equal(t, fixed, string(text))
	var r memoryRecord
	require.NoError(t, json.Unmarshal([]byte(fixed), &r))
	require.Equal(t, m, r.recall("boot", c))

	m.Stop.Signal = "TERM" // as it is without being said: on disk it is as before there was a choice
	before := strings.Replace(fixed, `"stop_signal":"QUIT",`, "", 1)
	text, err = json.Marshal(memorize(m, "boot", c))
	require.NoError(t, err)
	require.Equal(t, before, string(text))
	r = memoryRecord{}
	require.NoError(t, json.Unmarshal([]byte(before), &r))
	require.Equal(t, m, r.recall("boot", c), "and nothing is written anew for it")
}
