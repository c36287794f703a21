package api

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

func TestAStatusSaysWhatHasChangedSinceTheProcessWasStarted(t *testing.T) {
	dir := t.TempDir()
	app := messages.AppInstance{InstanceID: "web", Executable: filepath.Join(dir, "server"), WasmPath: "a.wasm",
		WorkDir: dir}.WithDefaults()
	for _, name := range []string{"server", "a.wasm"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o755))
	}
	w := newWorld("web")
	w.app = &app
	_, _, c := w.serve(t, nil)
	at := func(started time.Time) messages.WordList {
		w.mu.Lock()
		w.statuses["web"] = messages.Status{ID: "web", Phase: messages.Running, PID: 7, StartedAt: &started}
		w.mu.Unlock()
		one, err := c.Instance(t.Context(), "web")
		require.NoError(t, err)
		all, err := c.Instances(t.Context())
		require.NoError(t, err)
		require.Equal(t, one.Outdated, all.Instances[0].Outdated)
		return one.Outdated
	}
	require.Empty(t, at(time.Now().Add(time.Hour)))
	require.Equal(t, messages.WordList("executable wasm"), at(time.Now().Add(-time.Hour)),
		"whether restart.on_change says so or not")
	require.NoError(t, os.Remove(filepath.Join(dir, "a.wasm")))
	require.Eventually(t, func() bool { return at(time.Now().Add(-time.Hour)) == "executable" }, time.Minute,
		10*time.Millisecond)
}

func TestAFileOfManyIsLookedAtOnceASecond(t *testing.T) {
	apps := []*messages.AppInstance{nil}
	for n := range 1000 {
		app := messages.AppInstance{InstanceID: messages.InstanceID(fmt.Sprint("i", n)), Executable: "/bin/server",
			WasmPath: "a.wasm", WorkDir: "/srv"}.WithDefaults()
		apps = append(apps, &app)
	}
	other := messages.AppInstance{InstanceID: "other", Executable: "/bin/other",
		Args: []string{"-p", "{port}"}}.WithDefaults()
	apps = append(apps, &other)
	var ages fileAges
	now := time.Now()
	of := ages.unknown(now, apps)
	require.ElementsMatch(t, []fileName{{"", "/bin/server"}, {"/srv", "a.wasm"}, {"", "/bin/other"}},
		slices.Collect(maps.Keys(of)))
	ages.learn(lookAt(of))
	require.Nil(t, ages.unknown(now.Add(agesFor-1), apps))
	require.Zero(t, testing.AllocsPerRun(10, func() { ages.unknown(now.Add(agesFor-1), apps) }),
		"whoever asks again costs nothing")
	require.Len(t, ages.unknown(now.Add(agesFor), apps), 3)
}
