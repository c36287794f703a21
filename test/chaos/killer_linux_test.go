package chaos

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestTheManagerKilledAtRandomInstants kills the daemon under churn, again and again, and checks every invariant after
// each death. PROCMAN_CHAOS_ROUNDS and PROCMAN_CHAOS_INSTANCES make it longer and larger; -chaos.seed replays its plan.
func TestTheManagerKilledAtRandomInstants(t *testing.T) { // 1, 2, 9
	t.Parallel()
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Int64N(1 << 31)
	}
	rounds, instances := fromEnv("PROCMAN_CHAOS_ROUNDS", 8), fromEnv("PROCMAN_CHAOS_INSTANCES", 14)
	k := newKiller(t, seed, instances)
	defer func() {
		if t.Failed() {
			t.Logf("round %d of seed %d; replay with: go test ./test/chaos -run '^%s$' -chaos.seed=%d\nthe round: "+
				"kill after %v, pause %v, %d daemons\n%s",
				k.round, seed, t.Name(), seed, k.killAfter, k.pause, k.boots, strings.Join(k.churn.history, "\n"))
		}
	}()
	began := time.Now()
	for k.round = 1; k.round <= rounds; k.round++ {
		k.kill()
		k.judge(k.round%10 == 0 || k.round == rounds)
	}
	t.Logf("seed %d: %d rounds in %v, %d processes, longest convergence %v", seed, rounds,
		time.Since(began).Round(time.Millisecond),
		len(managedOnly(k.world.lives())), k.longest.Round(time.Millisecond))
}

type killer struct {
	*world
	churn     *churn
	seed      int64
	round     int
	killAfter time.Duration
	pause     time.Duration
	boots     int
	kills     []int64 // when daemons were killed, CLOCK_MONOTONIC
	before    map[string]Process
	longest   time.Duration
}

func newKiller(t *testing.T, seed int64, instances int) *killer {
	t.Helper()
	w := newWorld(t)
	w.ends = true
	w.ports = takePorts(400)
	k := &killer{world: w, seed: seed, churn: newChurn(w)}
	rng := k.rng()
	for range instances {
		k.churn.add(rng.IntN(1 << 20))
	}
	w.write()
	w.bystander(w.ports[0]+3, w.dir+"/by.db") // where the daemon gives out ports
	w.bystander(w.ports[1], w.dir+"/i01.db")  // on the database of an instance
	w.start().up()
	k.judge(true)
	return k
}

// rng is the chance of this round.
func (k *killer) rng() *rand.Rand { return rand.New(rand.NewPCG(uint64(k.seed), uint64(k.round))) }

// kill is one round: changes, a death among them, and a new daemon.
func (k *killer) kill() {
	rng := k.rng()
	plan := draw(rng, 250*time.Millisecond)
	k.killAfter = time.Duration(rng.Int64N(int64(300 * time.Millisecond)))
	k.pause = 0
	if rng.IntN(2) == 0 {
		k.pause = time.Duration(rng.Int64N(int64(200 * time.Millisecond)))
	}
	old, began := k.daemon, time.Now()
	done := make(chan struct{})
	go func() {
		defer close(done)
		time.Sleep(time.Until(began.Add(k.killAfter)))
		kill := monotonic()
		old.kill()
		k.kills = append(k.kills, kill)
	}()
	rest := len(plan)
	for i, x := range plan {
		if x.after > k.killAfter+k.pause {
			rest = i
			break
		}
		time.Sleep(time.Until(began.Add(x.after)))
		k.churn.do(x)
	}
	<-done
	time.Sleep(k.pause)
	for k.boots = 1; rng.IntN(3) == 0; k.boots++ { // the next one dies while it takes over
		k.start()
		time.Sleep(time.Duration(rng.Int64N(int64(60 * time.Millisecond))))
		k.kills = append(k.kills, monotonic())
		k.daemon.kill()
	}
	k.start()
	for _, x := range plan[min(rest, len(plan)):] { // while the new one is starting
		time.Sleep(time.Until(began.Add(x.after)))
		if x.what == "broken" {
			k.daemon.up() // a daemon that begins with a broken configuration ends, rightly
		}
		k.churn.do(x)
	}
	k.daemon.up()
}

// judge waits for the calm after a round, and checks everything.
func (k *killer) judge(all bool) {
	k.Helper()
	began := time.Now()
	out, lives := k.churn.converge()
	k.longest = max(k.longest, time.Since(began))
	k.world.judge(out)
	if v := Undisturbed(k.before, k.churn.touched, lives); len(v) > 0 {
		k.fail(v)
	}
	if all {
		k.judgeOutput()
	}
	if v := RestartsAgree(lives, k.remembered(out), k.churn.touches, k.lost(lives)); len(v) > 0 {
		k.fail(v)
	}
	k.before = map[string]Process{}
	for id, p := range k.processes() {
		if s, known := find(out, id); known && s.PID == p.PID && !k.churn.doomed[p] {
			k.before[id] = p
		}
	}
	k.churn.calm()
}

// remembered returns what is shown of the instances that were there all the time. Of one that was taken out and put
// back the daemon may have forgotten everything, or not have noticed.
func (k *killer) remembered(out []Shown) (some []Shown) {
	for _, s := range out {
		if !k.churn.forgotten[s.ID] {
			some = append(some, s)
		}
	}
	return some
}

// lost returns, by instance, the processes that are dead and may have been on no record: their manager was killed a
// moment after they were started. On a busy machine it may have had no processor in that moment.
func (k *killer) lost(lives []Life) map[string]int {
	out := map[string]int{}
	for _, l := range lives {
		if l.Ended != 0 && slices.ContainsFunc(k.kills, func(kill int64) bool {
			return time.Duration(kill-l.Born).Abs() < 50*time.Millisecond*time.Duration(patience())
		}) {
			out[l.Instance]++
		}
	}
	return out
}

func find(out []Shown, id string) (Shown, bool) {
	for _, s := range out {
		if s.ID == id {
			return s, true
		}
	}
	return Shown{}, false
}
