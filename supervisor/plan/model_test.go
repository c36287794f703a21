package plan

import (
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"procman/messages"
)

// The model: an instance, the simplest possible world around it, and everything that can happen to either, in every
// order, until nothing new is reached. Times are folded (now, later, long ago), counters are cut off where they stop
// to matter.

var (
	modelNow = time.Unix(1_000_000, 0)
	later    = modelNow.Add(time.Second)
	longAgo  = modelNow.Add(-time.Hour)
)

// reality is the world of one instance.
type reality struct {
	inst      Instance
	desired   *App
	listed    bool // the root knows the desired list
	actor     bool // an instance actor exists,
	launching bool // has its launch under way,
	adopting  bool // which is an adoption,
	asked     bool // and has been told to end its process
	process   bool // a process lives,
	outlived  bool // but not the first one of its run
	armed     bool // a timer runs
}

type model struct {
	t    *testing.T
	apps []*App
	came map[reality]*origin  // how it was reached first, for the failure message
	ends map[reality]*reality // where the calm from there is known to end
	step string
	from reality
}

type origin struct {
	from *origin
	step string
}

// path tells how r was reached first.
func (m *model) path(r reality) string {
	path := "the beginning"
	for o := m.came[r]; o != nil && o.from != nil; o = o.from {
		path = strings.Replace(path, "the beginning", "the beginning > "+o.step, 1)
	}
	return path
}

func (m *model) fail(format string, args ...any) {
	m.t.Helper()
	m.t.Fatalf("%s\nafter: %s\nthen:  %s\nstate: %+v", fmt.Sprintf(format, args...), m.path(m.from),
		m.step, m.from.inst)
}

// take feeds an event and carries out the actions, checking each.
func (m *model) take(r reality, e Event) reality {
	r = m.once(r, e)
	for n := 0; r.listed; n++ {
		e, needed := Diff(r.inst, r.desired, r.desired)
		if !needed {
			break
		}
		if n == 4 {
			m.fail("wish and fact never agree")
		}
		r = m.once(r, e)
	}
	r.inst = fold(r.inst)
	if r.process && !r.inst.Live() {
		m.fail("a live process is forgotten in %s", r.inst.Phase)
	}
	if r.actor != (r.inst.Live() && !r.inst.Orphan) {
		m.fail("an actor exists: %v, but the phase is %s", r.actor, r.inst.Phase)
	}
	if r.inst.Phase == messages.Backoff && r.inst.DueAt.After(modelNow) && !r.armed {
		m.fail("a delay without a timer")
	}
	return r
}

func (m *model) once(r reality, e Event) reality {
	inst, actions := Step(r.inst, modelNow, e)
	r.inst = inst
	for _, a := range actions {
		switch a := a.(type) {
		case Launch:
			if r.actor || r.process {
				m.fail("a second process of one instance")
			}
			r.actor, r.launching, r.adopting, r.asked = true, true, false, false
		case Adopt:
			if r.actor {
				m.fail("a second actor of one instance")
			}
			r.actor, r.launching, r.adopting, r.asked = true, true, true, false
		case Stop:
			if !r.actor {
				m.fail("a stop that nobody hears")
			}
			r.asked = true
		case Drop:
			if r.process {
				m.fail("the actor of a live process is dropped")
			}
			r.actor, r.launching, r.adopting, r.asked = false, false, false, false
		case Arm:
			r.armed = true
		case Forget:
			if r.process || r.actor {
				m.fail("a live instance is forgotten")
			}
		case Bug:
			m.fail("the cell %s in %s is said not to happen", a.Event, a.Phase)
		}
	}
	return r
}

// fold maps equal futures to equal values.
func fold(i Instance) Instance {
	i.counted, i.left = false, messages.StopPolicy{}
	i.Run, i.Starts, i.LastExit, i.LastProbe, i.StartedAt = 1, 1, nil, nil, time.Time{}
	i.Adoptions, i.PID, i.Port, i.Adopted, i.Health = min(i.Adoptions, 1), min(i.PID, 1), min(i.Port, 1), false, ""
	i.Conflicts = min(i.Conflicts, maxConflicts+1)
	i.Attempts, i.Losses = min(i.Attempts, 2), min(i.Losses, 2)
	if !i.DueAt.IsZero() && i.DueAt.After(modelNow) {
		i.DueAt = later
	}
	if !i.KillAt.IsZero() {
		i.KillAt = later
	}
	if i.Reason != "" {
		i.Reason = "some reason"
	}
	i.Lingering, i.FirstExit = "", nil
	i.HealthyUntil = time.Time{}
	if i.pending != nil {
		i.pending = pendings[*i.pending == failure{}]
	}
	return i
}

