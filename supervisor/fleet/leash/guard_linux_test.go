package leash

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/actors/kernel"
	"procman/messages"
	"procman/supervisor/fleet/member"
	"procman/test/fake"
)

func newGuard(t *testing.T, h *host) *Guard {
	g, err := NewGuard(h.dir, "")
	require.NoError(t, err)
	t.Cleanup(func() { _ = g.Close() })
	return g
}

// leashOf returns the leash that lives, and ends it with the test.
func (h *host) leashOf() int {
	h.Helper()
	pid, lives, err := Living(h.dir)
	require.NoError(h, err)
	require.True(h, lives)
	h.Cleanup(func() { end9(h, pid) })
	return pid
}

// end9 ends the leash, if it is still that.
func end9(h *host, pid int) {
	if now, lives, err := Living(h.dir); err == nil && lives && now == pid {
		_ = syscall.Kill(pid, syscall.SIGKILL)
		eventually(h.T, "the leash ends", func() bool { return !lives9(h, pid) })
	}
}

func lives9(h *host, pid int) bool {
	now, lives, err := Living(h.dir)
	require.NoError(h, err)
	return lives && now == pid
}

func TestAGuardFindsTheLeashThatIsThereOrStartsOneAndHearsOfItsEndOnce(t *testing.T) {
	t.Parallel()
	h := emptyHost(t)
	g, successor, closed := newGuard(t, h), newGuard(t, h), newGuard(t, h)
	ends := make(chan string, 10)
	require.NoError(t, g.Ensure(func(why string) { ends <- why }))
	first := h.leashOf()
	require.NotZero(t, first, "it has said that it guards")
	require.NoError(t, successor.Ensure(func(why string) { ends <- why }))
	require.NoError(t, closed.Ensure(func(string) { ends <- "closed" }))
	require.NoError(t, closed.Close())
	require.Equal(t, first, h.leashOf())
	require.ErrorIs(t, closed.Ensure(nil), os.ErrClosed)

	require.NoError(t, syscall.Kill(first, syscall.SIGKILL))
	for range 2 {
		require.Contains(t, <-ends, "has ended")
	}
	require.ErrorIs(t, syscall.Kill(first, 0), syscall.ESRCH, "it is reaped")
	require.NoError(t, g.Ensure(func(why string) { ends <- why }))
	require.NotEqual(t, first, h.leashOf())
	require.NoError(t, g.Close())
	require.NoError(t, successor.Close())
	require.Empty(t, ends)
}

func TestALeashThatIsStoppedIsWokenByTheNextRenewal(t *testing.T) {
	t.Parallel()
	h := emptyHost(t)
	g := newGuard(t, h)
	require.NoError(t, g.Ensure(func(string) {}))
	pid := h.leashOf()
	stopped := func() bool {
		st, err := kernel.Procfs("/proc").Stat(pid)
		require.NoError(t, err)
		return st.State == 'T'
	}
	require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
	eventually(t, "it is stopped", stopped)
	require.NoError(t, g.Write(sample(Now())))
	eventually(t, "it goes on", func() bool { return !stopped() })
	require.NoError(t, g.Close())
}

func TestTwoThatWantALeashAtOnceHaveOne(t *testing.T) {
	t.Parallel()
	h := emptyHost(t)
	a, b := newGuard(t, h), newGuard(t, h)
	done := make(chan error, 4)
	for _, g := range []*Guard{a, a, b, b} {
		go func() { done <- g.Ensure(func(string) {}) }()
	}
	for range 4 {
		require.NoError(t, <-done)
	}
	h.leashOf()
	require.NoError(t, a.Close())
	require.NoError(t, b.Close())
}

func TestALeashThatDoesNotComeUpIsSaidWithItsLastWords(t *testing.T) {
	t.Parallel()
	h := emptyHost(t)
	program := filepath.Join(t.TempDir(), "broken")
	require.NoError(t, fake.Executable(program, []byte("#!/bin/sh\necho out of order >&2\nexit 1\n")))
	g, err := NewGuard(h.dir, program)
	require.NoError(t, err)
	require.ErrorContains(t, g.Ensure(nil), "out of order")
	g.program = program + "x"
	require.ErrorContains(t, g.Ensure(nil), "cannot be started")
	_, lives, err := Living(h.dir)
	require.NoError(t, err)
	require.False(t, lives)
	require.NoError(t, g.Close())
}

