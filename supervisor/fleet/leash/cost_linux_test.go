package leash

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/actors/kernel"
	"procman/actors/spawn"
	"procman/messages"
)

// BenchmarkALeashWithoutADaemon measures what the leash of a hundred fenced runs uses, on a host on which something is
// started all the time: while their deadline is in force, and when it has passed and their marks are left. One round is
// ten seconds.
func BenchmarkALeashWithoutADaemon(b *testing.B) {
	program, err := os.Executable()
	require.NoError(b, err)
	dir, err := resolved(messages.StateDir(b.TempDir()))
	require.NoError(b, err)
	spawner, err := spawn.Open(dir, spawn.Options{})
	require.NoError(b, err)
	defer spawner.Close()
	_, boot, err := spawn.Records(dir)
	require.NoError(b, err)
	for n := range 100 {
		id := messages.InstanceID(fmt.Sprintf("i%d", n))
		require.NoError(b, Fence(dir, id, Mark{Epoch: 1}))
		app := messages.AppInstance{InstanceID: id, Executable: "/bin/sleep", Args: []string{"1000"}}
		p, err := spawner.Spawn(context.Background(),
			messages.Launch{App: app.WithDefaults(), Run: 1, Port: 43990, Extra: []string{EnvFence + "=" + Fenced}})
		require.NoError(b, err)
		defer func() { _ = syscall.Kill(p.PID(), syscall.SIGKILL); p.Wait() }()
	}
	d := sample(Now())
	d.Boot, d.TTL, d.Deadline, d.KillAt = boot, time.Hour, d.Renewed+time.Hour, d.Renewed+50*time.Minute
	file := opened(b, dir)
	require.NoError(b, file.Write(d))
	c, err := Start(dir, program)
	require.NoError(b, err)
	defer func() { _ = c.Process.Kill(); _ = c.Wait() }()
	for _, phase := range []string{"in force", "passed"} {
		if phase == "passed" {
			d.KillAt, d.Deadline = d.Renewed, d.Renewed
			require.NoError(b, file.Write(d))
		}
		time.Sleep(2 * time.Second)
		b.Run(phase, func(b *testing.B) {
			before, err := kernel.ProcessorTime(c.Process.Pid)
			require.NoError(b, err)
			for b.Loop() {
				for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(
					100 * time.Millisecond) {
					require.NoError(b, exec.Command("/bin/true").Run())
				}
			}
			after, err := kernel.ProcessorTime(c.Process.Pid)
			require.NoError(b, err)
			b.ReportMetric(float64((after-before).Milliseconds()*6)/float64(b.N), "ms-CPU/min")
		})
	}
}
