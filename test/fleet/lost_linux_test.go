package fleet

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// hostWithBoth returns a host that has some that may move, and some that may not, and what it has. What has moved is
// moved to where it would be placed anew.
func (w *world) hostWithBoth() (found *host, movable, bound []*life) {
	w.t.Helper()
	found = w.choose("a host has both kinds", func(h *host) bool {
		movable, bound = nil, nil
		for _, l := range w.on(h) {
			if w.list[l.ID] {
				movable = append(movable, l)
			} else {
				bound = append(bound, l)
			}
		}
		return len(movable) > 0 && len(bound) > 0
	})
	return found, movable, bound
}

// choose returns a host that is fit. While none is, what has moved is moved to where it would be placed anew.
func (w *world) choose(what string, fit func(h *host) bool) (found *host) {
	w.t.Helper()
	asked := time.Now()
	w.until(what, func() bool {
		for _, h := range w.hosts {
			if found = h; fit(h) {
				return true
			}
		}
		if time.Since(asked) > 3*time.Second {
			asked = time.Now()
			w.rebalance()
		}
		return false
	})
	return found
}

func (w *world) rebalance() {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(w.t, w.hosts[0].ask(ctx, "POST", "/v1/fleet/rebalance", nil, nil))
}

// spread applies so many that each host has both kinds, as good as ever, once every host has been a member for long
// enough to be given some.
func (w *world) spread() {
	w.t.Helper()
	time.Sleep(2 * time.Second)
	w.apply(8, 8)
}

// move is an instance that another host has started.
type move struct {
	id            string
	ended, starts time.Duration // since what the host was lost by: the last sign of life, and the start elsewhere
}

// moved waits until all of them have been started elsewhere.
func (w *world) moved(since time.Duration, all []*life) (moves []move) {
	w.t.Helper()
	w.until("others have started what was lost", func() bool {
		moves = nil
		lives := w.read()
		for _, l := range all {
			i := slices.IndexFunc(lives[l.ID], func(x *life) bool { return x.Host != l.Host && x.Start > since })
			if i <= 0 {
				return false
			}
			moves = append(moves, move{l.ID, lives[l.ID][i-1].Last - since, lives[l.ID][i].Start - since})
		}
		return true
	})
	return moves
}

// figures says how long it took.
func (w *world) figures(what string, moves []move) {
	ended, first, last := moves[0].ended, moves[0].starts, moves[0].starts
	for _, m := range moves {
		ended, first, last = max(ended, m.ended), min(first, m.starts), max(last, m.starts)
	}
	w.t.Logf("%s: the last of %d lived until %v, the first was started elsewhere at %v, the last at %v (TTL %v)",
		what, len(moves),
		ended.Round(time.Millisecond), first.Round(time.Millisecond), last.Round(time.Millisecond), w.ttl)
}

// untouched requires that the processes are still those, and live.
func (w *world) untouched(lives []*life) {
	w.t.Helper()
	since := now()
	w.until("who may not be touched lives", func() bool {
		newest := w.read()
		for _, l := range lives {
			of := newest[l.ID]
			require.Equal(w.t, fmt.Sprint(l.Host, " ", l.PID),
				fmt.Sprint(of[len(of)-1].Host, " ", of[len(of)-1].PID), l.ID)
			if of[len(of)-1].Last < since {
				return false
			}
		}
		return true
	})
}

// upgrade puts the program in the daemon's place.
func (h *host) upgrade() {
	h.w.t.Helper()
	cmd := exec.Command(program(h.w.t, "procman"), "-c", filepath.Join(h.dir, "procman.yaml"), "upgrade")
	out, err := ours.run(cmd)
	require.NoError(h.w.t, err, out)
}

// anotherLeash kills the leash, and waits for the next.
func (h *host) anotherLeash() {
	h.w.t.Helper()
	had := h.leashPID()
	require.NotZero(h.w.t, had)
	h.signalLeash(syscall.SIGKILL)
	h.w.until("there is another leash", func() bool {
		pid := h.leashPID()
		r, err := h.report()
		return pid != 0 && pid != had && err == nil && r.Leash
	})
}

// loss is a way to lose a host, but for its instances, and to have it back.
type loss struct {
	name     string
	do, undo func(h *host)
}

