package messages

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Field describes one field of an [AppInstance], once for all: defaults, limits, hashes, what an edit does, the keys of a
// configuration with their schema, example and reference are loops over [Fields].
type Field struct {
	// Key is how the configuration and a [FieldChange] name it. One in a section, as health.interval, may be written for a
	// whole file, for defaults and for an instance; any other for the latter two.
	Key    string
	Kind   Kind
	Doc    string // what it says, in a phrase
	Effect Effect
	Secret bool // of KindNames: the values of those in AppInstance.Secrets are shown nowhere

	Default any // taken in place of a zero value; nil: none is
	// ZeroCounts makes zero a value that is meant, as long as anything else in the section is said.
	ZeroCounts bool
	Words      []string // the values there are; nil: any
	Limits     []Limit
	NotBelow   string // the key of another field, below which the value may not be; a default is raised to that

	At      func(*AppInstance) any // a pointer to it, of the type that Kind says
	Negated bool                   // the Go field says the opposite
	check   func(*AppInstance) []error
}

// Kind is what a field holds.
type Kind string

// The kinds, and what At points to.
const (
	KindText     Kind = "text"     // a string
	KindPath     Kind = "path"     // a string; relative to the file in which it is written
	KindProgram  Kind = "program"  // a string: a path, or a name that is looked up in PATH
	KindDuration Kind = "duration" // a time.Duration
	KindInteger  Kind = "integer"  // an int
	KindNumber   Kind = "number"   // a float64
	KindBool     Kind = "boolean"  // a bool
	KindTexts    Kind = "texts"    // a []string
	KindNames    Kind = "names"    // a map[string]string
)

// Effect is what an edit of a field does.
type Effect int

// The effects.
const (
	Noted    Effect = iota // no run is told of it
	Applied                // a running process goes on under the new rule
	Wished                 // the same, and it is a wish to see an instance run that has ended
	Respawns               // it is part of what runs: the process is replaced by another one
)

