package engine_test

import (
	"context"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"procman/supervisor"
	"procman/supervisor/engine"
)

func TestWhatRunsOutlivesTheEngineAndIsAdoptedByTheNext(t *testing.T) {
	dir := t.TempDir()
	o := options(dir, 24260, supervisor.Static{server("users")})
	first, err := engine.Open(o)
	require.NoError(t, err)
	<-first.Ready()
	before, _ := first.Lookup("users")
	require.NoError(t, first.Close())
	require.NoError(t, first.Close(), "twice is once")

	second, err := engine.Open(o)
	require.NoError(t, err)
	<-second.Ready()
	after, _ := second.Lookup("users")
	require.Equal(t, []any{before.PID, before.Port, 0}, []any{after.PID, after.Port, after.Restarts})
	require.NoError(t, second.Shutdown(context.Background()))
	require.NoError(t, second.Close())
	_, err = os.Stat(dir)
	require.NoError(t, err)
}

func TestAnEngineThatCannotBeHadSaysWhichPartAndLeavesNothingOpen(t *testing.T) {
	dir := t.TempDir()
	o := options(dir, 24290, supervisor.Static{})
	first, err := engine.Open(o)
	require.NoError(t, err)
	_, err = engine.Open(o)
	require.ErrorContains(t, err, dir, "one manager at a time has it")
	require.NoError(t, first.Shutdown(context.Background()))
	require.NoError(t, first.Close())

	o.Ports.First, o.Ports.Last = 70000, 70010
	_, err = engine.Open(o)
	require.Error(t, err)
	o.Ports.First, o.Ports.Last, o.Supervisor.Provider = 24290, 24299, nil
	_, err = engine.Open(o)
	require.ErrorContains(t, err, "Provider")
}