// lose does all of it one after the other, or one, unless all is asked for.
func (w *world) lose(all []loss) {
	if !long() {
		all = all[:1]
	}
	for _, c := range all {
		if w.t.Failed() {
			return
		}
		h, movable, bound := w.hostWithBoth()
		since := now()
		c.do(h)
		w.figures(c.name, w.moved(since, movable))
		w.untouched(bound)
		c.undo(h)
		w.joined(w.hosts...)
		w.allRun()
		w.untouched(bound)
	}
}

func TestWhatIsFencedHasEndedOnALostHostBeforeOthersStartItAndWhatMayNotMoveIsNotTouched(t *testing.T) {
	takesLong(t)
	t.Parallel()
	w := newWorld(t, setup{members: 1})
	w.spread()
	heal := func(h *host) { h.fault(fault{}) }
	all := fault{Up: true, Down: true}
	w.lose([]loss{
		{"nothing goes to etcd", func(h *host) { h.fault(fault{Up: true}) }, heal},
		{"nothing comes from etcd", func(h *host) { h.fault(fault{Down: true}) }, heal},
		{"neither", func(h *host) { h.fault(all) }, heal},
		{"etcd refuses connections", func(h *host) { h.fault(fault{Reset: true}) }, heal},
		{"the daemon is stopped", func(h *host) { h.freeze(true) }, func(h *host) { h.freeze(false) }},
		{"the daemon is killed", func(h *host) { h.kill() }, (*host).start},
		{"the leash is killed, then the daemon", func(h *host) { h.anotherLeash(); h.kill() }, (*host).start},
		{"the leash is stopped, then the host cut off", func(h *host) { h.signalLeash(syscall.SIGSTOP); h.fault(all) },
			func(h *host) {
				h.signalLeash(syscall.SIGCONT)
				heal(h)
			}},
		{"the daemon is restarted while the host is cut off",
			func(h *host) { h.fault(all); h.kill(); h.start() }, heal},
		{"the daemon is upgraded while the host is cut off", func(h *host) { h.fault(all); h.upgrade() }, heal},
	})
}

func TestALinkThatIsCutOrGoesOneWayLosesAHostAndNothingRunsTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{members: 1, room: true})
	w.spread()
	both := func(name string, f func(r *room, host string, on bool)) loss {
		return loss{name, func(h *host) { f(w.room, h.name, true) }, func(h *host) { f(w.room, h.name, false) }}
	}
	w.lose([]loss{
		both("the link is down", (*room).cut),
		both("what the host sends is dropped", (*room).mute),
		both("what etcd sends is dropped", (*room).deafen),
		{"the daemon is restarted while the link is down",
			func(h *host) { w.room.cut(h.name, true); h.kill(); h.start() },
			func(h *host) { w.room.cut(h.name, false) }},
		{"the daemon is upgraded while nothing comes", func(h *host) { w.room.deafen(h.name, true); h.upgrade() },
			func(h *host) { w.room.deafen(h.name, false) }},
		{"the link is up now and then", func(h *host) {
			for range 4 {
				w.room.cut(h.name, true)
				time.Sleep(w.ttl / 4)
				w.room.cut(h.name, false)
				time.Sleep(w.ttl / 20)
			}
			w.room.cut(h.name, true)
		}, func(h *host) { w.room.cut(h.name, false) }},
	})
}

func TestADaemonThatIsKilledAloneHasASuccessorThatGoesOnWithItsLeaseAndNothingMoves(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{members: 1, ttl: 30 * time.Second}) // in which also a busy host starts a daemon
	w.spread()
	h, movable, bound := w.hostWithBoth()
	had, err := h.report()
	require.NoError(t, err)
	deadline := func() time.Duration {
		r, err := h.report()
		require.NoError(t, err)
		return now() + time.Duration(r.Deadline*float64(time.Second))
	}
	same := func(before time.Duration) {
		t.Helper()
		w.joined(h)
		r, err := h.report()
		require.NoError(t, err)
		require.Equal(t, had.Incarnation, r.Incarnation)
		require.Equal(t, fleetProgram, h.runs())
		w.until("it renews the lease", func() bool { return deadline() > before+time.Second })
		w.untouched(append(movable, bound...))
	}
	before := deadline()
	h.kill()
	h.start()
	same(before)
	// The program that is called has no part of etcd's client.
	// it may find more
	out, _ := ours.run(exec.Command(program(t, "procman"), "-c", filepath.Join(h.dir, "procman.yaml"), "doctor"))
	require.Regexp(t, `ok +fleet store +http://127.0.0.1:[0-9]+ is etcd 3\.[0-9.]+ and answers in`, out)

	pid := h.daemon.pid
	before = deadline()
	h.upgrade()
	require.True(t, h.alive())
	require.Equal(t, pid, h.daemon.pid)
	same(before)
}

