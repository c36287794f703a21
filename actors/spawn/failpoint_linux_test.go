//go:build failpoint

package spawn

import (
	"testing"

	"github.com/stretchr/testify/require"

	"procman/actors"
	"procman/messages"
)

// The windows are tried by: go test -tags failpoint ./actors/spawn
func TestAManagerKilledInAnyWindowLeavesExactlyOneProcessOrNone(t *testing.T) {
	t.Parallel()
	for point, processes := range map[string]int{"before-fork": 0, "after-fork": 1, "mid-record": 1,
		"after-record": 1} {
		t.Run(point, func(t *testing.T) {
			dir := stateDir(t)
			predecessor(t, "manager", order{Dir: dir, Launches: []messages.Launch{{App: sleeper("a"), Run: 7,
				Port: 30007}}}, "PROCMAN_FAILPOINT="+point)
			s := opened(t, dir)
			require.Len(t, tagged(t, dir), processes)
			list := survivors(t, s)
			require.Len(t, list, processes)
			p, err := s.Adopt(t.Context(), "a", actors.AnyRun)
			if processes == 0 {
				require.ErrorIs(t, err, messages.ErrNoRun)
				require.NotNil(t, spawned(t, s, sleeper("a")))
				return
			}
			require.NoError(t, err)
			require.Equal(t, []any{7, 30007, sleeper("a").SpecHash()}, []any{p.Run(), p.Port(), p.SpecHash()})
			require.Equal(t, p.PID(), list["a"].PID)
		})
	}
}

func TestAManagerKilledBetweenReapingAndTheRecordTellsNoWrongExit(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"before-reap", "after-reap"} {
		dir := stateDir(t)
		m := predecessor(t, "manager", order{Dir: dir, Launches: []messages.Launch{{App: shell("exit 3"), Run: 7}}},
			"PROCMAN_FAILPOINT="+point)
		_ = m.cmd.Wait()
		exit := goneWith(t, opened(t, dir))
		require.True(t, !exit.Known || exit.Code == 3)
	}
}

func TestWhatIsRememberedIsTheOldOrTheNew(t *testing.T) {
	t.Parallel()
	for point, want := range map[string]int{"before-remember:2": 1, "mid-remember:2": 1, "after-remember:2": 2} {
		dir := stateDir(t)
		m := predecessor(t, "manager", order{Dir: dir,
			Remember: []messages.Memory{{ID: "a", Run: 1}, {ID: "a", Run: 2}}}, "PROCMAN_FAILPOINT="+point)
		m.kill()
		all := recalled(t, opened(t, dir))
		require.Len(t, all, 1)
		require.Equal(t, want, all[0].Run, point)
	}
}
