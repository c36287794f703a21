package chaos

import (
	"fmt"
	"slices"
	"strings"
)

// Violation says that an invariant does not hold.
type Violation struct {
	Invariant string // I1 to I10
	Text      string
}

func (v Violation) String() string { return v.Invariant + ": " + v.Text }

type violations []Violation

func (v *violations) add(invariant, format string, args ...any) {
	*v = append(*v, Violation{invariant, fmt.Sprintf(format, args...)})
}

// Wanted is what should be of one instance.
type Wanted struct {
	ID   string
	Spec string // what its process says it is of
	Held bool   // down
}

// Shown is what procman's status says of one instance.
type Shown struct {
	ID       string
	Phase    string
	Health   string
	PID      int
	Port     int
	Run      int
	Restarts int
	Held     bool
	Reason   string
}

// NeverTwo is I1: live intervals of one instance never overlap. A process that found the lock of its instance held is
// proof of an overlap; so is one that was born while an older one was seen alive later on. An interval ends where the
// process was last known to live, so that what is found is no matter of measurement.
func NeverTwo(lives []Life) (v violations) {
	newest := map[string]Life{} // of an instance: who was seen alive the latest
	for _, l := range lives {
		if l.Instance == "" {
			continue
		}
		if l.Rival != 0 {
			v.add("I1", "%s: process %d of run %d was started while process %d lived", l.Instance,
				l.PID, l.Run, l.Rival)
		}
		if before, any := newest[l.Instance]; any && before.Alive > l.Born {
			v.add("I1", "%s: process %d of run %d was born %d ns before process %d of run %d was last seen alive",
				l.Instance, l.PID, l.Run, before.Alive-l.Born, before.PID, before.Run)
		}
		if l.Alive > newest[l.Instance].Alive {
			newest[l.Instance] = l
		}
	}
	return v
}

// Converged is I2: each wanted instance has exactly one process, which listens, is of the newest specification, and is
// the one that is shown as running and healthy. A held one has none, and is shown as stopped.
func Converged(wanted []Wanted, lives []Life, shown []Shown) (v violations) {
	living := Living(lives)
	status := map[string]Shown{}
	for _, s := range shown {
		status[s.ID] = s
	}
	for _, w := range wanted {
		s, known := status[w.ID]
		delete(status, w.ID)
		have := living[w.ID]
		switch {
		case !known:
			v.add("I2", "%s: it is not in the status", w.ID)
		case w.Held && (s.Phase != "stopped" || !s.Held || s.PID != 0 || len(have) > 0):
			v.add("I2", "%s: it is held down, but %d processes live and it is shown as %s, held %t, pid %d", w.ID,
				len(have), s.Phase, s.Held, s.PID)
		case w.Held:
		case len(have) != 1:
			v.add("I2", "%s: %d processes live (shown as %s, pid %d: %s)", w.ID, len(have), s.Phase, s.PID, s.Reason)
		case s.Held || s.Phase != "running" || s.Health != "healthy":
			v.add("I2", "%s: process %d lives, but it is shown as %s, %s, held %t: %s", w.ID, have[0].PID, s.Phase,
				s.Health, s.Held, s.Reason)
		case s.PID != have[0].PID || s.Port != have[0].Port || s.Run != have[0].Run:
			v.add("I2", "%s: process %d of run %d lives on port %d, shown are process %d, run %d, port %d", w.ID,
				have[0].PID, have[0].Run, have[0].Port, s.PID, s.Run, s.Port)
		case have[0].Listening != s.Port:
			v.add("I2", "%s: process %d listens on port %d and not on %d", w.ID, s.PID, have[0].Listening, s.Port)
		case have[0].Spec != w.Spec:
			v.add("I2", "%s: process %d is of the specification %q, not %q", w.ID, s.PID, have[0].Spec, w.Spec)
		}
	}
	for _, id := range sorted(status) {
		v.add("I2", "%s: it is shown as %s, but not wanted", id, status[id].Phase)
	}
	return v
}

// NothingElse is I3: of the processes that carry the tags of the state directory each belongs to a wanted instance that
// is not held. alive is what a look at all processes of the host found, by process; the value is its instance.
func NothingElse(wanted []Wanted, alive map[Process]string) (v violations) {
	allowed := map[string]bool{}
	for _, w := range wanted {
		allowed[w.ID] = !w.Held
	}
	for p, id := range alive {
		if !allowed[id] {
			v.add("I3", "%s: process %d lives, and nobody wants it", id, p.PID)
		}
	}
	slices.SortFunc(v, func(a, b Violation) int { return strings.Compare(a.Text, b.Text) })
	return v
}