// fields is the description of an instance, in the order of the configuration's keys. What is added to it needs a field of
// its struct, and nothing else.
var fields = table{
	{Key: "id", Kind: KindText, Doc: "unique; letters, digits, '.', '_' and '-'", check: wrongID,
		Limits: []Limit{{Schema: map[string]any{"pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*$", "maxLength": MaxInstanceID}}},
		At:     func(a *AppInstance) any { return &a.InstanceID }},
	{Key: "wasm_path", Kind: KindPath, Effect: Respawns, Doc: "the module to load; relative to the file",
		At: func(a *AppInstance) any { return &a.WasmPath }},
	{Key: "db_name", Kind: KindText, Effect: Respawns, Doc: "the database; relative to work_dir if it is a path",
		At: func(a *AppInstance) any { return &a.DbName }},
	{Key: "executable", Kind: KindProgram, Effect: Respawns, Default: DefaultExecutable, Doc: "the program to run instead of the file's",
		At: func(a *AppInstance) any { return &a.Executable }},
	{Key: "args", Kind: KindTexts, Effect: Respawns, Default: DefaultArgs(), check: wrongArgs,
		Doc: "the command line after the executable; {id}, {wasm_path}, {db_name} and {port} are filled in; default: " + strings.Join(DefaultArgs(), " "),
		At:  func(a *AppInstance) any { return &a.Args }},
	{Key: "work_dir", Kind: KindPath, Effect: Respawns, Doc: "where the process starts; default: the directory of the file",
		At: func(a *AppInstance) any { return &a.WorkDir }},
	{Key: "enabled", Kind: KindBool, Negated: true, Doc: "false: listed, but not to be run; default true",
		At: func(a *AppInstance) any { return &a.Disabled }},
	{Key: "env", Kind: KindNames, Effect: Respawns, Secret: true, check: wrongEnv,
		Doc: "environment variables. From weak to strong: env_file of defaults, env of defaults, env_file of the instance, env of the instance",
		At:  func(a *AppInstance) any { return &a.Env }},
	{Key: "env_file", Kind: KindPath, Doc: "a file of NAME=VALUE lines, for secrets: the values are shown nowhere; env beside it comes before it",
		At: func(a *AppInstance) any { return &a.EnvFault }},
	{Key: "labels", Kind: KindNames, Doc: "free for you; shown in the status",
		At: func(a *AppInstance) any { return &a.Labels }},

	{Key: "health.kind", Kind: KindText, Effect: Applied, Default: HealthHTTP, Words: words(HealthHTTP), Doc: "how an instance is asked",
		At: func(a *AppInstance) any { return &a.Health.Kind }},
	{Key: "health.path", Kind: KindText, Effect: Applied, Default: "/api/status", Limits: urlPath, Doc: "what is asked for with GET",
		At: func(a *AppInstance) any { return &a.Health.Path }},
	{Key: "health.interval", Kind: KindDuration, Effect: Applied, Default: 15 * time.Second, Limits: positive,
		Doc: "between two probes of a running instance", At: func(a *AppInstance) any { return &a.Health.Interval }},
	{Key: "health.timeout", Kind: KindDuration, Effect: Applied, Default: 5 * time.Second, Limits: positive,
		Doc: "of one probe", At: func(a *AppInstance) any { return &a.Health.Timeout }},
	{Key: "health.failures", Kind: KindInteger, Effect: Applied, Default: 3, Limits: []Limit{AtLeast(1)},
		Doc: "so many failed probes in a row make it unhealthy: it is stopped and started again", At: func(a *AppInstance) any { return &a.Health.Failures }},
	{Key: "health.owner", Kind: KindText, Effect: Applied, Default: OwnerChild, Words: words(OwnerChild, OwnerAny),
		Doc: "whose process must listen: one of the instance, or any, as of a daemon elsewhere",
		At:  func(a *AppInstance) any { return &a.Health.Owner }},

	{Key: "restart.initial", Kind: KindDuration, Effect: Wished, Default: time.Second, Limits: positive,
		Doc: "the first delay", At: func(a *AppInstance) any { return &a.Restart.Initial }},
	{Key: "restart.max", Kind: KindDuration, Effect: Wished, Default: 60 * time.Second, Limits: positive, NotBelow: "restart.initial",
		Doc: "no delay is longer, jitter included", At: func(a *AppInstance) any { return &a.Restart.Max }},
	{Key: "restart.multiplier", Kind: KindNumber, Effect: Wished, Default: 2.0, Limits: []Limit{between(1, 1000)},
		Doc: "each delay is so many times the one before", At: func(a *AppInstance) any { return &a.Restart.Multiplier }},
	{Key: "restart.jitter", Kind: KindNumber, Effect: Wished, Default: 0.2, ZeroCounts: true, Limits: fraction,
		Doc: "a delay is drawn from ± this part of itself", At: func(a *AppInstance) any { return &a.Restart.Jitter }},
	{Key: "restart.stable_after", Kind: KindDuration, Effect: Wished, Default: 60 * time.Second, Limits: positive,
		Doc: "so long healthy forgives every failure before, and the next start is at once", At: func(a *AppInstance) any { return &a.Restart.StableAfter }},
	{Key: "restart.max_attempts", Kind: KindInteger, Effect: Wished, Default: 0, Limits: []Limit{AtLeast(0)},
		Doc: "failures in a row after which an instance stays down; 0: never", At: func(a *AppInstance) any { return &a.Restart.MaxAttempts }},
	{Key: "restart.mode", Kind: KindText, Effect: Wished, Default: RestartAlways, Words: words(RestartAlways, RestartOnFailure, RestartNever),
		Doc: "after which exits an instance is started again", At: func(a *AppInstance) any { return &a.Restart.Mode }},

	{Key: "start.deadline", Kind: KindDuration, Effect: Applied, Default: 60 * time.Second, Limits: positive,
		Doc: "from the start of an instance to its first healthy answer", At: func(a *AppInstance) any { return &a.Start.Deadline }},

	{Key: "stop.grace", Kind: KindDuration, Effect: Applied, Default: 10 * time.Second, Limits: positive,
		Doc: "between TERM and KILL", At: func(a *AppInstance) any { return &a.Stop.Grace }},
	{Key: "stop.leftovers", Kind: KindText, Effect: Applied, Default: LeftoversEnd, Words: words(LeftoversEnd, LeftoversLeave),
		Doc: "what becomes of those that outlive the first process in a session of their own",
		At:  func(a *AppInstance) any { return &a.Stop.Leftovers }},
}

// Fields returns the description of every field of an [AppInstance] that a configuration can set, in the order of its keys.
func Fields() []Field { return slices.Clone(fields) }

// Section is a group of fields, whose keys begin with its name and a dot.
type Section struct{ Name, Doc string }

// Sections returns the sections in their order.
func Sections() []Section {
	return []Section{
		{"health", "how instances are probed"},
		{"restart", "when an instance that ended is started again"},
		{"start", "how instances are started"},
		{"stop", "how instances are ended"},
	}
}

