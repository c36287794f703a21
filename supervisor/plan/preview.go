package plan

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"procman/messages"
)

// Preview returns what would become of an instance if the list said next of it (nil: nothing) in place of now, and
// whether anything would. held: an operator has stopped it.
func Preview(phase messages.Phase, held bool, now, next *App) (messages.Change, bool) {
	switch {
	case now == nil && next == nil:
		return messages.Change{}, false
	case now == nil:
		return added(next, held), true
	case next == nil:
		return removed(now, phase), true
	case now.Equal(next):
		return messages.Change{}, false
	}
	if next.EnvFault != "" {
		next = next.As(now.Spec) // what it would run is not known, and so no reason to restart it
	}
	c := messages.Change{ID: next.InstanceID, Deed: messages.DeedApply, Fields: fields(now, next)}
	names := make([]string, 0, len(c.Fields))
	starts := idle(phase) && now.wishes(next)
	for _, f := range c.Fields {
		if starts && starter(f.Field) || !starts && (now.Spec == next.Spec || runs(f.Field)) {
			names = append(names, f.Field)
		}
	}
	what := strings.Join(names, ", ") + " " + hasOrHave(len(names)) + " changed"
	switch {
	case next.Disabled && !now.Disabled:
		c.Deed, c.Why = messages.DeedStop, "disabled in the file"
	case next.Disabled:
		c.Why = "disabled in the file, so nothing runs: " + what
	case held:
		c.Why = "held down by an operator, so nothing runs until `procman start`: " + what
	case now.Disabled:
		c.Deed, c.Why = messages.DeedStart, "enabled in the file"
	case starts:
		c.Deed, c.Why = messages.DeedStart, fmt.Sprintf("it is %s, and an edit of that starts it at once: %s", phase, what)
	case idle(phase):
		c.Why = fmt.Sprintf("it is %s and stays so: %s", phase, what)
	case now.Spec == next.Spec:
		c.Why = "no process is touched: " + what
	default:
		c.Deed, c.Why = messages.DeedRestart, what
	}
	return c, true
}

func added(next *App, held bool) messages.Change {
	c := messages.Change{ID: next.InstanceID, Deed: messages.DeedStart, Why: "new in the file", Fields: []messages.FieldChange{}}
	switch {
	case next.Disabled:
		c.Deed, c.Why = messages.DeedApply, "new in the file, and disabled there"
	case held:
		c.Deed, c.Why = messages.DeedApply, "new in the file, and held down by an operator until `procman start`"
	}
	return c
}

func removed(now *App, phase messages.Phase) messages.Change {
	c := messages.Change{ID: now.InstanceID, Deed: messages.DeedStop, Why: "no longer in the file", Fields: []messages.FieldChange{}}
	if idle(phase) {
		c.Why += fmt.Sprintf("; it is %s, so there is no process to end", phase)
	}
	return c
}

// idle reports whether there is no process in the phase.
func idle(phase messages.Phase) bool {
	return phase == messages.Stopped || phase == messages.Failed || phase == messages.Backoff
}

func hasOrHave(n int) string {
	if n == 1 {
		return "has"
	}
	return "have"
}

// runs reports whether a change of the field is a change of what runs.
func runs(field string) bool {
	switch field {
	case "executable", "args", "wasm_path", "db_name", "work_dir":
		return true
	}
	return strings.HasPrefix(field, "env.")
}

// starter reports whether a change of the field starts what has ended; see App.wishes.
func starter(field string) bool { return runs(field) || strings.HasPrefix(field, "restart.") }

// fields returns what differs.
func fields(now, next *App) []messages.FieldChange {
	d := &difference{mask: messages.NewMasker(append(now.SecretValues(), next.SecretValues()...)), list: []messages.FieldChange{}}
	d.text("wasm_path", now.WasmPath, next.WasmPath)
	d.text("db_name", now.DbName, next.DbName)
	d.text("executable", now.Executable, next.Executable)
	d.text("args", strings.Join(now.Args, " "), strings.Join(next.Args, " "))
	d.text("work_dir", now.WorkDir, next.WorkDir)
	d.text("enabled", strconv.FormatBool(!now.Disabled), strconv.FormatBool(!next.Disabled))
	d.text("env_file", now.EnvFault, next.EnvFault)
	if next.EnvFault == "" { // else what is in it is not known, and nothing is restarted for it
		for _, name := range namesOf(now.Env, next.Env) {
			d.env(name, now, next)
		}
	}
	for _, name := range namesOf(now.Labels, next.Labels) {
		d.text("labels."+name, entryOf(now.Labels, name), entryOf(next.Labels, name))
	}
	d.text("health.path", now.Health.Path, next.Health.Path)
	d.time("health.interval", now.Health.Interval, next.Health.Interval)
	d.time("health.timeout", now.Health.Timeout, next.Health.Timeout)
	d.text("health.failures", strconv.Itoa(now.Health.Failures), strconv.Itoa(next.Health.Failures))
	d.text("health.owner", string(now.Health.Owner), string(next.Health.Owner))
	d.time("restart.initial", now.Restart.Initial, next.Restart.Initial)
	d.time("restart.max", now.Restart.Max, next.Restart.Max)
	d.number("restart.multiplier", now.Restart.Multiplier, next.Restart.Multiplier)
	d.number("restart.jitter", now.Restart.Jitter, next.Restart.Jitter)
	d.time("restart.stable_after", now.Restart.StableAfter, next.Restart.StableAfter)
	d.text("restart.max_attempts", strconv.Itoa(now.Restart.MaxAttempts), strconv.Itoa(next.Restart.MaxAttempts))
	d.text("restart.mode", string(now.Restart.Mode), string(next.Restart.Mode))
	d.time("start.deadline", now.Start.Deadline, next.Start.Deadline)
	d.time("stop.grace", now.Stop.Grace, next.Stop.Grace)
	d.text("stop.leftovers", string(now.Stop.Leftovers), string(next.Stop.Leftovers))
	return d.list
}

// difference collects the fields that differ.
type difference struct {
	mask *messages.Masker
	list []messages.FieldChange
}

func (d *difference) text(field, from, to string) {
	if from != to {
		d.list = append(d.list, messages.FieldChange{Field: field, From: d.mask.Mask(from), To: d.mask.Mask(to)})
	}
}

func (d *difference) time(field string, from, to time.Duration) {
	d.text(field, from.String(), to.String())
}

func (d *difference) number(field string, from, to float64) {
	d.text(field, strconv.FormatFloat(from, 'g', -1, 64), strconv.FormatFloat(to, 'g', -1, 64))
}

// env notes a variable that differs; whether it was secret or is to be, its value is not shown.
func (d *difference) env(name string, now, next *App) {
	from, was := now.Env[name]
	to, is := next.Env[name]
	secret := slices.Contains(now.Secrets, name) || slices.Contains(next.Secrets, name)
	if was && is && from == to && slices.Contains(now.Secrets, name) == slices.Contains(next.Secrets, name) {
		return
	}
	show := func(env map[string]string, there bool) string {
		if there && secret {
			return messages.Masked
		}
		return d.mask.Mask(entryOf(env, name))
	}
	d.list = append(d.list, messages.FieldChange{Field: "env." + name, From: show(now.Env, was), To: show(next.Env, is)})
}

// entryOf returns an entry in the form of a FieldChange, in which an empty text is one that is not there.
func entryOf(m map[string]string, name string) string {
	if value, there := m[name]; value != "" || !there {
		return value
	}
	return `""`
}

func namesOf(a, b map[string]string) []string {
	names := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(names)
	return slices.Compact(names)
}
