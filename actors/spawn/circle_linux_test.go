package spawn

import (
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"procman/actors/kernel"
	"procman/messages"
)

// TestAProcessWhoseEnvironmentHangsGoesWithoutATagAndAllOthersAreAsked: on a busy host a helper that was not looked at in time
// would live on for ever, and one process that hangs must not hide all others.
func TestAProcessWhoseEnvironmentHangsGoesWithoutATagAndAllOthersAreAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		heal := make(chan struct{})
		defer time.Sleep(time.Minute) // what was left behind ends once it can
		defer close(heal)
		var asked atomic.Int32
		g := newRegister("/proc", slog.New(slog.DiscardHandler))
		g.tags = func(pid int, _ []byte) kernel.Tags {
			if pid == os.Getpid() {
				asked.Add(1)
				<-heal
			}
			time.Sleep(tagPatience / 10) // however long all of them take
			return kernel.Tags{Tag: "shown"}
		}
		table, err := g.read()
		require.NoError(t, err)
		require.Empty(t, table[os.Getpid()].Tag)
		require.Equal(t, "shown", table[os.Getppid()].Tag)
		_, err = g.read()
		require.NoError(t, err)
		require.EqualValues(t, 1, asked.Load(), "and is not waited for again")
	})
}

// It leaves the session and the environment, and its parent has ended: what it holds is all that tells of its run.
func TestWhoHoldsTheLockOfARunBelongsToItWhateverItShowsAndWhoReadsItDoesNot(t *testing.T) {
	s := opened(t, stateDir(t))
	p := spawned(t, s, shell(`(env -i setsid /bin/sh -c 'echo $$; exec sleep 300' &); exec sleep 300`))
	var helper int
	eventually(t, "the helper is there", func() bool { _, err := fmt.Sscan(output(t, s), &helper); return err == nil })
	eventually(t, "it shows nothing", func() bool { return kernel.Procfs("/proc").TagsOf(helper, make([]byte, 1<<16)).Tag == "" })
	reader := exec.Command("sleep", "300")
	lock, err := os.Open(s.dir.InstanceLock("a"))
	require.NoError(t, err)
	defer lock.Close()
	reader.ExtraFiles = []*os.File{lock} // at the same descriptor
	require.NoError(t, reader.Start())
	t.Cleanup(func() { _ = reader.Process.Kill(); _ = reader.Wait() })

	require.NoError(t, p.Signal(syscall.SIGTERM, messages.LeftoversEnd))
	p.Wait()
	eventually(t, "the helper is ended with the run", func() bool { return !alive(helper) })
	require.True(t, alive(reader.Process.Pid))
	require.True(t, s.unlocked("a"))
}
