package leash

import (
	"bufio"
	"context"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/actors"
	"procman/actors/kernel"
	"procman/messages"
)

func TestAtTheDeadlineEveryFencedRunEndsAndNoOther(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.fence("a")
	h.fence("b")
	d := h.renew()
	fenced := []actors.Process{h.start("a", ""), h.start("b", "trap '' TERM")}
	other := h.start("other", "")
	h.guard()
	require.Less(t, h.clock.rests(t), int64(d.KillAt), "it looks before the end")
	h.clock.to(int64(d.KillAt) - 1)
	require.Equal(t, int64(d.KillAt), h.clock.rests(t))
	require.True(t, lives(fenced[0].PID()) && lives(fenced[1].PID()))
	h.clock.to(int64(d.KillAt))
	for _, p := range fenced {
		e := p.Wait()
		require.Equal(t, "KILL", strings.TrimPrefix(e.Signal, "SIG"))
	}
	h.clock.rests(t)
	require.True(t, lives(other.PID()))
	e, err := EndingOf(h.dir, "a")
	require.NoError(t, err)
	require.Equal(t, 1, e.Run)
	require.Equal(t, int64(d.KillAt), e.At)
	require.NotEmpty(t, e.Tag)
	_, err = EndingOf(h.dir, "other")
	require.ErrorIs(t, err, fs.ErrNotExist)
}

// After is a log that lets nothing be said before something holds.
type after struct {
	slog.Handler
	t     *testing.T
	what  string
	holds func() bool
}

func (a after) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == a.what {
		eventually(a.t, a.what, a.holds)
	}
	return a.Handler.Handle(ctx, r)
}

func TestEverybodyIsSentKillBeforeAnythingIsSaidOrWrittenOfAnybody(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	d := h.renew()
	var fenced []actors.Process
	for _, id := range []messages.InstanceID{"a", "b", "c", "d"} {
		h.fence(id)
		fenced = append(fenced, h.start(id, ""))
	}
	nobody := func() bool {
		return !slices.ContainsFunc(fenced, func(p actors.Process) bool { return lives(p.PID()) })
	}
	l, err := New(h.dir,
		Options{Clock: h.clock, Logger: slog.New(after{slog.DiscardHandler, t, "a fenced run is ended", nobody})})
	require.NoError(t, err)
	defer l.lock.Close()
	defer l.ender.close()
	l.known = d
	l.ender.refresh(t.Context(), patience)
	h.clock.to(int64(d.KillAt))
	left, stop := l.ender.round(t.Context(), "it is over", false, func() bool { return false })
	require.False(t, stop)
	require.GreaterOrEqual(t, len(left), 4)
	for _, id := range []messages.InstanceID{"a", "b", "c", "d"} {
		eventually(t, "it is written down",
			func() bool { e, err := EndingOf(h.dir, id); return err == nil && e.Why == "it is over" })
	}
}

func TestARenewalMovesTheEndAlsoIfItComesAtTheLastMoment(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.fence("a")
	d := h.renew()
	p := h.start("a", "")
	h.guard()
	for range 5 {
		h.clock.rests(t)
		h.clock.to(int64(d.KillAt) - 1)
		h.clock.rests(t)
		d = h.renew()
		h.clock.to(h.clock.Now() + 1) // the end that was
		require.Greater(t, h.clock.rests(t), h.clock.Now()+1)
	}
	require.True(t, lives(p.PID()))
	h.clock.to(int64(d.KillAt))
	p.Wait()
}

func TestWhatBelongsToAFencedRunEndsWithIt(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.fence("a")
	d := h.renew()
	// One in another session that shows the tag, one in the run's session that shows nothing, and one of both of an
	// ended parent.
	p := h.start("a", `
setsid sleep 1001 &
env -i sleep 1002 &
(env -i sleep 1003 &)
(setsid sleep 1004 &)
echo ready`)
	var helpers []int
	eventually(t, "its helpers are there", func() bool {
		helpers = nil
		table, err := kernel.Procfs("/proc").Table(context.Background())
		require.NoError(t, err)
		for pid, x := range table {
			line, _ := kernel.Procfs("/proc").CommandLine(pid)
			env, _ := kernel.Procfs("/proc").Environ(pid)
			if len(line) == 2 && strings.HasPrefix(line[1], "100") &&
				(x.Session == p.PID() || env.Tags().Dir == string(h.dir)) {
				helpers = append(helpers, pid)
			}
		}
		return len(helpers) >= 4
	})
	h.guard()
	h.clock.rests(t)
	h.clock.to(int64(d.KillAt))
	h.clock.pass(t, "all end", func() bool {
		for _, pid := range helpers {
			if lives(pid) {
				return false
			}
		}
		return !lives(p.PID())
	})
	p.Wait()
}

func TestNoDeadlineThatIsInForceIsOneThatHasPassed(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(h *host){
		"none": func(h *host) { require.NoError(h, Remove(h.dir)) },
		"torn": func(h *host) { require.NoError(h, os.WriteFile(h.dir.Deadline(), make([]byte, 100), 0o600)) },
		"not a file": func(h *host) {
			require.NoError(h, Remove(h.dir))
			require.NoError(h, os.Mkdir(h.dir.Deadline(), 0o700))
		},
		"never written": func(h *host) {
			require.NoError(h,
				os.WriteFile(h.dir.Deadline(), make([]byte, 2*half), 0o600))
		},
		"void": func(h *host) {
			d := h.renew()
			d.KillAt, d.Deadline = d.Renewed, d.Renewed
			require.NoError(h, h.file.Write(d))
		},
		"of later": func(h *host) {
			d := sample(h.clock.Now() + int64(time.Minute))
			d.Boot = h.boot
			require.NoError(h, h.file.Write(d))
		},
		"of another boot": func(h *host) { require.NoError(h, h.file.Write(sample(h.clock.Now()))) },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			h.fence("a")
			h.renew()
			p := h.start("a", "")
			spoil(h)
			h.guard()
			p.Wait()
		})
	}
}

