package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/actors/spawn"
	"procman/cmd/procman/doctor"
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
	r := member.Record{Boot: g.Boot(), Lease: 1, Incarnation: "i", TTL: time.Hour, Renewed: now,
		KillAt: now + time.Hour, Deadline: now + time.Hour}
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

func TestTheDoctorLooksAtTheLeashOfAHostThatIsOfAFleet(t *testing.T) {
	t.Parallel()
	s := newSite(t, "fleet: {endpoints: ['http://127.0.0.1:1'], host: h, grace: 1s}")
	before := s.findings()
	require.Equal(t, doctor.OK, before["leash"].Verdict, before["leash"])
	require.Contains(t, before["leash"].What, "none runs")
	require.NotEmpty(t, before["fleet clock"].What)
	require.NotContains(t, newSite(t, "").findings(), "leash")

	dir := messages.StateDir(filepath.Join(s.dir, "state"))
	spawner, err := spawn.Open(dir, spawn.Options{})
	require.NoError(t, err)
	defer spawner.Close()
	g, err := leash.NewGuard(dir, binary)
	require.NoError(t, err)
	defer g.Close()
	now := time.Duration(leash.Now())
	require.NoError(t, g.Write(member.Record{Boot: g.Boot(), TTL: time.Hour, Renewed: now, KillAt: now + time.Hour,
		Deadline: now + time.Hour}))
	require.NoError(t, g.Fence("x", leash.Mark{Epoch: 1}))
	app := messages.AppInstance{InstanceID: "x", Executable: "/bin/sleep", Args: []string{"1000"}}
	x, err := spawner.Spawn(t.Context(), messages.Launch{App: app, Run: 1, Port: s.first})
	require.NoError(t, err)
	defer func() { _ = syscall.Kill(x.PID(), syscall.SIGKILL) }()
	require.NoError(t, spawner.Remember(messages.Memory{ID: "x",
		Run: 1, Stop: messages.StopPolicy{Grace: 10 * time.Second}}))
	none := s.findings()
	require.Equal(t, doctor.Fault, none["leash"].Verdict)
	require.Contains(t, none["leash"].What, "none; fenced and running: x")
	require.Contains(t, none["fleet grace"].What, "stop.grace is longer of x")

	gone := make(chan string, 1)
	require.NoError(t, g.Ensure(func(why string) { gone <- why }))
	alone := s.findings()["leash"]
	require.Equal(t, doctor.Warning, alone.Verdict)
	require.Contains(t, alone.What, "without a daemon; fenced and running: x")
	require.Regexp(t, "it ends them in [0-9hm.]+s", alone.Means)
	require.NoError(t, syscall.Kill(x.PID(), syscall.SIGKILL))
	x.Wait()
	require.NoError(t, leash.Dismiss(dir))
	<-gone
}

func TestTheHiddenCommandWantsADirectory(t *testing.T) {
	t.Parallel()
	var stderr strings.Builder
	require.Equal(t, exitUsage, guard(nil, &stderr))
	require.Equal(t, exitFailed, guard([]string{"--state-dir", t.TempDir() + "/missing"}, &stderr))
	require.Contains(t, stderr.String(), "there is no leash for")
}
