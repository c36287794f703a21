package leash

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/actors/kernel"
)

// guardUntilItGoes starts the leash in this process, and returns what is closed when it goes by itself.
func (h *host) guardUntilItGoes() (gone chan struct{}) {
	h.Helper()
	l, err := New(h.dir, Options{Clock: h.clock})
	require.NoError(h, err)
	ctx, cancel := context.WithCancel(context.Background())
	gone = make(chan struct{})
	go func() { defer close(gone); l.Guard(ctx) }()
	h.Cleanup(func() {
		cancel()
		h.clock.pass(h.T, "it goes", func() bool { return closed(gone) })
	})
	return gone
}

func closed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestALeashWhoseStateDirectoryIsRemovedEndsWhatIsFencedAndGoes(t *testing.T) {
	t.Parallel()
	for name, remove := range map[string]func(h *host){
		"removed": func(h *host) { require.NoError(h, os.RemoveAll(string(h.dir))) },
		"moved":   func(h *host) { require.NoError(h, os.Rename(string(h.dir), string(h.dir)+".old")) },
		"replaced": func(h *host) {
			require.NoError(h, os.RemoveAll(string(h.dir)))
			require.NoError(h, os.Mkdir(string(h.dir), 0o700))
			lock, err := take(h.dir)
			require.NoError(h, err, "another one guards it")
			h.Cleanup(func() { _ = lock.Close() })
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			h.fence("a")
			h.renew()
			p := h.start("a", "trap '' TERM", EnvFence+"="+Fenced)
			other := h.start("other", "")
			gone := h.guardUntilItGoes()
			h.clock.rests(t)
			remove(h)
			h.clock.pass(t, "it goes by itself", func() bool { return closed(gone) })
			// It executes nothing more by then; the kernel may still be closing its files.
			st, err := kernel.Procfs("/proc").Stat(p.PID())
			require.True(t, err != nil || syscall.WaitStatus(st.Status).Signal() == syscall.SIGKILL, "not before")
			require.True(t, lives(other.PID()))
		})
	}
}

func TestALeashThatGuardsNobodyStaysWhileItsStateDirectoryIsThere(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.fence("a")
	gone := h.guardUntilItGoes()
	for range 20 {
		h.clock.to(h.clock.rests(t))
	}
	require.False(t, closed(gone))
}

// A child whose exec hangs holds nothing, and does not show what it is.
func TestWhoExecutesItsProgramLateIsSeenWithinAMoment(t *testing.T) {
	t.Parallel()
	h := emptyHost(t)
	h.fence("a")
	l := h.leash()
	fifo := filepath.Join(t.TempDir(), "fifo")
	require.NoError(t, syscall.Mkfifo(fifo, 0o600))
	tags := fmt.Sprintf("%s=%s %s=tag %s=a %s=1 %s=%s", kernel.EnvStateDir, h.dir, kernel.EnvTag, kernel.EnvInstance,
		kernel.EnvRun, EnvFence, Fenced)
	c := exec.Command("/bin/sh", "-c", "(read x <"+fifo+"; export "+tags+"; exec sleep 1000) & echo $!; wait")
	out, err := c.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.Start())
	defer func() { _ = c.Process.Kill(); _ = c.Wait() }()
	line := make([]byte, 16)
	n, err := out.Read(line)
	require.NoError(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(line[:n])))
	require.NoError(t, err)

	look := func() int {
		left, _ := l.ender.round(t.Context(), "it is over", true, func() bool { return false })
		return len(left)
	}
	require.Zero(t, look())
	require.Contains(t, l.ender.unborn, pid)
	swept := l.ender.swept
	require.NotZero(t, swept)
	require.NoError(t, exec.Command("/bin/true").Run())
	require.Zero(t, look(), "whatever is started since")
	require.NoError(t, os.WriteFile(fifo, []byte("x\n"), 0o600))
	eventually(t, "it is found", func() bool { return look() > 0 || !lives(pid) })
	eventually(t, "it is ended", func() bool { look(); return !lives(pid) })
	require.Equal(t, swept, h.clock.Now(), "and not by a sweep")
	h.clock.to(h.clock.Now() + int64(sweep+time.Second))
	eventually(t, "a sweep looks at all", func() bool { look(); return l.ender.swept > swept })
}

func TestWhoIsExecutingAProgramIsAskedAgainAndWaitedFor(t *testing.T) {
	t.Parallel()
	h := emptyHost(t)
	h.fence("a")
	l := h.leash()
	c := exec.Command("/bin/sleep", "1000")
	require.NoError(t, c.Start())
	defer func() { _ = c.Process.Kill(); _ = c.Wait() }()
	pid := c.Process.Pid
	real, err := kernel.Procfs("/proc").Stat(pid)
	require.NoError(t, err)
	fake := t.TempDir()
	l.ender.proc = kernel.Procfs(fake)
	shows := func(environEnd int, environ string) {
		fields := make([]string, 50) // from the third on, as proc(5) counts
		for n := range fields {
			fields[n] = "0"
		}
		fields[0], fields[1], fields[17], fields[35] = "S", strconv.Itoa(os.Getpid()), "1", "17"
		fields[19], fields[48] = strconv.FormatUint(real.Start, 10), strconv.Itoa(environEnd)
		require.NoError(t, os.WriteFile(filepath.Join(fake, "stat"), []byte("processes 7\n"), 0o600))
		at := filepath.Join(fake, strconv.Itoa(pid))
		require.NoError(t, os.MkdirAll(at, 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(at, "stat"),
			[]byte(fmt.Sprintf("%d (sleep) %s\n", pid, strings.Join(fields, " "))), 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(at, "environ"), []byte(environ), 0o600))
	}
	look := func() int {
		left, _ := l.ender.round(t.Context(), "it is over", true, func() bool { return false })
		return len(left)
	}
	shows(0, "")
	require.Zero(t, look())
	require.True(t, l.ender.loading)
	require.Contains(t, l.ender.unborn, pid)
	require.Zero(t, look(), "it is asked again")
	require.True(t, l.ender.loading)
	shows(4096, strings.Join([]string{kernel.EnvStateDir + "=" + string(h.dir), kernel.EnvTag + "=tag",
		kernel.EnvInstance + "=a",
		kernel.EnvRun + "=1", EnvFence + "=" + Fenced, ""}, "\x00"))
	require.Equal(t, 1, look())
	require.False(t, l.ender.loading)
	require.ErrorContains(t, c.Wait(), "killed")

	shows(4096, "")
	l.ender.forks = 0
	require.Zero(t, look(), "one that was started without an environment")
	require.False(t, l.ender.loading)
	require.NotContains(t, l.ender.unborn, pid)
}
