package chaos

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
)

// Sighting is what a watcher outside learned of a process.
type Sighting struct {
	Alive int64 // the newest moment at which it lived for sure; CLOCK_MONOTONIC
	Ended int64 // the moment at which its end was noticed; 0: it lives
}

// Life is one process, from what it said itself and what was seen of it.
type Life struct {
	Process
	Instance string // empty: a bystander
	Run      int
	Port     int // it was given
	Spec     string
	// the pid of another process of its instance that lived when it started; -1: one that is not known; 0: none
	Rival     int
	Born      int64 // when it said so
	Alive     int64 // the newest moment at which it lived for sure
	Ended     int64 // when its end was noticed; 0: it lives
	Listening int   // on this port; 0: on none
	Terms     int
	Signals   []int // other than TERM
	Exit      *Exited
}

// Exited is how a process says that it ends.
type Exited struct{ Code, Signal, Lines int }

// Lives puts together what is known of every process, in the order of their births. Grandchildren are left out, but for
// one thing: where a worker listens, there its master does.
func Lives(ledger []Entry, seen map[Process]Sighting) []Life {
	lives := map[Process]*Life{}
	masters := map[Process]Process{}
	for _, e := range ledger {
		l := lives[e.Process]
		if l == nil {
			if master := lives[masters[e.Process]]; e.Event == Listen && master != nil {
				master.Listening = e.Note.Number("port")
			}
			if e.Event == Grandchild {
				began, _ := strconv.ParseUint(e.Note["began"], 10, 64) // some do not say whose they are
				masters[e.Process] = Process{e.Note.Number("of"), began}
			}
			if e.Event != Start {
				continue
			}
			l = &Life{Process: e.Process, Instance: e.Instance, Run: e.Run, Port: e.Port, Spec: e.Note["spec"],
				Rival: e.Note.Number("rival"), Born: e.At}
			lives[e.Process] = l
		}
		l.Alive = max(l.Alive, e.At)
		switch e.Event {
		case Listen:
			l.Listening = e.Note.Number("port")
		case Term:
			l.Terms++
		case Signal:
			l.Signals = append(l.Signals, e.Note.Number("signal"))
		case Exit:
			l.Exit = &Exited{Code: e.Note.Number("code"), Signal: e.Note.Number("signal"),
				Lines: e.Note.Number("lines")}
		}
	}
	out := make([]Life, 0, len(lives))
	for p, l := range lives {
		s := seen[p]
		l.Alive, l.Ended = max(l.Alive, s.Alive), s.Ended
		out = append(out, *l)
	}
	slices.SortFunc(out, func(a, b Life) int { return cmp.Or(cmp.Compare(a.Born, b.Born), cmp.Compare(a.PID, b.PID)) })
	return out
}

// Living returns those that live, by instance.
func Living(lives []Life) map[string][]Life {
	out := map[string][]Life{}
	for _, l := range lives {
		if l.Ended == 0 {
			out[l.Instance] = append(out[l.Instance], l)
		}
	}
	return out
}

// Of returns the lives of one instance, oldest first.
func Of(lives []Life, instance string) []Life {
	return slices.DeleteFunc(slices.Clone(lives), func(l Life) bool { return l.Instance != instance })
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
