package explain

import (
	"fmt"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"procman/messages"
	"procman/supervisor/plan"
)

// walker drives an instance as the root and the world do, and knows nothing of this package's own futures.
type walker struct {
	View
	now     time.Time
	actions []plan.Action
}

func (w walker) step(e plan.Event) walker {
	next, actions := plan.Step(w.Instance, w.now, e)
	w.Instance, w.actions = next, slices.Concat(w.actions, actions)
	if p, is := e.(plan.Probed); is {
		before := w.seen().Probes
		w.Seen = &Seen{Probes: append(slices.Clone(before[max(0, len(before)-messages.KeptProbes+1):]), p.Probe)}
	}
	for !w.Unread {
		var desired *plan.App
		if !w.Hold.On && !w.Closing && w.Listed != nil && !w.Listed.Disabled {
			desired = w.Listed
		}
		e, needed := plan.Diff(w.Instance, desired, w.Listed)
		if !needed {
			break
		}
		next, actions := plan.Step(w.Instance, w.now, e)
		w.Instance, w.actions = next, slices.Concat(w.actions, actions)
	}
	return w
}

// list puts an entry in force.
func (w walker) list(app *plan.App) walker {
	if app != nil && w.Listed != nil && w.Listed.Equal(w.Read(app)) {
		return w
	}
	w.Unread, w.Listed = false, app
	if app != nil && app.EnvFault != "" && w.Spec != "" {
		w.Listed = app.As(w.Spec)
	}
	return w.step(plan.Due{}) // of no timer: nothing but what the list asks for
}

// over lets a stop that is under way come to its end.
func (w walker) over() walker {
	switch {
	case w.Phase != messages.Stopping:
		return w
	case w.FirstExit != nil:
		return w.step(plan.Exited{Exit: *w.FirstExit})
	}
	return w.step(plan.Exited{Exit: messages.Exit{Code: -1, Signal: "TERM", Known: true, At: w.now}})
}

func (w walker) did(kind string) bool {
	return slices.ContainsFunc(w.actions, func(a plan.Action) bool { return fmt.Sprintf("%T", a) == "plan."+kind })
}

// anyEvent is one that can happen to the instance now; nil: none of those that are drawn.
func (w walker) anyEvent(t *rapid.T) plan.Event {
	code := rapid.SampledFrom([]int{0, 1, 3}).Draw(t, "code")
	end := messages.Exit{Code: code, Known: true, At: w.now}
	events := []plan.Event{plan.Retry{}}
	if w.Phase == messages.Backoff {
		events = append(events, plan.Due{At: w.DueAt}, plan.Due{At: w.DueAt})
	}
	if w.Phase == messages.Running {
		events = append(events, plan.Due{At: w.now})
	}
	launching := w.PID == 0 && w.FirstExit == nil
	if w.Phase == messages.Starting || w.Phase == messages.Running {
		events = append(events, plan.Restart{})
	}
	if w.Live() && w.Phase != messages.Backoff {
		events = append(events, plan.Lost{}, plan.Exited{Exit: end}, plan.Exited{Exit: end, Conflict: code == 1})
	}
	launched := plan.Launched{PID: 4000 + w.Run, Port: 30001, StartedAt: w.now, SpecHash: w.Spec,
		Adopted: w.Adoptions > 0}
	switch {
	case w.Phase == messages.Starting && launching:
		events = append(events, launched, launched, launched,
			plan.Refused{Err: &messages.StartError{Fault: rapid.SampledFrom([]messages.StartFault{
				messages.FaultNoPort, messages.FaultUnclear, messages.FaultNotTaken, messages.FaultElsewhere}).Draw(t,
				"fault")}},
			plan.LaunchFailed{Err: &messages.StartError{Fault: messages.FaultWasmMissing}})
	case w.Phase == messages.Stopping && launching:
		events = append(events, launched, plan.LaunchFailed{Err: messages.ErrNoRun})
	case w.Phase == messages.Starting, w.Phase == messages.Running:
		p := messages.Probe{OK: rapid.Bool().Draw(t, "ok"), At: w.now}
		events = append(events, plan.Probed{Probe: p}, plan.Probed{Probe: p}, plan.Ready{}, plan.Ready{},
			plan.Unhealthy{Cause: "x", Since: w.now, Conflict: code == 3},
			plan.Lingers{Exit: &end, Rest: []messages.Member{{PID: 9}}})
	case w.Phase == messages.Stopping:
		events = append(events, plan.Lingers{Exit: &end, Rest: []messages.Member{{PID: 9}}})
	}
	return rapid.SampledFrom(events).Draw(t, "event")
}

