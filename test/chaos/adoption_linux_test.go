package chaos

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// one makes a world with the instance "a", up and healthy.
func one(t *testing.T, a app, c Control) *world {
	t.Helper()
	w := newWorld(t)
	a.id = "a"
	w.declare(a, c)
	w.write()
	w.start().up().healthy("a")
	return w
}

// again kills the daemon and starts another, without waiting for anything but its answer.
func (w *world) again() *daemon {
	w.Helper()
	w.daemon.kill()
	return w.start().up()
}

// adopted kills the daemon and returns the next one when it has adopted the instance.
func (w *world) adopted(id string) *daemon {
	w.Helper()
	w.again()
	w.daemon.await(id, "adopted", func(s shown) bool { return s.Adopted && s.Phase == "running" })
	return w.daemon
}

// cue has the instance end now, as the control file says from now on.
func (w *world) cue(p Process, id string, c Control) {
	w.Helper()
	w.control(id, c)
	require.True(w, signalProcess(p, unix.SIGUSR1), "the process to be told lives")
}

func (w *world) gone(p Process) {
	w.Helper()
	w.eventually(5*time.Second, fmt.Sprintf("process %d is gone", p.PID), func() bool {
		now, err := readStat(p.PID)
		return err != nil || now.Start != p.Start || now.State == 'Z'
	})
}

func TestAManagerKilledWhileIdleAdoptsEveryProcess(t *testing.T) { // 1
	t.Parallel()
	w := newWorld(t)
	for n := range 20 {
		w.declare(app{id: fmt.Sprintf("i%d", n), spec: "1"}, Control{Rate: 20})
	}
	w.write()
	w.start().up()
	w.converge(nil)
	before := w.processes()
	w.daemon.kill()
	began := time.Now()
	w.start().up()
	out := w.converge(nil)
	t.Logf("20 adopted in %v", time.Since(began))
	w.judge(out)
	require.Empty(t, Undisturbed(before, nil, w.lives()))
	require.Equal(t, before, w.processes())
	for _, s := range out {
		require.Zero(t, s.Restarts, s.ID)
	}
	w.judgeOutput()
}

// remembered waits until the manager has written that down of an instance, which it does aside.
func (w *world) remembered(id, what string) {
	w.Helper()
	w.eventually(5*time.Second, "the manager remembers "+what, func() bool {
		text, err := os.ReadFile(filepath.Join(w.state, "instances", id, "memory.json"))
		return err == nil && strings.Contains(string(text), what)
	})
}

func TestAStopResumesWithWhatIsLeftOfItsGrace(t *testing.T) { // 6
	t.Parallel()
	w := one(t, app{policy: "stop: {grace: 8s}"}, Control{Term: TermIgnored})
	l, _ := w.newest("a")
	began := time.Now() // a busy host may be slow to say that it is stopping
	w.daemon.mustDo("stop", "a")
	w.eventually(10*time.Second, "the process is told to end", func() bool { l, _ = w.newest("a"); return l.Terms > 0 })
	w.remembered("a", `"stop_as":"stopped"`) // aside, a moment after TERM: before that a stop would begin anew
	w.daemon.kill()
	time.Sleep(6400 * time.Millisecond)
	w.start().up()
	up := time.Now()
	w.gone(l.Process)
	took := time.Since(began)
	t.Logf("killed %v after the stop began, %v after the next manager was there", took, time.Since(up))
	require.Greater(t, took, 7800*time.Millisecond, "the grace was cut short by the death of the manager")
	require.Less(t, time.Since(up), 7600*time.Millisecond, "the grace began anew")
	s := w.daemon.await("a", "stopped", func(s shown) bool { return s.Phase == "stopped" && s.Held })
	require.NotNil(t, s.LastExit)
	require.Equal(t, "stopped", s.LastExit.Reason)
	require.Len(t, Of(w.lives(), "a"), 1)
}

