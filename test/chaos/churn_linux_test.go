package chaos

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// churn makes changes, as people, programs and accidents do, and keeps account of what should come of them.
type churn struct {
	w         *world
	held      map[string]bool  // as far as it is known
	unsure    map[string]bool  // whether it is held only the status can tell: a command was cut off
	touched   map[string]bool  // since the last calm
	doomed    map[Process]bool // was sent a signal: it may live a little longer
	touches   map[string]int   // ever
	forgotten map[string]bool  // was taken out and put back, ever
	added     int
	specs     int
	history   []string // what was done since the last calm
}

func newChurn(w *world) *churn {
	return &churn{w: w, held: map[string]bool{}, unsure: map[string]bool{}, touched: map[string]bool{},
		doomed:  map[Process]bool{},
		touches: map[string]int{}, forgotten: map[string]bool{}}
}

// change is one thing that happens at a moment of a round.
type change struct {
	after time.Duration
	what  string
	pick  int // everything else that is left to chance
}

// changes are what may happen; those that stand there twice are twice as likely.
var changes = []string{"stop", "start", "start", "restart", "restart", "add", "remove", "spec", "spec", "policy",
	"broken", "kill", "kill", "crash", "cli", "readd", "upgrade"}

// habits are what the instances do, see [Habits].
var habits = []string{"", "", "clearenv", "closefds", "clearenv closefds", "drain=200ms", "detach=60", "helper=60",
	"group", "slow=100ms",
	"closefds detach=60", "drain=100ms helper=60", "group closefds helper=60"}

// draw makes the plan of a round: what happens, and when. All chance is in here, so that a plan can be made again,
// however its execution went.
func draw(rng *rand.Rand, within time.Duration) []change {
	plan := make([]change, 2+rng.IntN(9))
	for i := range plan {
		plan[i] = change{time.Duration(rng.Int64N(int64(within))), changes[rng.IntN(len(changes))], rng.IntN(1 << 20)}
	}
	slices.SortFunc(plan, func(a, b change) int { return int(a.after - b.after) })
	return plan
}

// add declares one more instance.
func (c *churn) add(pick int) {
	c.added++
	id := fmt.Sprintf("i%02d", c.added)
	c.touch(id)
	c.w.declare(app{id: id, spec: c.spec(), policy: policy(pick)}, Control{
		Habits: strings.Fields(habits[pick%len(habits)]),
		Rate:   40, TermAfter: Duration(time.Duration(pick%30) * time.Millisecond),
		BindAfter: Duration(time.Duration(pick%20) * time.Millisecond),
		End:       &End{Code: 3, After: Duration(700 * time.Millisecond), Chance: 0.3, Seed: int64(pick)},
	})
}

func (c *churn) touch(id string) {
	c.touched[id] = true
	c.touches[id]++
}

func (c *churn) spec() string {
	c.specs++
	return fmt.Sprintf("s%d", c.specs)
}

func policy(pick int) string { return fmt.Sprintf("health: {interval: %dms}", 200+pick%200) }

// do makes one change. What a dead daemon does not answer may have been done, or not.
func (c *churn) do(x change) {
	w := c.w
	c.history = append(c.history, fmt.Sprintf("%v %s %d", x.after, x.what, x.pick))
	if len(w.apps) == 0 {
		c.add(x.pick)
		w.write()
		return
	}
	i := x.pick % len(w.apps)
	id := w.apps[i].id
	switch x.what {
	case "stop", "start", "restart":
		c.command(x.what, id)
	case "cli":
		c.touch(id)
		if _, code := w.cli("stop", id); code == 0 {
			c.held[id] = true
		} else {
			c.unsure[id] = true
		}
	case "add":
		c.add(x.pick)
		w.write()
	case "remove":
		if len(w.apps) > 4 {
			c.touch(id)
			c.unsure[id] = true
			w.undeclare(id)
			w.write()
		}
	case "readd": // taken out and put back as something else, so fast that nobody may have seen it
		c.touch(id)
		c.unsure[id], c.forgotten[id] = true, true
		a := w.apps[i]
		w.undeclare(id)
		w.write()
		time.Sleep(time.Duration(x.pick%300) * time.Millisecond)
		a.spec = c.spec()
		w.apps = append(w.apps, a)
		w.write()
	case "spec":
		c.touch(id)
		w.apps[i].spec = c.spec()
		w.write()
		if x.pick%2 == 0 {
			_ = w.daemon.reload() // or it is found by watching the file
		}
	case "policy": // touches no process
		w.apps[i].policy = policy(x.pick)
		w.write()
	case "broken": // for a moment, half a file and something that is no YAML: without it half a list would be a wish
		text := w.yaml()
		if err := os.WriteFile(w.config, []byte(text[:len(text)*(x.pick%100)/100]+"\n\t}{"), 0o600); err != nil {
			w.Error(err)
		}
		_ = w.daemon.reload()
		w.write()
	case "upgrade": // who asks something meanwhile is answered by one of the two, or by nobody
		_ = w.daemon.ask(http.MethodPost, "/v1/upgrade", nil)
	case "kill", "crash":
		if l, any := w.newest(id); any && l.Ended == 0 {
			c.touch(id)
			signals := []unix.Signal{unix.SIGKILL, unix.SIGKILL, unix.SIGTERM}
			s := signals[x.pick%len(signals)]
			if x.what == "crash" {
				s = unix.SIGSEGV
			}
			c.doomed[l.Process] = true
			signalProcess(l.Process, s)
		}
	}
}

func (c *churn) command(verb, id string) {
	c.touch(id)
	var no *refused
	switch err := c.w.daemon.do(verb, id); {
	case errors.As(err, &no): // not done: it has just been added, or removed
	case err != nil:
		c.unsure[id] = true
	default:
		c.held[id] = verb == "stop"
		delete(c.unsure, id)
	}
}

// calm begins a new account.
func (c *churn) calm() {
	clear(c.touched)
	clear(c.unsure)
	c.history = nil
	for id := range c.held {
		if !slices.ContainsFunc(c.w.apps, func(a app) bool { return a.id == id }) {
			delete(c.held, id)
		}
	}
}

// converge waits for what should have come of all changes. What commands came to that were cut off the status decides.
func (c *churn) converge() ([]Shown, []Life) {
	c.w.Helper()
	out, lives := c.w.calm(c.held, c.unsure)
	for _, s := range out {
		if c.unsure[s.ID] {
			c.held[s.ID] = s.Held
		}
	}
	return out, lives
}
