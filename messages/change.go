package messages

import (
	"maps"
	"slices"
	"strings"
)

// ChangeKind is what a new desired list does to an instance.
type ChangeKind string

// The kinds of changes.
const (
	ChangeStart   ChangeKind = "start"
	ChangeStop    ChangeKind = "stop"
	ChangeRestart ChangeKind = "restart" // what runs has changed
	ChangeApply   ChangeKind = "apply"   // noted, and no process is touched
)

// Change is what a new desired list would do to one instance, and why.
type Change struct {
	ID   InstanceID `json:"id"`
	Kind ChangeKind `json:"do"`
	Why  string     `json:"why"`
	// of an instance that is in both lists, in the order of the configuration's keys
	Fields []FieldChange `json:"fields"`
}

// FieldChange is one field that differs between two lists. Secrets are masked.
type FieldChange struct {
	Field string `json:"field"` // as the configuration names it: env.LOG_LEVEL, health.interval
	From  string `json:"from"`  // empty: it was not there
	To    string `json:"to"`    // empty: it is not there any more
}

// Effect returns what the change does.
func (c FieldChange) Effect() Effect {
	for _, f := range fields {
		if f.Key == c.Field || f.Kind == KindNames && strings.HasPrefix(c.Field, f.Key+".") {
			return f.Effect
		}
	}
	return Noted
}

// Diff returns what differs between two instances of one id, in the order of [Fields]; it is never nil. Where the
// environment of next is not known (EnvFault), no difference of it is one.
func Diff(now, next AppInstance) []FieldChange { return fields.diff(&now, &next) }

func (t table) diff(now, next *AppInstance) []FieldChange {
	mask := NewMasker(append(now.SecretValues(), next.SecretValues()...))
	list := []FieldChange{}
	for _, f := range t {
		switch {
		case f.Secret && next.EnvFault != "":
		case f.Kind == KindNames:
			list = append(list, f.entries(now, next, mask)...)
		default:
			if from, to := f.text(now), f.text(next); from != to {
				list = append(list, FieldChange{Field: f.Key, From: mask.Mask(from), To: mask.Mask(to)})
			}
		}
	}
	return list
}

// entries returns the entries of a mapping that differ. Whether one was secret or is to be, its value is not shown, and
// that it is no more, or is now, is a difference.
func (f Field) entries(now, next *AppInstance, mask *Masker) (list []FieldChange) {
	was, is := f.value(now).Interface().(map[string]string), f.value(next).Interface().(map[string]string)
	names := slices.AppendSeq(slices.Collect(maps.Keys(was)), maps.Keys(is))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		before := f.Hidden || f.Secret && slices.Contains(now.Secrets, name)
		after := f.Hidden || f.Secret && slices.Contains(next.Secrets, name)
		from, had := was[name]
		to, has := is[name]
		if had == has && from == to && before == after {
			continue
		}
		show := func(value string, there bool) string {
			switch {
			case !there:
				return ""
			case before || after:
				return Masked
			case value == "":
				return `""` // an empty text says that it was not there
			}
			return mask.Mask(value)
		}
		list = append(list, FieldChange{Field: f.Key + "." + name, From: show(from, had), To: show(to, has)})
	}
	return list
}