func TestAHostThatIsLostWithAllItHasIsReplacedButForWhatMayNotMove(t *testing.T) {
	takesLong(t)
	t.Parallel()
	w := newWorld(t, setup{members: 1})
	w.spread()
	h, movable, bound := w.hostWithBoth()
	since := now()
	h.crash()
	w.figures("a host is lost", w.moved(since, movable))
	h.start()
	w.joined(h)
	w.allRun()
	for _, l := range bound {
		of := w.read()[l.ID]
		require.Equal(t, h.name, of[len(of)-1].Host)
	}
}

func TestAHostThatIsLostTogetherWithTheLeaderOfEtcdIsReplaced(t *testing.T) {
	takesLong(t)
	t.Parallel()
	w := newWorld(t, setup{members: 3})
	w.spread()
	var took []time.Duration
	for range max(1, rounds(t)/10) {
		h, movable, _ := w.hostWithBoth()
		leader := w.leader()
		since := now()
		leader.process.kill()
		h.crash()
		for _, m := range w.moved(since, movable) {
			took = append(took, m.starts)
		}
		leader.start()
		h.start()
		w.joined(w.hosts...)
		w.allRun()
	}
	distribution(t, "with etcd's leader lost in the same moment", took)
}

// leader asks etcd who leads.
func (w *world) leader() (found *server) {
	w.t.Helper()
	w.until("etcd has a leader", func() bool {
		for _, s := range w.etcd {
			answer, err := http.Post(fmt.Sprintf("http://%s:%d/v3/maintenance/status", w.etcdAddress(), s.port),
				"application/json", bytes.NewBufferString("{}"))
			if err != nil {
				continue
			}
			var said struct {
				Header struct {
					Member string `json:"member_id"`
				}
				Leader string
			}
			err = json.NewDecoder(answer.Body).Decode(&said)
			_ = answer.Body.Close()
			if err == nil && said.Leader == said.Header.Member && said.Leader != "" && said.Leader != "0" {
				found = s
				return true
			}
		}
		return false
	})
	return found
}

func TestWhileEtcdIsStoppedOrDeadOnlyWhatMayNotMoveRunsAndAllDoesWhenItIsBack(t *testing.T) {
	takesLong(t)
	t.Parallel()
	w := newWorld(t, setup{members: 1})
	w.spread()
	var bound []*life
	for _, h := range w.hosts {
		for _, l := range w.on(h) {
			if !w.list[l.ID] {
				bound = append(bound, l)
			}
		}
	}
	etcd := w.etcd[0]
	for _, c := range []struct {
		name     string
		do, undo func()
	}{
		{"stopped", func() { etcd.stop(true) }, func() { etcd.stop(false) }},
		{"dead", etcd.process.kill, etcd.start},
	} {
		since := now()
		c.do()
		w.until("what is fenced has ended", func() bool {
			for _, of := range w.read() {
				l := of[len(of)-1]
				if w.list[l.ID] && now()-l.Last < time.Second {
					return false
				}
			}
			return true
		})
		var last time.Duration
		for _, of := range w.read() {
			if l := of[len(of)-1]; w.list[l.ID] {
				last = max(last, l.Last-since)
			}
		}
		t.Logf("etcd %s: the last that is fenced lived until %v (TTL %v)", c.name, last.Round(time.Millisecond), w.ttl)
		w.untouched(bound)
		c.undo()
		w.joined(w.hosts...)
		w.allRun()
		w.untouched(bound)
	}
}

func TestAHostWhoseDiskIsFullWhereTheDeadlineIsWrittenRunsNothingTwice(t *testing.T) {
	takesLong(t)
	t.Parallel()
	w := newWorld(t, setup{members: 1, disks: true})
	w.spread()
	h, movable, bound := w.hostWithBoth()
	h.fill()
	time.Sleep(w.ttl + 2*time.Second)
	w.untouched(bound)
	w.untouched(movable) // the file has its room since it was made
	w.lose([]loss{
		{"the disk is full, and the daemon dead", func(h *host) { h.fill(); h.kill() },
			func(h *host) { h.unfill(); h.start() }},
	})
}
