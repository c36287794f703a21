package chaos

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestAProcessThatIgnoresTermIsKilledAtTheEndOfItsGrace(t *testing.T) { // 40
	t.Parallel()
	w := one(t, app{policy: "stop: {grace: 700ms}"}, Control{Term: TermIgnored})
	p := w.daemon.process("a")
	began := time.Now()
	w.daemon.mustDo("stop", "a")
	w.gone(p)
	took := time.Since(began)
	require.Greater(t, took, 690*time.Millisecond, "before its grace was over")
	require.Less(t, took, time.Minute)
	s := w.daemon.await("a", "stopped", func(s shown) bool { return s.Phase == "stopped" })
	require.Equal(t, "KILL", s.LastExit.Signal, "that it had to be forced is on record")
	require.Equal(t, "stopped", s.LastExit.Reason)
	require.True(t, s.LastExit.Known)
	l, _ := w.life(p)
	require.Equal(t, 1, l.Terms)
}

func TestAStoppedProcessStillHearsTerm(t *testing.T) { // 41
	t.Parallel()
	w := one(t, app{policy: "stop: {grace: 60s}"}, Control{})
	p := w.daemon.process("a")
	require.True(t, signalProcess(p, unix.SIGSTOP))
	w.eventually(5*time.Second, "it is stopped",
		func() bool { s, err := readStat(p.PID); return err == nil && s.State == 'T' })
	w.daemon.mustDo("stop", "a")
	w.converge(map[string]bool{"a": true}) // long before KILL would come: CONT wakes it
	l, _ := w.life(p)
	require.NotNil(t, l.Exit, "it ended by itself")
}

func TestAProcessThatStopsItselfIsFoundUnhealthyAndReplaced(t *testing.T) { // 41
	t.Parallel()
	w := newWorld(t)
	w.declare(app{id: "a", policy: "health: {interval: 100ms, timeout: 200ms, failures: 2}"},
		Control{StopSelfAfter: Duration(500 * time.Millisecond)})
	w.write()
	w.start().up().healthy("a")
	w.control("a", Control{})
	w.eventually(8*time.Second, "a second run", func() bool { l, _ := w.newest("a"); return l.Run == 2 })
	s := w.daemon.healthy("a")
	require.Equal(t, "unhealthy", s.LastExit.Reason)
	w.judge(w.converge(nil))
}

// TestEveryWayToEndIsKeptExactly: codes and signals, in one table, all at the same time.
func TestEveryWayToEndIsKeptExactly(t *testing.T) { // 48, 49
	t.Parallel()
	w := newWorld(t)
	type verdict struct {
		code   int
		signal string
	}
	want := map[string]verdict{}
	add := func(id string, e End, v verdict) {
		e.After = Duration(200 * time.Millisecond)
		w.declare(app{id: id, policy: "restart: {mode: never}"}, Control{End: &e})
		want[id] = v
	}
	for _, code := range []int{0, 1, 2, 7, 42, 77, 125, 126, 127, 128, 137, 143, 255} {
		add(fmt.Sprintf("code-%d", code), End{Code: code}, verdict{code, ""})
	}
	for s, name := range map[unix.Signal]string{
		1: "HUP", 2: "INT", 3: "QUIT", 4: "ILL", 5: "TRAP", 6: "ABRT", 7: "BUS", 8: "FPE", 9: "KILL", 10: "USR1",
		11: "SEGV", 12: "USR2",
		13: "PIPE", 14: "ALRM", 15: "TERM", 24: "XCPU", 25: "XFSZ", 31: "SYS", 34: "RTMIN", 40: "RTMIN+6",
		64: "RTMIN+30",
	} {
		add(fmt.Sprintf("signal-%d", int(s)), End{Signal: int(s)}, verdict{-1, name})
	}
	w.write()
	w.start().up()
	var doc document
	w.eventually(20*time.Second, "all have ended", func() bool {
		var err error
		if doc, err = w.daemon.status(); err != nil {
			return false
		}
		for _, s := range doc.Instances {
			if s.LastExit == nil {
				return false
			}
		}
		return len(doc.Instances) == len(want)
	})
	for _, s := range doc.Instances {
		require.True(t, s.LastExit.Known, s.ID)
		require.Equal(t, want[s.ID], verdict{s.LastExit.Code, s.LastExit.Signal}, s.ID)
		if s.ID == "code-0" {
			require.Equal(t, "stopped", s.Phase)
		} else {
			require.Equal(t, "failed", s.Phase, s.ID)
		}
	}
	w.judge(nil)
	// The next manager shows the same.
	w.again()
	w.eventually(5*time.Second, "the next manager shows the same", func() bool {
		next, err := w.daemon.status()
		if err != nil || len(next.Instances) != len(want) {
			return false
		}
		for _, s := range next.Instances {
			if s.LastExit == nil || want[s.ID] != (verdict{s.LastExit.Code, s.LastExit.Signal}) || !s.LastExit.Known ||
				s.PID != 0 {
				return false
			}
		}
		return true
	})
}