func anyApp(t *rapid.T) *plan.App {
	a := messages.AppInstance{InstanceID: "web", DbName: "a.db",
		WasmPath: rapid.SampledFrom([]string{"a.wasm", "b.wasm"}).Draw(t, "wasm"),
		Labels:   map[string]string{"v": rapid.SampledFrom([]string{"1", "2"}).Draw(t, "label")},
		Disabled: rapid.IntRange(0, 4).Draw(t, "disabled") == 0}
	if rapid.IntRange(0, 5).Draw(t, "env") == 0 {
		a.EnvFault = "no such file"
	}
	a.Restart = messages.RestartPolicy{Jitter: 0.5, StableAfter: 10 * time.Second,
		MaxAttempts: rapid.SampledFrom([]int{0, 0, 2, 4}).Draw(t, "attempts"),
		Mode: rapid.SampledFrom([]messages.RestartMode{messages.RestartAlways, messages.RestartOnFailure,
			messages.RestartNever}).Draw(t, "mode")}
	app, err := plan.NewApp(a)
	if err != nil {
		t.Fatal(err)
	}
	return app
}

// reborn is the instance as the next manager has it before it knows the list.
func (w walker) reborn(t *rapid.T) walker {
	mem := w.Memory(w.Hold.On)
	found := &messages.Survivor{ID: "web", Run: w.Run, PID: w.PID, Port: w.Port, StartedAt: w.StartedAt,
		SpecHash: w.Spec, Alive: w.Live(), Exit: messages.Exit{Code: 1, Known: true}}
	if rapid.IntRange(0, 2).Draw(t, "died") == 0 {
		found.Alive = false
	}
	w.Instance, w.Unread, w.Listed, w.Seen, w.actions = plan.New("web"), true, nil, nil, nil
	return w.step(plan.Survivor{Memory: mem, Found: found})
}

// What is announced of an instance, in whatever state it has come to, is what the core then does.
func TestWhatIsAnnouncedIsWhatThenHappens(t *testing.T) {
	seen := map[string]int{}
	all := []string{"start", "stop", "restart", "apply", "at once", "after", "mode", "given up", "list", "stopping",
		"waits", "due", "down"}
	missing := func(what string) bool { return seen[what] == 0 }
	for n := 0; n < 10 || n < 200 && slices.ContainsFunc(all, missing); n++ {
		rapid.Check(t, func(t *rapid.T) { announce(t, seen) })
	}
	for _, what := range all {
		require.NotZero(t, seen[what], "a walk has come to %q", what)
	}
}

func announce(t *rapid.T, seen map[string]int) {
	w := walker{View: View{Instance: plan.New("web")}, now: now}
	for range rapid.IntRange(0, 25).Draw(t, "steps") {
		w.now, w.actions = w.now.Add(rapid.SampledFrom([]time.Duration{0, 100 * time.Millisecond, 3 * time.Second,
			time.Minute}).Draw(t, "pass")), nil
		switch rapid.IntRange(0, 11).Draw(t, "what") {
		case 0, 1:
			w = w.list(anyApp(t))
		case 2:
			if rapid.IntRange(0, 2).Draw(t, "gone") == 0 {
				w = w.list(nil)
			}
		case 3:
			w.Hold.On = !w.Hold.On && rapid.Bool().Draw(t, "hold")
			w = w.step(plan.Due{})
		case 4:
			w = w.reborn(t)
		default:
			if w.Live() || w.Phase == messages.Backoff || w.Want != nil {
				w = w.step(w.anyEvent(t))
			}
		}
		for _, a := range w.actions {
			if b, is := a.(plan.Bug); is {
				t.Fatalf("this walk is no life: %v", b)
			}
		}
	}
	w.actions = nil
	next := anyApp(t)
	if rapid.IntRange(0, 5).Draw(t, "removed") == 0 {
		next = nil
	}
	checkPreview(t, w, next, seen)
	checkVerdict(t, w, seen)
}

