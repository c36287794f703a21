package chaos

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestAStopDuringTheForkLeavesNoProcess(t *testing.T) { // 28, 46
	t.Parallel()
	w := one(t, app{}, Control{})
	w.daemon.mustDo("stop", "a")
	held := map[string]bool{"a": true}
	w.converge(held)
	for n := range 25 {
		w.daemon.mustDo("start", "a")
		time.Sleep(time.Duration(n) * 200 * time.Microsecond) // a fork takes about a millisecond
		w.daemon.mustDo("stop", "a")
		w.converge(held)
	}
	w.daemon.mustDo("start", "a")
	w.judge(w.converge(nil))
}

func TestAStopBeforeItIsHealthyIsATermAtOnce(t *testing.T) { // 29
	t.Parallel()
	w := newWorld(t)
	w.global = "start: {deadline: 10m}"
	w.declare(app{id: "a"}, Control{Bind: BindNever})
	w.write()
	w.start().up().await("a", "starting", func(s shown) bool { return s.Phase == "starting" && s.PID != 0 })
	w.eventually(5*time.Second, "it lives", func() bool { _, any := w.newest("a"); return any })
	began := monotonic()
	w.daemon.mustDo("stop", "a")
	w.converge(map[string]bool{"a": true})
	var term Entry
	for _, e := range w.watcher.ledger() {
		if e.Event == Term {
			term = e
		}
	}
	require.NotZero(t, term.At)
	took := time.Duration(term.At - began)
	t.Logf("TERM after %v", took)
	require.Less(t, took, time.Minute, "long before its start would have failed")
}

func TestRestartsAskedForAtOnceAreOne(t *testing.T) { // 31
	t.Parallel()
	w := one(t, app{}, Control{TermAfter: Duration(300 * time.Millisecond)})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if err := w.daemon.do("restart", "a"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	w.eventually(5*time.Second, "a second run", func() bool { l, _ := w.newest("a"); return l.Run == 2 })
	w.judge(w.converge(nil))
	require.Len(t, Of(w.lives(), "a"), 2)
}

func TestAnInstanceTakenOutAndPutBackWaitsForItsOldProcess(t *testing.T) { // 32
	t.Parallel()
	w := one(t, app{spec: "1"}, Control{TermAfter: Duration(700 * time.Millisecond)})
	old, _ := w.newest("a")
	w.undeclare("a")
	w.write()
	require.NoError(t, w.daemon.reload())
	w.eventually(5*time.Second, "it is told to end", func() bool { l, _ := w.life(old.Process); return l.Terms > 0 })
	w.declare(app{id: "a", spec: "2"}, Control{})
	w.write()
	require.NoError(t, w.daemon.reload())
	w.judge(w.converge(nil))
	lives := Of(w.lives(), "a")
	require.Len(t, lives, 2)
	require.NotNil(t, lives[0].Exit, "it was given the time to end by itself")
}

func TestAConfigurationThatFlipsEndsInItsLast(t *testing.T) { // 34
	t.Parallel()
	w := one(t, app{spec: "0"}, Control{})
	for n := range 300 {
		w.apps[0].spec = fmt.Sprint(n % 2)
		w.write()
	}
	w.apps[0].spec = "last"
	w.write()
	w.judge(w.converge(nil))
	require.Less(t, len(Of(w.lives(), "a")), 8, "every flip was obeyed")
}

// TestAGrandchildInTheGroupIsKilledAndThenTheNextRunStarts: it holds the lock of the instance.
func TestAGrandchildInTheGroupIsKilledAndThenTheNextRunStarts(t *testing.T) { // 38, 43
	t.Parallel()
	for _, who := range []string{"own", "adopted", "while no manager lived"} {
		t.Run(who, func(t *testing.T) {
			t.Parallel()
			w := one(t, app{}, Control{Grandchildren: []Descent{{Lock: true}, {Lock: true, Stdout: true}}})
			grandchildren := w.grandchildren(2)
			p := w.daemon.process("a")
			switch who {
			case "adopted":
				w.adopted("a")
			case "while no manager lived":
				w.daemon.kill()
			}
			w.control("a", Control{})
			began := time.Now()
			require.True(t, signalProcess(p, unix.SIGKILL))
			if !w.daemon.alive() {
				w.gone(p)
				w.start().up()
			}
			for _, g := range grandchildren {
				w.gone(g)
			}
			w.eventually(5*time.Second, "a second run", func() bool { l, _ := w.newest("a"); return l.Run == 2 })
			t.Logf("the next run began %v after the end of the first", time.Since(began))
			w.judge(w.converge(nil))
		})
	}
}

// grandchildren waits for the entries of so many grandchildren.
func (w *world) grandchildren(n int) (found []Process) {
	w.Helper()
	w.eventually(5*time.Second, "the grandchildren live", func() bool {
		found = nil
		for _, e := range w.watcher.ledger() {
			if e.Event == Grandchild {
				found = append(found, e.Process)
			}
		}
		return len(found) == n
	})
	return found
}

// TestAGrandchildInASessionOfItsOwnEndsWithTheRunOrIsLeftByPolicy: it holds the lock of the instance and carries the
// tag. Where it is left, the next run gets a lock of its own.
func TestAGrandchildInASessionOfItsOwnEndsWithTheRunOrIsLeftByPolicy(t *testing.T) { // 38, 44
	t.Parallel()
	for _, policy := range []string{"end", "leave"} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			w := one(t, app{policy: "stop: {leftovers: " + policy + "}"},
				Control{Grandchildren: []Descent{{Setsid: true, Lock: true}}})
			g := w.grandchildren(1)[0]
			p := w.daemon.process("a")
			w.control("a", Control{})
			w.again() // the next manager does not take it for the process
			require.True(t, signalProcess(p, unix.SIGKILL))
			if policy == "end" {
				w.gone(g)
			}
			w.eventually(5*time.Second, "a second run", func() bool { l, _ := w.newest("a"); return l.Run == 2 })
			w.judge(w.converge(nil))
			require.Len(t, Of(w.lives(), "a"), 2)
			require.Equal(t, policy == "leave", signalProcess(g, unix.SIGKILL))
		})
	}
}

