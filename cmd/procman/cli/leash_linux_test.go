package cli

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
	"procman/supervisor/fleet/leash"
	"procman/supervisor/fleet/member"
)

func TestTheHiddenCommandGuardsADirectoryUntilItIsDismissed(t *testing.T) {
	real(t)
	t.Parallel()
	dir := messages.StateDir(t.TempDir())
	g, err := leash.NewGuard(dir, binary)
	require.NoError(t, err)
	defer g.Close()
	now := time.Duration(leash.Now())
	r := member.Record{Boot: g.Boot(), Lease: 1, Incarnation: "i", TTL: time.Hour, Renewed: now, KillAt: now + time.Hour, Deadline: now + time.Hour}
	require.NoError(t, g.Write(r))
	gone := make(chan string, 1)
	require.NoError(t, g.Ensure(func(why string) { gone <- why }))
	pid, lives, err := leash.Living(dir)
	require.NoError(t, err)
	require.True(t, lives)
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	require.NoError(t, err)
	require.Equal(t, []string{"procman", leash.Command}, strings.Split(string(line), "\x00")[:2])

	r.KillAt, r.Deadline = r.Renewed, r.Renewed
	require.NoError(t, g.Write(r))
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		log, err := os.ReadFile(dir.LeashLog())
		require.NoError(t, err)
		if strings.Contains(string(log), leash.ErrVoid.Error()) {
			break
		}
		require.True(t, time.Now().Before(end), "it looks within a second")
	}
	require.NoError(t, leash.Dismiss(dir))
	require.Contains(t, <-gone, "has ended")
}

func TestTheHiddenCommandWantsADirectory(t *testing.T) {
	t.Parallel()
	var stderr strings.Builder
	require.Equal(t, exitUsage, guard(nil, &stderr))
	require.Equal(t, exitFailed, guard([]string{"--state-dir", t.TempDir() + "/missing"}, &stderr))
	require.Contains(t, stderr.String(), "there is no leash for")
}
