package config

import (
	"encoding"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"

	"procman/messages"
)

// key is one key of a mapping: a field of an instance, a setting of the daemon, or a section of such.
type key struct {
	messages.Field
	name     string // within the mapping
	required bool
	keys     []key // of the section, or of each of the instances, that it is
	many     bool  // it is a list of them
	at       func(*level) any
	into     func(*level) any // to write it; nil: at is it
	// read reads what is more than one value; nil: Kind says how.
	read   func(d *decoder, v value, into *level)
	begin  func(*File)                          // makes room for a section that need not be there
	check  func(d *decoder, v value, of *level) // looks at a section as a whole
	schema map[string]any                       // what neither kind nor limits say of it
	sample string                               // shown where there is no default to show
	// content is what a file that a setting names has: an edit of it is one of the setting.
	content func(*File) string
}

// tables are the keys there are, by the mapping in which they may stand.
type tables struct{ file, fragment, defaults, instance []key }

// everyKey is made of all that is said of the fields of an instance in [messages.Fields], by who asks first: most
// commands need none of it.
var everyKey = sync.OnceValue(func() *tables { return tablesOf(messages.Fields()) })

func tablesOf(fields []messages.Field) *tables {
	var t tables
	var own, shared []key
	for _, f := range fields {
		k := special(key{Field: f, at: func(l *level) any { return f.At(&l.app) }})
		if f.Into != nil {
			k.into = func(l *level) any { return f.Into(&l.app) }
		}
		if section, _ := f.Section(); section != "" {
			shared = append(shared, k)
		}
		own = append(own, k)
	}
	t.instance = grouped(own, messages.Sections())
	for i, k := range t.instance {
		if k.keys != nil {
			t.instance[i].Doc += "; what is left out is as in defaults, then as in " + k.name + " of the file"
		}
	}
	t.defaults = slices.DeleteFunc(slices.Clone(t.instance), func(k key) bool { return k.name == "id" })
	t.fragment = []key{
		{name: "defaults", keys: t.defaults, read: func(_ *decoder, v value, l *level) { l.defaults = &v },
			Field: messages.Field{Doc: "what holds for every instance of this file and of those it includes, unless " +
				"the instance says otherwise, key by key; " +
				"env, labels and hosts are merged name by name"}},
		{name: "instances", keys: t.instance, many: true, required: true,
			read:  func(_ *decoder, v value, l *level) { l.instances = &v },
			Field: messages.Field{Doc: "what should run; [] for nothing"}},
	}
	t.file = slices.Concat(grouped(slices.Concat(places(), shared, services()),
		slices.Concat(messages.Sections(), sections())), []key{
		{name: "hooks", keys: hookKeys(), many: true, read: readHooks,
			Field: messages.Field{Doc: "who is told what happens, by a command or a webhook"}},
		{name: "include", read: func(_ *decoder, v value, l *level) { l.include = &v },
			Field: messages.Field{Kind: kindDirs,
				Doc: "directories whose *.yaml and *.yml files add defaults and instances of their own; hidden files " +
					"are " +
					"passed over"}},
	}, t.fragment)
	return &t
}

// grouped puts keys that are in a section into the key that this is.
func grouped(keys []key, sections []messages.Section) []key { return groupedIn("", keys, sections) }

// groupedIn is grouped within a section, whose name ends with a dot.
func groupedIn(outer string, keys []key, sections []messages.Section) (list []key) {
	for _, k := range keys {
		section, name, inner := strings.Cut(strings.TrimPrefix(k.Key, outer), ".")
		if !inner {
			k.name = section
			list = append(list, k)
			continue
		}
		k.name = name
		i := slices.IndexFunc(list, func(k key) bool { return k.name == section })
		if i < 0 {
			of := slices.IndexFunc(sections, func(s messages.Section) bool { return s.Name == outer+section })
			list, i = append(list, key{name: section, Field: messages.Field{Doc: sections[of].Doc}}), len(list)
		}
		if k.check != nil {
			list[i].begin, list[i].check, list[i].schema = k.begin, k.check, k.schema
			k.begin, k.check, k.schema = nil, nil, nil
		}
		list[i].keys = append(list[i].keys, k)
	}
	for i, k := range list {
		if k.keys != nil {
			list[i].keys = groupedIn(outer+k.name+".", k.keys, sections)
		}
	}
	return list
}

// each calls do for every key that has a value, and its name in full. Those of defaults and of instances are not among
// them.
func each(keys []key, do func(k key, name string)) {
	for _, k := range keys {
		if k.keys == nil {
			do(k, k.name)
		} else if k.read == nil {
			each(k.keys, func(inner key, name string) { do(inner, k.name+"."+name) })
		}
	}
}

