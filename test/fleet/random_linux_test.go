package fleet

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestWhateverFailsInWhateverOrderNothingEverRunsTwiceAndAllRunsAgain makes rounds of failures of every kind, and loses
// a host at the end of each. No clock of a host fences what lives there when the daemon and the leash are both dead or
// stopped: that is said, and does not happen but when the whole host is lost.
func TestWhateverFailsInWhateverOrderNothingEverRunsTwiceAndAllRunsAgain(t *testing.T) {
	t.Parallel()
	program(t, "procman")
	many, first := rounds(t), rand.Uint64()>>16
	if n, err := strconv.ParseUint(os.Getenv(envSeed), 10, 64); err == nil {
		many, first = 1, n
	}
	var mu sync.Mutex
	var took []time.Duration
	t.Run("rounds", func(t *testing.T) {
		for n := range many {
			seed := first + uint64(n)
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				t.Cleanup(func() {
					if t.Failed() {
						t.Logf("again: %s=%d %s=%d", envSeed, seed, envSteps, steps(t))
					}
				})
				moves := round(t, rand.New(rand.NewPCG(seed, 1)))
				mu.Lock()
				defer mu.Unlock()
				for _, m := range moves {
					took = append(took, m.starts)
				}
			})
		}
	})
	distribution(t, "of rounds of failures", took)
}

// rounds is how many there are to be.
func rounds(t *testing.T) int {
	text := os.Getenv(envRounds)
	if text == "" {
		return 2
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(envRounds+":", err)
	}
	return n
}

// The environment has how many rounds there are to be, which seed one has, and how many steps. long says that somebody
// wants many.
const (
	envRounds = "PROCMAN_FLEET_ROUNDS"
	envSeed   = "PROCMAN_FLEET_SEED"
	envSteps  = "PROCMAN_FLEET_STEPS"
)

func long() bool { return os.Getenv(envRounds) != "" || os.Getenv(envSeed) != "" }

// steps is how many a round has.
func steps(t *testing.T) int {
	switch text := os.Getenv(envSteps); {
	case text != "":
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(envSteps+":", err)
		}
		return n
	case long():
		return 12
	}
	return 5
}

// takesLong passes over what takes long, unless it is asked for.
func takesLong(t *testing.T) {
	t.Helper()
	if !long() {
		t.Skip("takes long: " + envRounds + "=1 has it done")
	}
}

// distribution says how long takeovers took, from the loss of the host to the start elsewhere.
func distribution(t *testing.T, what string, took []time.Duration) {
	if len(took) == 0 {
		return
	}
	slices.Sort(took)
	at := func(part float64) time.Duration { return took[int(part*float64(len(took)-1))].Round(time.Millisecond) }
	t.Logf("%d takeovers %s, from the loss of the host to the start elsewhere: least %v, median %v, 90%% %v, 99%% "+
		"%v, most %v (TTL %v)",
		len(took), what, at(0), at(0.5), at(0.9), at(0.99), at(1), ttlOf(t))
}

func round(t *testing.T, r *rand.Rand) []move {
	w := newWorld(t, setup{members: 1 + 2*r.IntN(2)})
	w.apply(6, 3)
	for range steps(t) {
		w.step(r)
		time.Sleep(time.Duration(r.Int64N(int64(w.ttl / 2))))
	}
	w.heal()
	w.allRun()
	for _, h := range w.hosts {
		var movable []*life
		for _, l := range w.on(h) {
			if w.list[l.ID] {
				movable = append(movable, l)
			}
		}
		if len(movable) == 0 {
			continue
		}
		since := now()
		h.crash()
		return w.moved(since, movable)
	}
	t.Fatal("nothing that may move is anywhere")
	return nil
}

// step does something bad, or ends something bad.
func (w *world) step(r *rand.Rand) {
	h := w.hosts[r.IntN(len(w.hosts))]
	etcd := w.etcd[r.IntN(len(w.etcd))]
	up := h.alive() && !h.froze
	some := func(most time.Duration) time.Duration { return time.Duration(r.Int64N(int64(most))) + time.Millisecond }
	what, a, b := r.IntN(18), some(time.Second), some(w.ttl)
	say := func(format string, args ...any) {
		w.t.Logf("%v %s: %s", now().Round(time.Millisecond), h.name, fmt.Sprintf(format, args...))
	}
	wake := func() { // the leash is what is left
		if h.leash {
			h.signalLeash(syscall.SIGCONT)
		}
	}
	switch what {
	case 0, 1:
		if h.alive() {
			say("the daemon is killed")
			wake()
			h.kill()
		} else {
			say("a daemon is started")
			h.start()
		}
	case 2:
		say("it is lost")
		h.crash()
	case 3, 4:
		if h.alive() {
			say("the daemon is stopped: %v", !h.froze)
			wake()
			h.freeze(!h.froze)
		}
	case 5:
		if up {
			say("the leash is stopped: %v", !h.leash)
			h.signalLeash(map[bool]syscall.Signal{true: syscall.SIGSTOP, false: syscall.SIGCONT}[!h.leash])
		}
	case 6:
		if r, err := h.report(); up && err == nil && r.Leash {
			say("the leash is killed")
			h.anotherLeash()
		}
	case 7:
		say("nothing goes to etcd")
		h.fault(fault{Up: true})
	case 8:
		say("nothing comes from etcd")
		h.fault(fault{Down: true})
	case 9:
		say("it is cut off")
		h.fault(fault{Up: true, Down: true})
	case 10:
		say("all is late by %v", a)
		h.fault(fault{Slow: a})
	case 11:
		say("its link fails every %v", b)
		h.fault(fault{Flap: b})
	case 12:
		say("etcd refuses connections")
		h.fault(fault{Reset: true})
	case 13, 14:
		say("its link is whole")
		h.fault(fault{})
	case 15:
		switch {
		case !etcd.process.alive():
			say("member %d of etcd is started", etcd.n)
			etcd.start()
		case a < time.Second/2:
			say("member %d of etcd is killed", etcd.n)
			etcd.process.kill()
		default:
			say("member %d of etcd is stopped: %v", etcd.n, !etcd.stopped)
			etcd.stop(!etcd.stopped)
		}
	case 16:
		if up {
			say("it is upgraded")
			cmd := exec.Command(program(w.t, "procman"), "-c", filepath.Join(h.dir, "procman.yaml"), "upgrade",
				"--timeout", "20s")
			if out, err := ours.run(cmd); err != nil {
				say("it was not: %v: %s", err, out)
			}
		}
	case 17:
		if up {
			do := "drain"
			if a < time.Second/2 {
				do = "undrain"
			}
			ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
			say("%s: %v", do, h.ask(ctx, "POST", "/v1/fleet/hosts/"+h.name+"/"+do, nil, nil))
			cancel()
		}
	}
}

// heal ends all that is bad.
func (w *world) heal() {
	w.t.Helper()
	w.t.Logf("%v all is healed", now().Round(time.Millisecond))
	for _, etcd := range w.etcd {
		switch {
		case !etcd.process.alive():
			etcd.start()
		case etcd.stopped:
			etcd.stop(false)
		}
	}
	for _, h := range w.hosts {
		h.fault(fault{})
		if h.leash {
			h.signalLeash(syscall.SIGCONT)
		}
		switch {
		case !h.alive():
			h.start()
		case h.froze:
			h.freeze(false)
		}
	}
	w.joined(w.hosts...)
	for _, h := range w.hosts {
		w.until(h.name+" is not drained", func() bool {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			return h.ask(ctx, "POST", "/v1/fleet/hosts/"+h.name+"/undrain", nil, nil) == nil
		})
	}
}
