package chaos

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
)

// converge waits until the daemon has brought about what is wanted, and returns what it shows then. held are the
// instances that an operator holds down.
func (w *world) converge(held map[string]bool) []Shown {
	w.Helper()
	out, _ := w.calm(held, nil)
	return out
}

// calm is converge. Whether the unsure ones are held is what the status says. The lives are those of that moment.
func (w *world) calm(held, unsure map[string]bool) ([]Shown, []Life) {
	w.Helper()
	var wrong violations
	var out []Shown
	var lives []Life
	deadline := time.Now().Add(inTime(15 * time.Second))
	for {
		if wrong, out, lives = w.distance(held, unsure); len(wrong) == 0 {
			return out, lives
		}
		if time.Now().After(deadline) {
			w.fail(wrong)
		}
		if !w.daemon.alive() {
			w.Fatalf("the daemon has ended with code %d", w.daemon.code)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (w *world) distance(held, unsure map[string]bool) (violations, []Shown, []Life) {
	w.Helper()
	doc, err := w.daemon.status()
	if err != nil {
		return violations{{"I2", err.Error()}}, nil, nil
	}
	out, lives := shownOf(doc), w.lives()
	decided := map[string]bool{}
	maps.Copy(decided, held)
	for _, s := range out {
		if unsure[s.ID] {
			decided[s.ID] = s.Held
		}
	}
	wrong := Converged(w.wanted(decided), managedOnly(lives), out)
	if len(wrong) == 0 {
		wrong = NothingElse(w.wanted(decided), w.managed())
	}
	if len(wrong) == 0 && w.ends {
		wrong = NothingLeft(out, w.descendants())
	}
	return wrong, out, lives
}

// descendants returns those that live of all that children have started, by process, whatever they show of themselves:
// their ledger tells of which run they are.
func (w *world) descendants() map[Process]Entry {
	w.Helper()
	alive := map[Process]Entry{}
	for _, e := range w.watcher.ledger() {
		if e.Event != Grandchild {
			continue
		}
		if now, err := readStat(e.Process.PID); err == nil && now.Start == e.Process.Start && now.State != 'Z' {
			alive[e.Process] = e
		}
	}
	return alive
}

func shownOf(doc document) []Shown {
	out := make([]Shown, len(doc.Instances))
	for i, s := range doc.Instances {
		out[i] = s.Shown
	}
	return out
}

func managedOnly(lives []Life) []Life {
	return slices.DeleteFunc(slices.Clone(lives), func(l Life) bool { return l.Instance == "" })
}

func (w *world) fail(wrong violations) {
	w.Helper()
	lines := make([]string, len(wrong))
	for i, v := range wrong {
		lines[i] = v.String()
	}
	w.Fatalf("%s", strings.Join(lines, "\n"))
}

// judge checks the invariants that hold at every moment.
func (w *world) judge(out []Shown) {
	w.Helper()
	lives := w.lives()
	var wrong violations
	wrong = append(wrong, NeverTwo(lives)...)
	wrong = append(wrong, PortsApart(lives)...)
	wrong = append(wrong, BystandersUnharmed(lives, out)...)
	wrong = append(wrong, NoZombies(w.watcher.undead())...)
	if len(wrong) > 0 {
		w.fail(wrong)
	}
	require.NotContains(w, w.daemon.log(), `"msg":"bug:`, "the daemon found a bug in itself")
	require.NotContains(w, w.daemon.log(), "an instance had two processes")
}

// processes returns the process of every instance that has one.
func (w *world) processes() map[string]Process {
	w.Helper()
	out := map[string]Process{}
	for id, lives := range Living(w.lives()) {
		if id != "" && len(lives) == 1 {
			out[id] = lives[0].Process
		}
	}
	return out
}