// TestAFrozenManagerThatThawsRestartsNobody: late timers are no failures, not even where a single failed probe would be
// one too many.
func TestAFrozenManagerThatThawsRestartsNobody(t *testing.T) { // 23
	t.Parallel()
	w := newWorld(t)
	for n := range 10 {
		w.declare(app{id: fmt.Sprintf("i%d", n), policy: "health: {interval: 50ms, timeout: 1s, failures: 1}"},
			Control{})
	}
	w.write()
	w.start().up()
	w.converge(nil)
	before := w.processes()
	w.daemon.signal(unix.SIGSTOP)
	time.Sleep(5 * time.Second)
	w.daemon.signal(unix.SIGCONT)
	time.Sleep(500 * time.Millisecond) // ten probes each: a restart would come from what was late
	w.judge(w.converge(nil))
	require.Empty(t, Undisturbed(before, nil, w.lives()))
	require.Equal(t, before, w.processes())
}

// TestADaemonThatLivesOnGivesBackWhatItUsed: descriptors, threads, memory.
func TestADaemonThatLivesOnGivesBackWhatItUsed(t *testing.T) { // I8, 98
	t.Parallel()
	w := newWorld(t)
	for n := range 8 {
		w.declare(app{id: fmt.Sprintf("i%d", n), spec: "0"}, Control{Rate: 10})
	}
	w.write()
	w.start().up()
	w.converge(nil)
	churn := func(rounds int) Usage {
		for n := range rounds {
			for i := range w.apps {
				switch (n + i) % 4 {
				case 0:
					w.daemon.mustDo("restart", w.apps[i].id)
				case 1:
					if l, any := w.newest(w.apps[i].id); any && l.Ended == 0 {
						signalProcess(l.Process, unix.SIGKILL)
					}
				case 2:
					w.apps[i].spec = fmt.Sprint(n)
				}
			}
			w.declare(app{id: fmt.Sprintf("guest%d", n)}, Control{})
			w.write()
			require.NoError(t, w.daemon.reload())
			w.converge(nil)
			w.undeclare(fmt.Sprintf("guest%d", n))
			w.write()
			require.NoError(t, w.daemon.reload())
		}
		w.converge(nil)
		// What probes and readers have open comes and goes: what is never given back is there at each look.
		var least Usage
		for n := range 20 {
			u, err := usage(w.daemon.pid())
			require.NoError(t, err)
			if n == 0 || u.Descriptors < least.Descriptors {
				least = u
			}
			time.Sleep(50 * time.Millisecond)
		}
		return least
	}
	before := churn(3)
	after := churn(fromEnv("PROCMAN_CHAOS_CHURN", 12))
	t.Logf("before %+v, after %+v", before, after)
	if v := Settled(before, after, Allowance{Descriptors: 1, Threads: 4, Resident: 12 << 20}); len(v) > 0 {
		w.fail(v)
	}
	w.judge(nil)
	w.judgeOutput()
}