var pendings = map[bool]*failure{false: {reason: "pending"}, true: {}}

// next returns everything that can happen now, by name.
func (m *model) next(r reality) map[string]func() reality {
	out := map[string]func() reality{}
	put := func(name string, change func(*reality), e Event) {
		out[name] = func() reality {
			n := r
			if change != nil {
				change(&n)
			}
			return m.take(n, e)
		}
	}
	for n, app := range append([]*App{nil}, m.apps...) {
		out[fmt.Sprintf("list %d", n)] = func() reality {
			c := r
			c.desired, c.listed = app, true
			e, needed := Diff(c.inst, c.desired, c.desired)
			if !needed {
				return c
			}
			return m.take(c, e)
		}
	}
	if r.listed {
		put("retry", nil, Retry{})
		put("restart", nil, Restart{})
	}
	if r.armed && r.inst.Phase == messages.Backoff {
		put("due", func(n *reality) { n.armed, n.inst.DueAt = false, modelNow }, Due{modelNow})
	}
	put("due late", nil, Due{longAgo})
	launched := Launched{PID: 1, Port: 1, SpecHash: r.inst.Spec, Adopted: r.adopting}
	switch {
	case r.actor && r.launching && r.adopting && r.process:
		put("adopted", func(n *reality) { n.launching = false }, launched)
	case r.actor && r.launching && r.adopting:
		put("gone", func(n *reality) { n.launching = false }, Exited{})
	case r.actor && r.launching:
		put("launched", func(n *reality) { n.launching, n.process = false, true }, launched)
		put("refused", nil, Refused{Err: &messages.StartError{Fault: messages.FaultNoPort}})
		put("launch failed", func(n *reality) { n.launching = false }, LaunchFailed{Err: messages.ErrNoRun})
	case r.actor && r.process && r.outlived:
		put("lingers", nil, Lingers{Exit: &messages.Exit{Known: true}, Rest: []messages.Member{{PID: 9}}})
		put("exit", func(n *reality) { n.process, n.outlived = false, false },
			Exited{Exit: messages.Exit{Known: true, Code: 1}})
		put("clean exit", func(n *reality) { n.process, n.outlived = false, false },
			Exited{Exit: messages.Exit{Known: true}})
	case r.actor && r.process:
		put("lingers", func(n *reality) { n.outlived = true },
			Lingers{Exit: &messages.Exit{Known: true, Code: 1}, Rest: []messages.Member{{PID: 9}}})
		put("port free after all", func(n *reality) { n.process = false },
			Exited{Exit: messages.Exit{Known: true}, PortFree: true})
		put("ready", nil, Ready{})
		put("unhealthy", nil, Unhealthy{})
		put("impostor", nil, Unhealthy{Conflict: true})
		put("probed", nil, Probed{Probe: messages.Probe{OK: true}})
		put("exit", func(n *reality) { n.process = false }, Exited{Exit: messages.Exit{Known: true, Code: 1}})
		put("clean exit", func(n *reality) { n.process = false }, Exited{Exit: messages.Exit{Known: true}})
		put("conflict", func(n *reality) { n.process = false }, Exited{Conflict: true})
	}
	if r.process && (!r.actor || r.launching) {
		out["dies unseen"] = func() reality { n := r; n.process, n.outlived = false, false; return n }
	}
	if !r.inst.HealthySince.IsZero() {
		out["time passes"] = func() reality { n := r; n.inst.HealthySince = longAgo; return n }
	}
	// The actor is lost, and a launch under way may have made a process or not.
	for _, made := range []bool{false, true} {
		if made && !(r.launching && !r.adopting) {
			continue
		}
		if r.actor {
			put(fmt.Sprintf("actor lost, process %v", made), func(n *reality) {
				n.actor, n.launching, n.adopting, n.asked = false, false, false, false
				n.process = n.process || made
			}, Lost{})
		}
		for _, written := range []bool{true, false} {
			if !written && !made {
				continue
			}
			out[fmt.Sprintf("manager killed, process %v, memory written %v", made, written)] = func() reality {
				n := reality{process: r.process || made, outlived: r.outlived, desired: r.desired}
				mem := r.inst.Memory(false)
				found := &messages.Survivor{ID: "web", Run: mem.Run, SpecHash: r.inst.Spec, Alive: n.process}
				if !written {
					mem.Run, mem.Exited = found.Run-1, true
				}
				n.inst = New("web")
				return m.take(n, Survivor{Memory: mem, Found: found})
			}
		}
	}
	return out
}

