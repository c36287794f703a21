package messages

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Field describes one field of an [AppInstance], once for all: defaults, limits, hashes, what an edit does, the keys of
// a configuration with their schema, example and reference are loops over [Fields].
type Field struct {
	// Key is how the configuration and a [FieldChange] name it. One in a section, as health.interval, may be written
	// for a whole file, for defaults and for an instance; any other for the latter two.
	Key    string
	Kind   Kind
	Doc    string // what it says, in a phrase
	Effect Effect
	Secret bool // of KindNames: the values of those in AppInstance.Secrets are shown nowhere
	Hidden bool // of KindNames: no value is shown anywhere

	Default any // taken in place of a zero value; nil: none is
	// ZeroCounts makes zero a value that is meant, as long as anything else in the section is said.
	ZeroCounts bool
	Words      []string // the values there are; nil: any
	Limits     []Limit
	NotBelow   string // the key of another field, below which the value may not be; a default is raised to that

	At      func(*AppInstance) any // a pointer to it, of the type that Kind says
	Into    func(*AppInstance) any // a pointer to write it by; nil: At is one
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
	KindWords    Kind = "words"    // a WordList
	KindLimits   Kind = "limits"   // Limits
	KindBytes    Kind = "bytes"    // Bytes; an empty text is 0
)

// Effect is what an edit of a field does.
type Effect int

// The effects.
const (
	Noted    Effect = iota // no run is told of it
	Applied                // a running process goes on under the new rule
	Wished                 // the same, and it is a wish to see an instance run that has ended
	Respawns               // it is part of what runs: the process is replaced by another one
	// of a setting that is no field of an instance: only a daemon that is started after it takes it up
	NewDaemon
)

// Fields returns the description of every field of an [AppInstance] that a configuration can set, in the order of its
// keys.
func Fields() []Field { return slices.Clone(fields) }

// Section is a group of fields, whose keys begin with its name and a dot.
type Section struct{ Name, Doc string }

// Sections returns the sections in their order.
func Sections() []Section {
	return []Section{
		{"health", "how instances are probed"},
		{"health.tls", "for scheme https"},
		{"restart", "when an instance that ended is started again"},
		{"start", "how instances are started"},
		{"stop", "how instances are ended"},
		{"process", "as whom their processes run, and within which bounds"},
		{"resources", "what all processes of an instance may use together, by its cgroup"},
	}
}

// Section returns the section of the field, which is empty if it is in none, and its name there.
func (f Field) Section() (section, name string) {
	if section, name, in := strings.Cut(f.Key, "."); in {
		return section, name
	}
	return "", f.Key
}

// Complaint says what is wrong with a value of the field, in words that follow "health.failures is 0; ". Empty: nothing
// is.
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
	return fmt.Errorf("%s is %s; it must not be less than %s, %s", f.Key, f.text(a), f.NotBelow,
		fields.field(f.NotBelow).text(a))
}

func (f Field) tooLow(a *AppInstance) bool {
	return f.value(a).Int() < fields.field(f.NotBelow).value(a).Int()
}

func (f Field) value(a *AppInstance) reflect.Value { return reflect.ValueOf(f.At(a)).Elem() }

// Writable returns a pointer to write it by.
func (f Field) Writable(a *AppInstance) any {
	if f.Into != nil {
		return f.Into(a)
	}
	return f.At(a)
}

func (f Field) set(a *AppInstance, v reflect.Value) { reflect.ValueOf(f.Writable(a)).Elem().Set(v) }

// text returns the value as it is shown.
func (f Field) text(a *AppInstance) string {
	switch v := f.value(a).Interface().(type) {
	case bool:
		return strconv.FormatBool(v != f.Negated)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case []string:
		return strings.Join(v, " ")
	case map[string]string:
		return strings.Join(slices.Sorted(maps.Keys(v)), " ")
	default:
		return fmt.Sprint(v)
	}
}

// isDefault reports whether the value is the default, or stands for it.
func (f Field) isDefault(a *AppInstance) bool {
	v := f.value(a)
	return v.IsZero() && !f.ZeroCounts || f.Default != nil && reflect.DeepEqual(v.Interface(), f.Default)
}

// firstForm are the fields that were hashed from the beginning on, whatever their values are. A later one counts only
// where it is not its default: else the upgrade that brings it would be an edit of every instance.
func firstForm() []string {
	return []string{"executable", "wasm_path", "db_name", "work_dir", "args", "env", "restart.initial", "restart.max",
		"restart.multiplier",
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

// of returns the fields of a section.
func (t table) of(section string) (part table) {
	for _, f := range t {
		if in, _ := f.Section(); in == section {
			part = append(part, f)
		}
	}
	return part
}

// fill gives every field at its zero value its default.
func (t table) fill(a *AppInstance) {
	var unset []*Field
	for i, f := range t {
		section, _ := f.Section()
		if f.Default != nil && f.value(a).IsZero() && !(f.Into != nil && reflect.ValueOf(f.Default).IsZero()) &&
			(!f.ZeroCounts || t.blank(section, a)) {
			unset = append(unset, &t[i])
		}
	}
	for _, f := range unset {
		f.set(a, reflect.ValueOf(f.Default))
		if f.NotBelow != "" && f.tooLow(a) {
			f.set(a, fields.field(f.NotBelow).value(a))
		}
	}
}

// wrong returns what is wrong with an instance whose defaults are filled in.
func (t table) wrong(a *AppInstance) (errs []error) {
	add := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	for _, f := range t {
		if f.check != nil {
			errs = append(errs, f.check(a)...)
			continue
		}
		v := f.value(a).Interface()
		if f.Effect == Respawns {
			add(noNUL(f.text(a)))
		}
		if complaint := f.Complaint(v); complaint != "" {
			shown := f.text(a)
			if f.value(a).Kind() == reflect.String {
				shown = strconv.Quote(shown)
			}
			add(fmt.Errorf("%s is %s; %s", f.Key, shown, complaint))
		}
		add(f.Below(a))
	}
	return errs
}
