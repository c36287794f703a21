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

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"procman/actors/kernel"
	"procman/messages"
)

// TestAProcessWhoseEnvironmentHangsGoesWithoutATagAndAllOthersAreAsked: on a busy host a helper that was not looked at
// in time would live on for ever, and one process that hangs must not hide all others.
func TestAProcessWhoseEnvironmentHangsGoesWithoutATagAndAllOthersAreAsked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		heal := make(chan struct{})
		defer time.Sleep(time.Minute) // what was left behind ends once it can
		defer close(heal)
		var asked atomic.Int32
		g := newCensus("/proc", slog.New(slog.DiscardHandler))
		g.tags = func(pid int, _ []byte) kernel.Tags {
			if pid == os.Getpid() {
				asked.Add(1)
				<-heal
			}
			time.Sleep(tagPatience / 10) // however long all of them take
			return kernel.Tags{Tag: "shown"}
		}
		require.NoError(t, g.read())
		table := g.tagged()
		require.Empty(t, table[os.Getpid()].Tag)
		require.Equal(t, "shown", table[os.Getppid()].Tag)
		require.NoError(t, g.read())
		require.EqualValues(t, 1, asked.Load(), "and is not waited for again")
	})
}

// It leaves the session and the environment, and its parent has ended: what it holds is all that tells of its run.
func TestWhoHoldsTheLockOfARunBelongsToItWhateverItShowsAndWhoReadsItDoesNot(t *testing.T) {
	t.Parallel()
	s := opened(t, stateDir(t))
	p := spawned(t, s, shell(`(env -i setsid /bin/sh -c 'echo $$; exec sleep 300' &); exec sleep 300`))
	var helper int
	eventually(t, "the helper is there", func() bool { _, err := fmt.Sscan(output(t, s), &helper); return err == nil })
	eventually(t, "it shows nothing",
		func() bool { return kernel.Procfs("/proc").TagsOf(helper, make([]byte, 1<<16)).Tag == "" })
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
	// What another test forks has the lock too, until it executes its program.
	eventually(t, "nobody has the lock any more", func() bool { return s.unlocked("a") })
}

// Every exit and every stop looks for those of the run: that may not cost a line for each process of the host.
func TestAReadingOfTheProcessTableAsksOnlyThoseThatAreNew(t *testing.T) {
	t.Parallel()
	if _, err := kernel.Procfs("/proc").LastPID(); err != nil {
		t.Skip("this kernel does not tell the number that it gave last")
	}
	c := newCensus("/proc", slog.New(slog.DiscardHandler))
	asked := map[int]int{}
	tags := c.tags
	c.tags = func(pid int, buffer []byte) kernel.Tags { asked[pid]++; return tags(pid, buffer) }
	require.NoError(t, c.read())
	require.NotZero(t, asked[os.Getppid()], "the first looks at all")
	clear(asked)

	cmd := exec.Command("sleep", "300")
	cmd.Env = []string{kernel.EnvTag + "=census"}
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	eventually(t, "it shows its tag", func() bool { return tags(cmd.Process.Pid, make([]byte, 1<<14)).Tag != "" })
	require.NoError(t, c.read())
	require.Equal(t, 1, asked[cmd.Process.Pid])
	require.Zero(t, asked[os.Getppid()])
	require.Contains(t, c.tagged(), cmd.Process.Pid)
	clear(asked)
	require.NoError(t, c.read())
	require.Zero(t, asked[cmd.Process.Pid])

	ended := exec.Command("true")
	ended.Env = []string{kernel.EnvTag + "=ended"}
	require.NoError(t, ended.Run())
	c.keep(kernel.Process{PID: ended.Process.Pid}, "ended")
	c.strangers[ended.Process.Pid] = kernel.Process{}
	c.last, c.forks = c.last-1, 0 // as if so many had been given since that the numbers have gone round
	c.at = time.Now().Add(-time.Hour)
	clear(asked)
	require.NoError(t, c.read())
	require.Contains(t, c.tagged(), cmd.Process.Pid)
	require.NotContains(t, c.kept, ended.Process.Pid,
		"who has ended is forgotten, or a busy host would fill the memory")
	require.NotContains(t, c.strangers, ended.Process.Pid)
	require.NotContains(t, c.families, "ended")
}

// While a program is being executed the kernel shows no environment: who is caught by that, and then shows the tag of
// another run, is that other run's, however many are forked meanwhile.
func TestWhoIsSeenWhileItExecutesAProgramIsAskedAgain(t *testing.T) {
	t.Parallel()
	for name, leader := range map[string]int{"a stranger": 0, "one that a run has started": os.Getpid()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCensus("/proc", slog.New(slog.DiscardHandler))
			require.NoError(t, c.read())
			run := &process{group: group{pid: leader, tag: "run"}}
			c.lead(nil, run)
			cmd := exec.Command("sleep", "300")
			require.NoError(t, cmd.Start())
			t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
			executes := true
			c.tags = func(pid int, _ []byte) (tags kernel.Tags) {
				if pid == cmd.Process.Pid && executes {
					assert.NoError(t, exec.Command("true").Run()) // so that the reading goes on
				} else if pid == cmd.Process.Pid {
					tags.Tag = "another"
				}
				return tags
			}
			require.NoError(t, c.read())
			require.Empty(t, c.tagged()[cmd.Process.Pid].Tag)
			executes = false
			require.NoError(t, c.read())
			require.Equal(t, "another", c.tagged()[cmd.Process.Pid].Tag)
			require.NotContains(t, c.families["run"], cmd.Process.Pid)
		})
	}
}

// Whoever belongs to a run by its session is found also when nobody knew of the run as he was looked at.
func TestAStrangerIsOfARunThatBecomesKnownLater(t *testing.T) {
	t.Parallel()
	c := newCensus("/proc", slog.New(slog.DiscardHandler))
	cmd := exec.Command("/bin/sh", "-c", "sleep 300 & echo $!; wait")
	cmd.Env, cmd.SysProcAttr = []string{}, &syscall.SysProcAttr{Setsid: true}
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); _ = cmd.Wait() })
	var worker int
	_, err = fmt.Fscan(out, &worker)
	require.NoError(t, err)
	require.NoError(t, c.read())
	st, err := kernel.Procfs("/proc").Stat(cmd.Process.Pid)
	require.NoError(t, err)
	p := &process{group: group{pid: cmd.Process.Pid, start: st.Start, tag: "late"}}
	require.NotContains(t, c.of(p), worker)
	c.meet(p)
	require.Contains(t, c.of(p), worker)
	c.lead(p, nil)
	require.Empty(t, c.leaders)
}