// Section returns the section of the field, which is empty if it is in none, and its name there.
func (f Field) Section() (section, name string) {
	if section, name, in := strings.Cut(f.Key, "."); in {
		return section, name
	}
	return "", f.Key
}

// Complaint says what is wrong with a value of the field, in words that follow "health.failures is 0; ". Empty: nothing is.
func (f Field) Complaint(v any) string {
	if f.Words != nil && !slices.Contains(f.Words, fmt.Sprint(v)) {
		return "it must be " + Alternatives(f.Words)
	}
	for _, l := range f.Limits {
		if l.Complain == nil {
			continue
		}
		if complaint := l.Complain(v); complaint != "" {
			return complaint
		}
	}
	return ""
}

// Below is the error of a field that is below another one; see NotBelow.
func (f Field) Below(a *AppInstance) error {
	if f.NotBelow == "" || !f.tooLow(a) {
		return nil
	}
	return fmt.Errorf("%s is %s; it must not be less than %s, %s", f.Key, f.text(a), f.NotBelow, fields.field(f.NotBelow).text(a))
}

func (f Field) tooLow(a *AppInstance) bool {
	return f.value(a).Int() < fields.field(f.NotBelow).value(a).Int()
}

func (f Field) value(a *AppInstance) reflect.Value { return reflect.ValueOf(f.At(a)).Elem() }

// text returns the value as it is shown.
func (f Field) text(a *AppInstance) string {
	switch v := f.value(a).Interface().(type) {
	case bool:
		return strconv.FormatBool(v != f.Negated)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case []string:
		return strings.Join(v, " ")
	default:
		return fmt.Sprint(v)
	}
}

// isDefault reports whether the value is the default, or stands for it.
func (f Field) isDefault(a *AppInstance) bool {
	v := f.value(a)
	return v.IsZero() && !f.ZeroCounts || f.Default != nil && reflect.DeepEqual(v.Interface(), f.Default)
}

// firstForm are the fields that were hashed from the beginning on, whatever their values are. A later one counts only where
// it is not its default: else the upgrade that brings it would be an edit of every instance.
func firstForm() []string {
	return []string{"executable", "wasm_path", "db_name", "work_dir", "args", "env", "restart.initial", "restart.max", "restart.multiplier",
		"restart.jitter", "restart.stable_after", "restart.max_attempts", "restart.mode"}
}

// since returns the fields of an effect that are not of the first form, and that are not at their defaults.
func (t table) since(effect Effect, a *AppInstance) (later table) {
	first := firstForm()
	for _, f := range t {
		if f.Effect == effect && !slices.Contains(first, f.Key) && !f.isDefault(a) {
			later = append(later, f)
		}
	}
	return later
}

// table is what is looped over: the fields, or in a test a copy with others.
type table []Field

func (t table) field(key string) Field {
	return t[slices.IndexFunc(t, func(f Field) bool { return f.Key == key })]
}

// blank reports whether nothing in a section is said.
func (t table) blank(section string, a *AppInstance) bool {
	return !slices.ContainsFunc(t, func(f Field) bool {
		of, _ := f.Section()
		return of == section && !f.value(a).IsZero()
	})
}

// fill gives every field at its zero value its default.
func (t table) fill(a *AppInstance) {
	var unset table
	for _, f := range t {
		section, _ := f.Section()
		if f.Default != nil && f.value(a).IsZero() && (!f.ZeroCounts || t.blank(section, a)) {
			unset = append(unset, f)
		}
	}
	for _, f := range unset {
		f.value(a).Set(reflect.ValueOf(f.Default))
		if f.NotBelow != "" && f.tooLow(a) {
			f.value(a).Set(fields.field(f.NotBelow).value(a))
		}
	}
}

// wrong returns what is wrong with an instance whose defaults are filled in.
func (t table) wrong(a *AppInstance) (errs []error) {
	for _, f := range t {
		if f.check != nil {
			errs = append(errs, f.check(a)...)
			continue
		}
		v := f.value(a).Interface()
		if f.Effect == Respawns {
			errs = append(errs, noNUL(f.text(a)))
		}
		if complaint := f.Complaint(v); complaint != "" {
			shown := f.text(a)
			if f.value(a).Kind() == reflect.String {
				shown = strconv.Quote(shown)
			}
			errs = append(errs, fmt.Errorf("%s is %s; %s", f.Key, shown, complaint))
		}
		errs = append(errs, f.Below(a))
	}
	return errs
}