func TestARunThatShowsThatItIsFencedEndsAlsoWhenItsMarkAndItsRecordAreGone(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	d := h.renew()
	p := h.start("a", "", EnvFence+"="+Fenced)
	other := h.start("other", "")
	h.guard()
	h.clock.rests(t)
	require.NoError(t, os.RemoveAll(h.dir.Instances()))
	h.clock.to(int64(d.KillAt))
	p.Wait()
	require.True(t, lives(other.PID()))
}

func TestWhatIsStartedAfterTheDeadlineEndsAtOnceForAsLongAsItIsMarked(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.fence("a")
	d := h.renew()
	h.guard()
	h.clock.rests(t)
	h.clock.to(int64(d.KillAt))
	h.clock.rests(t)
	p := h.start("a", "") // by a daemon that was frozen on its way
	h.clock.pass(t, "it ends", func() bool { return !lives(p.PID()) })
	p.Wait()

	h.renew()
	h.clock.pass(t, "a deadline is in force again",
		func() bool { return h.clock.rests(t) == h.clock.Now()+int64(alert) })
	app := messages.AppInstance{InstanceID: "a", Executable: "/bin/sleep", Args: []string{"1000"}}
	again, err := h.spawner.Spawn(context.Background(), messages.Launch{App: app.WithDefaults(), Run: 2, Port: 43990})
	require.NoError(t, err)
	require.True(t, lives(again.PID()))
}

func TestAReusedPidIsNotTheRunOnRecord(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.fence("a")
	d := h.renew()
	stranger := exec.Command("/bin/sleep", "1000")
	stranger.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	require.NoError(t, stranger.Start())
	defer func() { _ = stranger.Process.Kill(); _ = stranger.Wait() }()
	// the kernel counts in ticks of 10 ms: within one of them no number is given twice
	time.Sleep(50 * time.Millisecond)
	p := h.start("a", "")
	record, err := os.ReadFile(h.dir.Run("a"))
	require.NoError(t, err)
	require.Contains(t, string(record), strconv.Itoa(p.PID()))
	l, err := New(h.dir, Options{Clock: h.clock})
	require.NoError(t, err)
	defer l.lock.Close()
	newest := l.ender.newest
	l.ender.newest = func(id messages.InstanceID) *kernel.Run {
		r := newest(id)
		r.PID = stranger.Process.Pid
		return r
	}
	h.clock.to(int64(d.KillAt))
	ended := make(chan struct{})
	go func() { defer close(ended); l.end(context.Background(), ErrPassed) }()
	h.clock.pass(t, "the run ends", func() bool {
		select {
		case <-ended:
			return true
		default:
			return false
		}
	})
	require.True(t, lives(stranger.Process.Pid), "its start is another")
	require.False(t, lives(p.PID()), "it shows its tag")
	p.Wait()
}

func TestToldToGoALeashGoesWhenItGuardsNobody(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.fence("a")
	d := h.renew()
	p := h.start("a", "")
	l, err := New(h.dir, Options{Clock: h.clock})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); l.Guard(ctx) }()
	h.clock.rests(t)
	cancel()
	require.Greater(t, h.clock.rests(t), h.clock.Now())
	select {
	case <-ended:
		require.Fail(t, "a run lives")
	default:
	}
	h.clock.to(int64(d.KillAt))
	p.Wait()
	h.clock.pass(t, "it goes", func() bool {
		select {
		case <-ended:
			return true
		default:
			return false
		}
	})
}

func TestAStateDirectoryHasOneLeashThatLivesOnWithoutWhomStartedIt(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	_, has, err := Living(h.dir)
	require.NoError(t, err)
	require.False(t, has)
	program, err := os.Executable()
	require.NoError(t, err)
	c, err := Start(h.dir, program)
	require.NoError(t, err)
	defer func() { _ = c.Process.Kill(); _ = c.Wait() }()
	eventually(t, "it lives", func() bool {
		pid, has, err := Living(h.dir)
		require.NoError(t, err)
		require.True(t, has, "from the first moment")
		return pid == c.Process.Pid
	})
	st, err := kernel.Procfs("/proc").Stat(c.Process.Pid)
	require.NoError(t, err)
	require.True(t, st.Leads(c.Process.Pid), "a session of its own")
	_, err = Start(h.dir, program)
	require.ErrorIs(t, err, ErrLives)
	_, err = New(h.dir, Options{})
	require.ErrorIs(t, err, ErrLives)

	// By the real clock: the deadline ends what lives, and the leash lives on.
	h.fence("a")
	d := sample(Now())
	d.Boot, d.KillAt = h.boot, d.Renewed+time.Second
	require.NoError(t, h.file.Write(d))
	p := h.start("a", "")
	p.Wait()
	require.GreaterOrEqual(t, Now(), int64(d.KillAt))
	eventually(t, "it is written down", func() bool { _, err := EndingOf(h.dir, "a"); return err == nil })
	log, err := os.Open(h.dir.LeashLog())
	require.NoError(t, err)
	defer log.Close()
	said := bufio.NewScanner(log)
	found := false
	for said.Scan() {
		found = found || strings.Contains(said.Text(), "a fenced run is ended")
	}
	require.True(t, found)
	_, has, err = Living(h.dir)
	require.NoError(t, err)
	require.True(t, has)
}
