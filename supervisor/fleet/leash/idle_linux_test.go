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
			require.False(t, lives(p.PID()), "not before")
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
	l, err := New(h.dir, Options{Clock: h.clock})
	require.NoError(t, err)
	defer l.lock.Close()
	defer l.ender.close()
	fifo := filepath.Join(t.TempDir(), "fifo")
	require.NoError(t, syscall.Mkfifo(fifo, 0o600))
	tags := fmt.Sprintf("%s=%s %s=tag %s=a %s=1 %s=%s", kernel.EnvStateDir, h.dir, kernel.EnvTag, kernel.EnvInstance, kernel.EnvRun, EnvFence, Fenced)
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