// section reads a mapping by its keys.
func (d *decoder) section(v value, keys []key, into *level) {
	list, _ := d.entries(v, aMapping)
	for _, e := range list {
		i := slices.IndexFunc(keys, func(k key) bool { return k.name == e.key })
		if i >= 0 {
			d.key(e.value, keys[i], into)
			continue
		}
		switch bare := joined("", e.key); {
		case bare != e.key && strings.Contains(bare, mask):
			d.src.hide(e.keyAt.Line, 0)
		case joined(v.name, e.key) == bare || messages.LooksSecret(e.key):
			// An env mapping with a slip in its name or its indentation ends up here.
			d.src.hideValue(e.keyAt.Line, e.keyAt.Column)
		}
		d.failf(e.keyAt, "unknown key %q%s", joined(v.name, e.key), suggestion(e.key, keys))
	}
}

func (d *decoder) key(v value, k key, into *level) {
	switch {
	case k.read != nil:
		k.read(d, v, into)
	case k.keys == nil:
		d.put(v, k, into)
	default:
		if k.begin != nil {
			k.begin(into.file)
			into.fill(k.keys)
		}
		before := len(d.faults)
		d.section(v, k.keys, into)
		if len(d.faults) == before {
			d.whole(v, k, into)
		}
	}
}

// whole looks at what no single key of a section shows.
func (d *decoder) whole(v value, section key, of *level) {
	for _, k := range section.keys {
		if k.NotBelow == "" || reflect.ValueOf(k.at(of)).Elem().IsZero() {
			continue
		}
		if err := k.Below(&of.app); err != nil {
			_, other, _ := strings.Cut(k.NotBelow, ".")
			d.failf(d.under(v, k.name, other).at, "%v", err)
			reflect.ValueOf(k.at(of)).Elem().SetZero() // told once, not again for each instance that inherits it
		}
	}
	if section.check != nil {
		section.check(d, v, of)
	}
}

// put reads a value to where it belongs.
func (d *decoder) put(v value, k key, into *level) {
	got, ok := d.read(v, k.Kind, k.Words)
	if !ok {
		return
	}
	if complaint := k.Complaint(got); complaint != "" {
		if _, names := got.(map[string]string); names {
			d.failf(v.at, "%s: %s", v.name, complaint)
		} else {
			d.failf(v.at, "%s is %s; %s", v.name, v.spoken(got), complaint)
		}
		return
	}
	if is, boolean := got.(bool); boolean {
		got = is != k.Negated
	}
	into.set(k, got)
}

// fill puts the defaults of keys to where they belong.
func (l *level) fill(keys []key) {
	each(keys, func(k key, _ string) {
		if k.Default != nil && k.NotBelow == "" && k.into == nil {
			l.set(k, k.Default)
		}
	})
}

// set puts a value, or the text of one, to where it belongs. A mapping goes over what is there.
func (l *level) set(k key, v any) {
	at := k.at(l)
	if k.into != nil {
		at = k.into(l)
	}
	if text, is := v.(string); is {
		if special, may := at.(encoding.TextUnmarshaler); may {
			_ = special.UnmarshalText([]byte(text)) // it is one of the words, or was read before
			return
		}
	}
	to := reflect.ValueOf(at).Elem()
	if names, is := v.(map[string]string); is {
		v = over(to.Interface().(map[string]string), names)
	}
	to.Set(reflect.ValueOf(v).Convert(to.Type()))
}

// over returns base with what is written over it.
func over(base, written map[string]string) map[string]string {
	if base == nil {
		return written
	}
	maps.Copy(base, written)
	return base
}

func suggestion(wrong string, keys []key) string {
	best, distance := "", 3
	for _, k := range keys {
		n := EditDistance(folded(wrong), folded(k.name))
		if n < distance && n <= (len(k.name)+1)/2 {
			best, distance = k.name, n
		}
	}
	if best != "" {
		return fmt.Sprintf("; did you mean %s?", best)
	}
	for _, k := range keys {
		if slices.Contains(names(k.keys), wrong) {
			return fmt.Sprintf("; did you mean %s.%s?", k.name, wrong)
		}
	}
	return "; the keys here are " + strings.Join(names(keys), ", ")
}

func names(keys []key) []string {
	list := make([]string, len(keys))
	for i, k := range keys {
		list[i] = k.name
	}
	return list
}

// folded makes wasmPath, wasm-path and wasm_path the same.
func folded(name string) string {
	return strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(name))
}

// EditDistance is the number of characters to insert, delete or replace to make b of a.
func EditDistance(a, b string) int {
	if len(a) > 2*len(b)+8 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