func checkPreview(t *rapid.T, w walker, next *plan.App, seen map[string]int) {
	c, changes := Preview(w.View, next, words, w.now)
	after := w.list(next)
	end := after.over()
	if !changes {
		require.Empty(t, after.actions)
		return
	}
	seen[string(c.Kind)]++
	t.Logf("%s %s: %s, %s", w.Phase, c.Kind, c.Why, after.Phase)
	switch c.Kind {
	case messages.ChangeStart:
		require.True(t, end.did("Launch") && (after.did("Launch") || w.Phase == messages.Stopping) ||
			end.Phase == messages.Backoff)
		require.False(t, after.did("Stop"), "no process is ended for it")
		require.Same(t, after.Listed, end.Want)
	case messages.ChangeRestart:
		require.True(t, after.did("Stop"))
		require.Contains(t, []messages.Phase{messages.Starting, messages.Backoff}, end.Phase)
		require.Same(t, after.Listed, end.Want)
	case messages.ChangeStop:
		require.False(t, end.did("Launch"))
		require.Contains(t, []messages.Phase{messages.Stopped, messages.Failed}, end.Phase)
	case messages.ChangeApply:
		require.False(t, after.did("Launch") || after.did("Stop") || after.did("Forget") ||
			after.did("Adopt") && !w.Orphan, "no process is touched")
		if !w.Unread && !w.Orphan {
			// what ended before is judged by the first list; what nobody watches is watched again
			require.Equal(t, []any{w.Phase, w.PID, w.Run}, []any{after.Phase, after.PID, after.Run})
			require.True(t, w.DueAt.Equal(after.DueAt) || !w.DueAt.After(w.now), "a delay goes on")
		}
	}
}

var promise = regexp.MustCompile(
	`(?:should it fail, |it is stopped, and |then |should that fail, )(it is started again at once|another is started|it is started again after (\S+)|` +
		`the next attempt waits (\S+) .*|it stays down.*|it is given up.*|what follows is decided as soon as the list of instances is known)`)

func checkVerdict(t *rapid.T, w walker, seen map[string]int) {
	v := Verdict(w.View, words, w.now)
	t.Logf("%s: %s. %s", w.Phase, v.Summary, v.Next)
	crash := plan.Exited{Exit: messages.Exit{Code: 1, Known: true}}
	end := w
	switch w.Phase {
	case messages.Running:
		if failed := failedLast(w.seen().Probes, w.StartedAt); len(failed) > 0 {
			end = w.step(plan.Unhealthy{Cause: "x", Since: failed[0].At}).over()
		} else {
			end = w.step(crash)
		}
	case messages.Starting:
		if w.PID == 0 {
			return // whether and when it is started is no decision of the core
		}
		if !w.Adopted {
			w.now = w.StartedAt.Add(w.policy().Start.Deadline)
		}
		end = w.step(plan.Unhealthy{Cause: "x", Since: w.now}).over()
	case messages.Stopping:
		seen["stopping"]++
		end = w.over()
	case messages.Backoff:
		w.now = later(w.now, w.DueAt)
		due := w.step(plan.Due{At: w.DueAt})
		said := regexp.MustCompile(`^it is (started|taken over) again (in \S+|now)`).FindString(v.Next)
		require.Equal(t, due.did("Launch") || due.did("Adopt"), said != "")
		if !due.did("Launch") {
			return
		}
		seen["due"]++
		due.actions = nil
		end = due.step(crash)
	default:
		seen["down"]++
		after := w
		after.now = w.now.Add(time.Hour)
		require.Empty(t, after.step(plan.Due{At: after.now}).actions, "nothing happens by itself")
		if slices.ContainsFunc(v.Change,
			func(s string) bool { return regexp.MustCompile("^`do start web` (starts|ends)").MatchString(s) }) {
			after.Hold = Hold{}
			require.True(t, after.step(plan.Retry{}).did("Launch"))
		}
		return
	}
	said := promise.FindStringSubmatch(v.Next)
	require.NotNil(t, said, v.Next)
	switch {
	case said[1] == "it is started again at once", said[1] == "another is started":
		seen["at once"]++
		require.Equal(t, messages.Starting, end.Phase)
	case said[2] != "" || said[3] != "":
		seen["after"]++
		if said[3] != "" {
			seen["waits"]++
		}
		require.Equal(t, messages.Backoff, end.Phase)
		require.Equal(t, round(end.DueAt.Sub(end.now)).String(),
			regexp.MustCompile(`[;,]$`).ReplaceAllString(said[2]+said[3], ""))
	case said[1] == "what follows is decided as soon as the list of instances is known":
		seen["list"]++
		require.True(t, w.Unread)
		require.Nil(t, end.Want)
	default:
		seen[map[bool]string{true: "given up", false: "mode"}[said[1][:11] == "it is given"]]++
		require.Contains(t, []messages.Phase{messages.Stopped, messages.Failed}, end.Phase)
		require.False(t, end.did("Launch"))
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