func TestWhatADaemonWroteOfItsLeaseIsLoadedByTheNextAsItWas(t *testing.T) {
	t.Parallel()
	h := emptyHost(t)
	require.NoError(t, os.Remove(h.dir.Deadline()))
	g := newGuard(t, h)
	r, err := g.Load()
	require.NoError(t, err)
	require.Zero(t, r)
	want := sample(5)
	want.Boot = "another boot" // whether that counts is not decided here
	require.NoError(t, g.Write(want))
	r, err = newGuard(t, h).Load()
	require.NoError(t, err)
	require.Equal(t, want, r)
	want.KillAt, want.Deadline = want.Renewed, want.Renewed
	require.NoError(t, newGuard(t, h).Write(want))
	r, err = g.Load()
	require.NoError(t, err)
	require.True(t, r.Void())
	require.NoError(t, os.WriteFile(h.dir.Deadline(), []byte("torn"), 0o600))
	r, err = g.Load()
	require.Error(t, err)
	require.Zero(t, r)
	s, err := member.NewSchedule(want.TTL, want.Grace)
	require.NoError(t, err)
	require.NoError(t, Check(member.Record{Boot: "b", TTL: s.TTL, Renewed: 1, KillAt: 1 + s.Kill,
		Deadline: 1 + s.Deadline}, "b", 2), "what the schedule says is a deadline")
}

func TestAMarkIsWrittenOnlyWhenItSaysSomethingElse(t *testing.T) {
	t.Parallel()
	h := emptyHost(t)
	g := newGuard(t, h)
	look := func() os.FileInfo {
		info, err := os.Stat(h.dir.Fence("a"))
		require.NoError(t, err)
		return info
	}
	require.NoError(t, g.Fence("a", Mark{Epoch: 1, Incarnation: "i"}))
	first := look()
	require.NoError(t, g.Fence("a", Mark{Epoch: 1, Incarnation: "i"}))
	require.Equal(t, first.ModTime(), look().ModTime())
	require.True(t, os.SameFile(first, look()))
	require.NoError(t, g.Fence("a", Mark{Epoch: 2, Incarnation: "i"}))
	require.NoError(t, g.Fence("b", Mark{Epoch: 3}))
	require.NoError(t, os.WriteFile(h.dir.Fence("b"), []byte("torn"), 0o600))
	marked, err := g.Marked()
	require.NoError(t, err)
	require.Equal(t, map[messages.InstanceID]Mark{"a": {Epoch: 2, Incarnation: "i"}, "b": {}}, marked)
	require.NoError(t, g.Fence("b", Mark{Epoch: 4}))
	require.NoError(t, g.Unfence("a"))
	marked, err = g.Marked()
	require.NoError(t, err)
	require.Equal(t, map[messages.InstanceID]Mark{"b": {Epoch: 4}}, marked)
}

// The daemon goes on starting leashes, and each of them ends what is fenced at the deadline of the record that is
// there.
func TestWhoeverKillsLeashesTheOneThatIsThereEndsWhatIsFencedAlsoWithoutADaemon(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.fence("a")
	p := h.start("a", "")
	g := newGuard(t, h)
	d := h.renewFor(time.Minute)
	gone := make(chan string, 1)
	for range 3 {
		require.NoError(t, g.Ensure(func(why string) { gone <- why }))
		require.NoError(t, syscall.Kill(h.leashOf(), syscall.SIGKILL))
		<-gone
	}
	require.True(t, lives(p.PID()))
	require.NoError(t, g.Ensure(func(why string) { gone <- why }))
	h.leashOf()
	require.NoError(t, g.Close()) // the daemon is gone
	d.KillAt, d.Deadline = d.Renewed, d.Renewed
	require.NoError(t, h.file.Write(d))
	p.Wait()
}

// renewFor puts a deadline by the real clock into force.
func (h *host) renewFor(d time.Duration) member.Record {
	h.Helper()
	r := sample(Now())
	r.Boot, r.KillAt, r.Deadline, r.TTL = h.boot, r.Renewed+d, r.Renewed+d, d
	require.NoError(h, h.file.Write(r))
	return r
}

func TestALeashIsDismissedWhenItGuardsNobody(t *testing.T) {
	t.Parallel()
	h := emptyHost(t)
	require.NoError(t, Dismiss(h.dir), "there is none")
	g := newGuard(t, h)
	gone := make(chan string, 1)
	require.NoError(t, g.Ensure(func(why string) { gone <- why }))
	pid := h.leashOf()
	eventually(t, "it has said that it heeds the signal", func() bool {
		require.NoError(t, Dismiss(h.dir))
		return !lives9(h, pid)
	})
	<-gone
	require.NoError(t, exec.Command("true").Run())
}