func TestAProcessThatWasToBeStoppedIsNotRestartedWhenTheManagerDiesBesideIt(t *testing.T) { // 7
	t.Parallel()
	for _, name := range []string{"before-reap", "after-reap"} {
		for _, how := range []string{"stop", "remove"} {
			t.Run(name+" "+how, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				w.declare(app{id: "a", policy: "stop: {grace: 1s}"}, Control{Term: TermIgnored})
				w.declare(app{id: "b"}, Control{})
				w.write()
				w.program = failingProgram(t)
				w.start("PROCMAN_FAILPOINT=" + name).up().healthy("a")
				l, _ := w.newest("a")
				if how == "stop" {
					_ = w.daemon.do("stop", "a") // it may die before it has answered
				} else {
					w.undeclare("a")
					w.write()
				}
				require.Equal(t, -1, w.daemon.wait(5*time.Second))
				w.program = procmanProgram(t)
				w.start().up()
				w.converge(map[string]bool{"a": how == "stop"})
				w.gone(l.Process)
				require.Len(t, Of(w.lives(), "a"), 1, "it was started again")
			})
		}
	}
}

// TestAStopOfWhichTheManagerDiedBeforeItAnsweredIsDoneWholeOrNotAtAll: it died between TERM, which waits for no disk,
// and its answer. The next one holds the instance down, if that was written, with the policy that the configuration
// has; or it knows nothing of the stop, and the instance runs.
func TestAStopOfWhichTheManagerDiedBeforeItAnsweredIsDoneWholeOrNotAtAll(t *testing.T) { // 6, 7
	t.Parallel()
	w := newWorld(t)
	w.declare(app{id: "a", policy: "stop: {grace: 100ms}"}, Control{Term: TermIgnored})
	w.write()
	w.program = failingProgram(t)
	w.start("PROCMAN_FAILPOINT=after-signal").up().healthy("a")
	l, _ := w.newest("a")
	answered := w.daemon.do("stop", "a") == nil
	require.Equal(t, -1, w.daemon.wait(5*time.Second))
	w.program = procmanProgram(t)
	w.start().up()
	document, err := w.daemon.status()
	require.NoError(t, err)
	held := document.Instances[0].Held
	require.True(t, held || !answered, "what was answered is done")
	w.converge(map[string]bool{"a": held})
	if held {
		w.gone(l.Process)
	}
	require.Len(t, Of(w.lives(), "a"), 1)
}

// TestAProcessThatItsManagerDidNotLiveToCountIsCounted: it died right after the fork, or after the record.
func TestAProcessThatItsManagerDidNotLiveToCountIsCounted(t *testing.T) { // 5, I9
	t.Parallel()
	for _, name := range []string{"after-fork", "after-record"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.declare(app{id: "a"}, Control{})
			w.write()
			w.program = failingProgram(t)
			w.start("PROCMAN_FAILPOINT=" + name + ":2").up().healthy("a")
			_ = w.daemon.do("restart", "a")
			require.Equal(t, -1, w.daemon.wait(5*time.Second))
			w.program = procmanProgram(t)
			w.start().up()
			out := w.converge(nil)
			w.judge(out)
			require.Len(t, Of(w.lives(), "a"), 2)
			if v := RestartsAgree(w.lives(), out, nil, nil); len(v) > 0 {
				w.fail(v)
			}
		})
	}
}

func TestADelayThatWasUnderWaySurvivesTheManager(t *testing.T) { // 8
	t.Parallel()
	w := newWorld(t)
	w.declare(app{id: "a", policy: "restart: {initial: 8s, max: 8s, jitter: 0, stable_after: 60s}"},
		Control{End: &End{Code: 9}})
	w.write()
	w.start().up()
	in := func(s shown) bool { return s.Phase == "backoff" && s.NextStartAt != nil && s.LastExit != nil }
	first := w.daemon.await("a", "in backoff", in)
	w.remembered("a", `"phase":"backoff"`)
	w.again()
	second := w.daemon.await("a", "in backoff", in)
	require.WithinDuration(t, *first.NextStartAt, *second.NextStartAt, 100*time.Millisecond, "the delay began anew")
	require.Equal(t, first.ConsecutiveFailures, second.ConsecutiveFailures)
	require.Equal(t, 9, second.LastExit.Code)
	require.Len(t, Of(w.lives(), "a"), 1)
	w.eventually(9*time.Second, "the second start", func() bool { return len(Of(w.lives(), "a")) == 2 })
	born := Of(w.lives(), "a")[1].Born
	late := time.Since(*first.NextStartAt) - time.Duration(monotonic()-born)
	require.Greater(t, late, -500*time.Millisecond, "it was started sooner than shown")
	require.Less(t, late, 2500*time.Millisecond, "it was started later than shown")
}