// NothingLeft is I3 where what outlives its run is to be ended: whatever the children of an instance have started is of
// the run that is shown. alive is what lives, with its entry in the ledger.
func NothingLeft(shown []Shown, alive map[Process]Entry) (v violations) {
	runs := map[string]int{}
	for _, s := range shown {
		if s.PID != 0 {
			runs[s.ID] = s.Run
		}
	}
	for p, e := range alive {
		if run, runs := runs[e.Instance]; !runs || run != e.Run {
			v.add("I3", "%s: process %d of run %d lives on (%s), though run %d is the one that is shown", e.Instance,
				p.PID, e.Run, e.Note["how"], run)
		}
	}
	slices.SortFunc(v, func(a, b Violation) int { return strings.Compare(a.Text, b.Text) })
	return v
}

// PortsApart is I4: two processes that live at once were given different ports.
func PortsApart(lives []Life) (v violations) {
	for i, a := range lives {
		for _, b := range lives[i+1:] {
			if a.Port != 0 && a.Port == b.Port && a.Instance != b.Instance && b.Born < a.Alive {
				v.add("I4", "port %d was given to process %d of %q while process %d of %q lived with it", a.Port,
					b.PID, b.Instance, a.PID, a.Instance)
			}
		}
	}
	return v
}

// Undisturbed is I5: an instance that nobody touched, and whose process did not end by itself, has the process it had
// before, and that was not told to end.
func Undisturbed(before map[string]Process, touched map[string]bool, lives []Life) (v violations) {
	byProcess := map[Process]Life{}
	for _, l := range lives {
		byProcess[l.Process] = l
	}
	living := Living(lives)
	for _, id := range sorted(before) {
		p := before[id]
		l, known := byProcess[p]
		switch {
		case touched[id]:
		case !known:
			v.add("I5", "%s: nothing is known of process %d, which lived before", id, p.PID)
		case l.Exit != nil && l.Terms == 0: // its own wish
		case l.Terms > 0:
			v.add("I5", "%s: nobody touched it, but process %d of run %d was told to end", id, p.PID, l.Run)
		case l.Ended != 0:
			v.add("I5", "%s: nobody touched it, but process %d of run %d was killed", id, p.PID, l.Run)
		case len(living[id]) != 1:
			v.add("I5", "%s: process %d lives on, but so do %d others", id, p.PID, len(living[id])-1)
		}
	}
	return v
}

// BystandersUnharmed is I7: processes that are not managed live on, no signal reached them, and the status has none of
// them.
func BystandersUnharmed(lives []Life, shown []Shown) (v violations) {
	for _, l := range lives {
		if l.Instance != "" {
			continue
		}
		if l.Terms > 0 || len(l.Signals) > 0 {
			v.add("I7", "the bystander %d was sent TERM %d times, and the signals %d", l.PID, l.Terms, l.Signals)
		}
		if l.Ended != 0 {
			v.add("I7", "the bystander %d is dead", l.PID)
		}
		for _, s := range shown {
			if s.PID == l.PID {
				v.add("I7", "the bystander %d is shown as the process of %s", l.PID, s.ID)
			}
		}
	}
	return v
}

// RestartsAgree is I9: what is shown as restarts is the number of processes the ledger has since the instance was
// added, less one, and what is shown as run is the newest of theirs.
//
// Two things may differ, each by so many processes of an instance as the maps say. More may be shown by processes that
// were ended before they came to their first line: the ledger has no unborn. Fewer may be shown by processes whose
// manager was killed between the fork and the record of it, if they also ended before the next manager came: a live one
// is found by its environment and counted, of a dead one nothing is left, the lost, but that the next run has the
// number after its.
func RestartsAgree(lives []Life, shown []Shown, unborn, lost map[string]int) (v violations) {
	count, newest := map[string]int{}, map[string]int{}
	for _, l := range lives {
		if l.Instance != "" {
			count[l.Instance]++
			newest[l.Instance] = max(newest[l.Instance], l.Run)
		}
	}
	for _, s := range shown {
		happened := max(0, count[s.ID]-1)
		if s.Restarts < happened-lost[s.ID] || s.Restarts > happened+unborn[s.ID] {
			v.add("I9", "%s: %d restarts are shown, the ledger has %d (%d more may be shown, or %d fewer)", s.ID,
				s.Restarts, happened, unborn[s.ID], lost[s.ID])
		}
		if s.PID != 0 && s.Run != newest[s.ID] {
			v.add("I9", "%s: run %d is shown, the newest in the ledger is %d", s.ID, s.Run, newest[s.ID])
		}
	}
	return v
}