func TestAnExitIsReportedThoughAGrandchildHoldsStdout(t *testing.T) { // 45
	t.Parallel()
	w := one(t, app{policy: "restart: {mode: never}\nstop: {leftovers: leave}"},
		Control{Grandchildren: []Descent{{Setsid: true, Stdout: true}}, Rate: 50})
	g := w.grandchildren(1)[0]
	p := w.daemon.process("a")
	w.cue(p, "a", Control{Cue: &End{Code: 5}})
	s := w.daemon.await("a", "seen to have ended", func(s shown) bool { return s.LastExit != nil })
	require.Equal(t, 5, s.LastExit.Code)
	require.True(t, signalProcess(g, unix.SIGKILL), "the grandchild lives on")
	w.control("a", Control{})
	w.daemon.mustDo("start", "a")
	w.converge(nil)
	w.judgeOutput()
}

func TestAStopAndTheEndOfTheDaemonNameWhatTheyLeaveAlone(t *testing.T) { // F106
	t.Parallel()
	w := one(t, app{policy: "stop: {leftovers: leave}"}, Control{Grandchildren: []Descent{{Setsid: true}}})
	g := w.grandchildren(1)[0]
	pid := fmt.Sprintf("pid %d (", g.PID)
	out, code := w.cli("stop", "a", "--wait")
	require.Zero(t, code, out)
	require.Contains(t, out, "a process is left alone: "+pid)
	out, _ = w.cli("why", "a")
	require.Contains(t, out, "a process is left alone: "+pid)
	out, _ = w.cli("status", "a")
	require.Contains(t, out, "stopped by", "who holds it is said as well")
	out, code = w.cli("shutdown")
	require.Zero(t, code, out)
	require.Contains(t, out, "processes are left alone: a: "+pid)
	require.NotContains(t, out, "every instance was stopped")
	require.True(t, signalProcess(g, unix.SIGKILL), "it was left alone")
}