// TestAChildThatEndedWhileNoManagerLivedIsCountedAndItsCodeIsNotInvented: nobody can tell the code any more when init
// has reaped it; while it is a zombie /proc can.
func TestAChildThatEndedWhileNoManagerLivedIsCountedAndItsCodeIsNotInvented(t *testing.T) { // 10
	t.Parallel()
	w := one(t, app{policy: "restart: {initial: 1s, max: 1s, jitter: 0, stable_after: 60s}"}, Control{})
	p := w.daemon.process("a")
	w.daemon.kill()
	w.cue(p, "a", Control{Cue: &End{Code: 7}})
	w.eventually(5*time.Second, "it is reaped", func() bool { _, err := readStat(p.PID); return err != nil })
	w.control("a", Control{})
	w.start().up()
	s := w.daemon.await("a", "counted", func(s shown) bool { return s.LastExit != nil })
	require.False(t, s.LastExit.Known)
	require.Equal(t, -1, s.LastExit.Code, "a code that nobody can know")
	require.Empty(t, s.LastExit.Signal)
	require.Equal(t, "unknown", s.LastExit.Reason)
	require.Equal(t, 1, s.ConsecutiveFailures)
	s = w.daemon.healthy("a")
	require.Equal(t, 1, s.Restarts)
	w.judge(shownOf(document{Instances: []shown{s}}))
}

func TestTheExitOfAnAdoptedChildIsNoticedAtOnceAndToldExactly(t *testing.T) { // 17
	t.Parallel()
	for name, c := range map[string]struct {
		end    End
		code   int
		signal string
	}{
		"exit 7":          {End{Code: 7}, 7, ""},
		"exit 0":          {End{Code: 0}, 0, ""},
		"SEGV":            {End{Signal: int(unix.SIGSEGV)}, -1, "SEGV"},
		"KILL by a third": {End{Signal: int(unix.SIGKILL)}, -1, "KILL"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := one(t, app{policy: "restart: {initial: 5s, max: 5s, stable_after: 60s}"}, Control{})
			w.adopted("a")
			p := w.daemon.process("a")
			w.cue(p, "a", Control{Cue: &c.end})
			s := w.daemon.await("a", "seen to have ended", func(s shown) bool { return s.LastExit != nil })
			seen := time.Now()
			var end Entry
			for _, e := range w.watcher.ledger() {
				if e.Event == Exit {
					end = e
				}
			}
			require.Equal(t, p, end.Process)
			took := time.Duration(monotonic()-end.At) - time.Since(seen)
			t.Logf("noticed, and shown to us, %v after its last words", took)
			require.Less(t, took, 500*time.Millisecond*time.Duration(patience()), "it is not polled for")
			require.True(t, s.LastExit.Known)
			require.Equal(t, c.code, s.LastExit.Code)
			require.Equal(t, c.signal, s.LastExit.Signal)
		})
	}
}

func TestAnAdoptedChildIsStoppedRestartedAndFoundSickLikeAnyOther(t *testing.T) { // 17
	t.Parallel()
	w := one(t, app{policy: "health: {interval: 50ms, failures: 2}"}, Control{})
	w.adopted("a")
	w.daemon.mustDo("restart", "a")
	w.eventually(5*time.Second, "a second run", func() bool { l, _ := w.newest("a"); return l.Run == 2 })
	w.daemon.healthy("a")
	w.adopted("a")
	w.control("a", Control{Health: HealthSick})
	w.eventually(5*time.Second, "a third run", func() bool { l, _ := w.newest("a"); return l.Run == 3 })
	w.control("a", Control{})
	w.daemon.healthy("a")
	w.adopted("a")
	w.daemon.mustDo("stop", "a")
	s := w.daemon.await("a", "stopped", func(s shown) bool { return s.Phase == "stopped" })
	require.True(t, s.LastExit.Known)
	require.Equal(t, 0, s.LastExit.Code)
	w.converge(map[string]bool{"a": true})
	w.judge(nil)
}

// TestAHoldSurvivesEveryDeathOfTheManager: what an operator was told must be true.
func TestAHoldSurvivesEveryDeathOfTheManager(t *testing.T) {
	t.Parallel()
	w := one(t, app{}, Control{})
	for n := range 8 {
		w.daemon.mustDo("stop", "a")
		w.again()
		w.converge(map[string]bool{"a": true})
		w.daemon.mustDo("start", "a")
		if n%2 == 0 {
			w.again()
		}
		w.converge(nil)
	}
	w.judge(nil)
}