// calm walks from r with nothing going wrong any more and returns where it ends.
func (m *model) calm(r reality) reality {
	var walked []reality
	for range 40 {
		end, known := m.ends[r]
		if !known {
			walked = append(walked, r)
			if step := m.onward(r); step != nil {
				m.step = "calm"
				r = step()
				continue
			}
			end = &r
		}
		for _, w := range walked {
			m.ends[w] = end
		}
		return *end
	}
	m.fail("no end of it")
	return r
}

// onward is what happens next in the calm, nil at its end.
func (m *model) onward(r reality) func() reality {
	n := m.next(r)
	if !r.listed {
		return n["list 1"]
	}
	for _, name := range []string{"launched", "gone", "adopted"} {
		if n[name] != nil {
			return n[name]
		}
	}
	switch {
	case r.actor && r.process && (r.asked || r.outlived):
		return n["exit"]
	case r.actor && r.process && r.inst.Phase == messages.Starting:
		return n["ready"]
	case r.inst.Phase == messages.Backoff && n["due"] == nil:
		m.fail("stuck in backoff")
	}
	return n["due"]
}

func TestTheModelHoldsInEveryReachableState(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector, which -short is for, finds nothing where there is one goroutine")
	}
	// all states stay: half of the time would go into looking at them again
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	for name, change := range map[string]func(*messages.AppInstance){
		"always":              nil,
		"gives up after two":  func(a *messages.AppInstance) { a.Restart.MaxAttempts = 2 },
		"restarts on failure": func(a *messages.AppInstance) { a.Restart.Mode = messages.RestartOnFailure },
		"never restarts":      func(a *messages.AppInstance) { a.Restart.Mode = messages.RestartNever },
	} {
		t.Run(name, func(t *testing.T) {
			m := &model{t: t, came: map[reality]*origin{}, ends: map[reality]*reality{}}
			for _, wasm := range []string{"a.wasm", "b.wasm"} {
				m.apps = append(m.apps, newApp(t, func(a *messages.AppInstance) {
					a.WasmPath = wasm
					if change != nil {
						change(a)
					}
				}))
			}
			begin := reality{inst: fold(New("web")), listed: true}
			m.came[begin] = &origin{}
			for todo := []reality{begin}; len(todo) > 0; todo = todo[1:] {
				m.from = todo[0]
				for step, happen := range m.next(m.from) {
					m.step = step
					r := happen()
					if _, known := m.came[r]; !known {
						m.came[r] = &origin{m.came[m.from], step}
						todo = append(todo, r)
					}
				}
			}
			for r := range m.came {
				m.from, m.step = r, "calm"
				end := m.calm(r)
				alive := end.inst.Phase == messages.Running
				switch {
				case end.desired == nil && (end.inst.Phase != messages.Stopped || end.process || end.actor):
					m.fail("what nobody wants ends in %+v", end)
				case end.desired != nil && change == nil &&
					(!alive || !end.process || end.inst.Spec != end.desired.Spec):
					m.fail("what is wanted ends in %+v", end)
				case alive != end.process || !slices.Contains([]messages.Phase{messages.Running, messages.Failed,
					messages.Stopped}, end.inst.Phase):
					m.fail("it ends in %+v", end)
				}
			}
			t.Logf("%d states", len(m.came))
		})
	}
}
