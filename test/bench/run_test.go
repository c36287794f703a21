package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"procman/test/fake"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// quick is a run that shows that everything can be measured, not what it is.
var quick = []string{"-n", "3", "-rounds", "1", "-settle", "50ms", "-idle", "200ms", "-crash", "500ms", "-flood",
	"100ms", "-kills", "3", "-hang", "20"}

// places are where a run puts what it needs; the second has a short name, for a socket lies there.
func places(t *testing.T) (dir, files string) {
	dir = t.TempDir()
	files, err := os.MkdirTemp("", "b-")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(files)) })
	t.Setenv("TMPDIR", files)
	return dir, files
}

func TestEveryMeasureIsTakenOfRealProcessesAndNothingIsLeftOfThem(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc")
	}
	dir, files := places(t)
	var out, progress bytes.Buffer
	require.NoError(t, run(context.Background(), append([]string{"-json", "-dir", dir}, quick...), &out, &progress),
		"%s", &progress)
	var document struct{ Measured []measured }
	require.NoError(t, json.Unmarshal(out.Bytes(), &document))
	taken := map[string][]float64{}
	for _, m := range document.Measured {
		taken[m.Of+" "+m.Row] = m.Samples
	}
	for _, w := range table(0, 0, 0) {
		require.NotEmpty(t, taken["procman "+w.key], w.key)
		for _, v := range taken["procman "+w.key] {
			if w.key == "add-net" {
				continue // a difference, which is less than nothing if the file had rested already
			}
			require.GreaterOrEqual(t, v, 0.0, w.key)
		}
	}
	if compiler() != "" {
		for _, k := range []string{"start", "healthy", "restart", "memory", "idle", "add", "stop", "output"} {
			require.NotEmpty(t, taken["limit "+k], k)
		}
	}
	for _, d := range []string{dir, files} {
		left, err := os.ReadDir(d)
		require.NoError(t, err)
		require.Empty(t, left, d)
	}
}

func TestARunThatIsInterruptedLeavesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("what it runs is built without the race detector, which -short is for")
	}
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc")
	}
	procman := filepath.Join(t.TempDir(), "procman")
	require.NoError(t, fake.Program(procman, "procman/cmd/procman").Run())
	dir, files := places(t)
	ctx, interrupt := context.WithTimeout(context.Background(), 2*time.Minute)
	defer interrupt()
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, []string{"-dir", dir, "-procman", procman, "-rounds", "1", "-only", "crash", "-crash", "10m"},
			io.Discard, io.Discard)
	}()
	var running []string
	for len(running) == 0 && len(ended) == 0 && ctx.Err() == nil {
		time.Sleep(10 * time.Millisecond)
		records, err := filepath.Glob(filepath.Join(dir, "*", "life-*", "state", "instances", "*", "run.json"))
		require.NoError(t, err)
		running = records
	}
	interrupt()
	require.ErrorIs(t, <-ended, context.Canceled)
	for _, d := range []string{dir, files} {
		left, err := os.ReadDir(d)
		require.NoError(t, err)
		require.Empty(t, left, d)
	}
}

func TestAWrongFlagIsRefusedBeforeAnythingIsBuilt(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc")
	}
	for _, args := range [][]string{{"-n", "0"}, {"-n", "ten"}, {"-only", "speed"}, {"-rounds", "0"},
		{"-ports", "9"}, {"more"}} {
		var out, progress bytes.Buffer
		require.Error(t, run(context.Background(), args, &out, &progress), args)
	}
}
