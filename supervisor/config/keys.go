package config

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// key is one key of a section: its name, what it takes, what it is for, and where its value goes. Reading, suggestions
// and the schema all follow from it.
type key[T any] struct {
	name     string
	kind     kind
	doc      string
	required bool
	sub      []string // the keys of the section that it is, if it is one
	read     func(d *decoder, v value, into *T)
	// marks say what the kind does not say of the shape. at holds the defaults of the section; nil: not known.
	marks []func(s *shape, at *T)
}

// rule is a limit of a value.
type rule[V any] struct {
	complain func(V) string // what is wrong with it, in words that follow "is 5; "; empty: nothing
	mark     func(*shape)   // the same for the schema, as far as it can tell; nil: it cannot
}

func scalarKey[T, V any](name string, k kind, doc string, read func(*decoder, value) (V, bool), field func(*T) *V, rules []rule[V]) key[T] {
	return key[T]{name: name, kind: k, doc: doc, marks: []func(*shape, *T){func(s *shape, at *T) {
		for _, r := range rules {
			if r.mark != nil {
				r.mark(s)
			}
		}
		if at != nil {
			s.Default = written(*field(at))
		}
	}}, read: func(d *decoder, v value, into *T) {
		got, ok := read(d, v)
		if !ok {
			return
		}
		for _, r := range rules {
			if complaint := r.complain(got); complaint != "" {
				d.failf(v.at, "%s is %s; %s", v.name, v.spoken(got), complaint)
				return
			}
		}
		*field(into) = got
	}}
}

func textKey[T any](name, doc string, field func(*T) *string, rules ...rule[string]) key[T] {
	return scalarKey(name, kindText, doc, (*decoder).text, field, rules)
}

// pathKey takes a path, relative to the file in which it stands.
func pathKey[T any](name, doc string, field func(*T) *string, rules ...rule[string]) key[T] {
	return scalarKey(name, kindText, doc, (*decoder).path, field, rules)
}

// programKey takes a path, or a bare name that is looked up in PATH.
func programKey[T any](name, doc string, field func(*T) *string, rules ...rule[string]) key[T] {
	return scalarKey(name, kindText, doc, (*decoder).program, field, rules)
}

func durationKey[T any](name, doc string, field func(*T) *time.Duration) key[T] {
	return scalarKey(name, kindDuration, doc, (*decoder).duration, field, []rule[time.Duration]{positive})
}

func sizeKey[T any](name, doc string, field func(*T) *int64, rules ...rule[int64]) key[T] {
	return scalarKey(name, kindSize, doc, (*decoder).size, field, rules)
}

func integerKey[T any](name, doc string, field func(*T) *int, rules ...rule[int]) key[T] {
	return scalarKey(name, kindInteger, doc, (*decoder).integer, field, rules)
}

func numberKey[T any](name, doc string, field func(*T) *float64, rules ...rule[float64]) key[T] {
	return scalarKey(name, kindNumber, doc, (*decoder).number, field, rules)
}

func boolKey[T any](name, doc string, field func(*T) *bool) key[T] {
	return scalarKey(name, kindBool, doc, (*decoder).boolean, field, nil)
}

// choiceKey takes one of a few words.
func choiceKey[T any, V ~string](name, doc string, field func(*T) *V, choices ...V) key[T] {
	return wordKey(name, doc, field, func(v V) string { return string(v) }, choices)
}

// wordKey takes the word of one of a few values.
func wordKey[T, V any](name, doc string, field func(*T) *V, word func(V) string, choices []V) key[T] {
	words := make([]string, len(choices))
	for i, c := range choices {
		words[i] = word(c)
	}
	k := kind(strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1])
	return key[T]{name: name, kind: k, doc: doc, marks: []func(*shape, *T){func(s *shape, at *T) {
		s.Type, s.Enum = types{"string"}, words
		if at != nil {
			s.Default = word(*field(at))
		}
	}}, read: func(d *decoder, v value, into *T) {
		text, _, ok := d.scalar(v, k)
		if !ok {
			return
		}
		if i := slices.Index(words, text); i >= 0 {
			*field(into) = choices[i]
		} else {
			d.failf(v.at, "%s must be %s, not %s", v.name, k, v.quoted(text))
		}
	}}
}

// sectionKey takes a mapping with keys of its own. check, if there is one, looks at all of them together.
func sectionKey[T, S any](name, doc string, keys []key[S], field func(*T) *S, check func(*decoder, value, *S)) key[T] {
	return key[T]{name: name, kind: kindMapping, doc: doc, sub: names(keys), marks: []func(*shape, *T){func(s *shape, at *T) {
		var inner *S
		if at != nil {
			inner = field(at)
		}
		*s = *object(keys, inner)
	}}, read: func(d *decoder, v value, into *T) {
		before := len(d.faults)
		section(d, v, keys, field(into))
		if check != nil && len(d.faults) == before {
			check(d, v, field(into))
		}
	}}
}

// marked adds to the shape of a key.
func (k key[T]) marked(mark func(*shape)) key[T] {
	k.marks = append(slices.Clip(k.marks), func(s *shape, _ *T) { mark(s) })
	return k
}

// section reads a mapping by its table of keys.
func section[T any](d *decoder, v value, keys []key[T], into *T) {
	list, _ := d.entries(v, kindMapping)
	for _, e := range list {
		i := slices.IndexFunc(keys, func(k key[T]) bool { return k.name == e.key })
		if i < 0 {
			switch bare := joined("", e.key); {
			case bare != e.key && strings.Contains(bare, mask):
				d.src.hide(e.keyAt.Line, 0)
			case joined(v.name, e.key) == bare || looksSecret(e.key):
				// An env mapping with a slip in its name or its indentation ends up here.
				d.src.hideValue(e.keyAt.Line, e.keyAt.Column)
			}
			d.failf(e.keyAt, "unknown key %q%s", joined(v.name, e.key), suggestion(e.key, keys))
			continue
		}
		keys[i].read(d, e.value, into)
	}
}

func suggestion[T any](wrong string, keys []key[T]) string {
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
	var names []string
	for _, k := range keys {
		if slices.Contains(k.sub, wrong) {
			return fmt.Sprintf("; did you mean %s.%s?", k.name, wrong)
		}
		names = append(names, k.name)
	}
	return "; the keys here are " + strings.Join(names, ", ")
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
