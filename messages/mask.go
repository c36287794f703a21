package messages

import (
	"cmp"
	"slices"
	"strings"
)

// Masked stands where a secret was.
const Masked = "***"

// leastMasked is the length in bytes of the shortest secret that is masked within texts: shorter ones are words like
// any other, and to mask them would garble the text and give away where they are.
const leastMasked = 5

// Masker hides the values of secrets in texts. The nil Masker hides nothing.
type Masker struct {
	replace *strings.Replacer
	hidden  []string  // the longest first
	first   [256]bool // bytes that a secret begins with
}

// NewMasker returns a masker of the values, and of each line of those that have several; nil if there is nothing to hide.
func NewMasker(values []string) *Masker {
	var hidden []string
	for _, v := range values {
		for _, part := range append(strings.Split(v, "\n"), v) {
			if part = strings.TrimSpace(part); len(part) >= leastMasked {
				hidden = append(hidden, part)
			}
		}
	}
	if len(hidden) == 0 {
		return nil
	}
	// The longest first: one may begin with another.
	slices.SortFunc(hidden, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
	m := &Masker{hidden: slices.Compact(hidden)}
	var pairs []string
	for _, v := range m.hidden {
		pairs = append(pairs, v, Masked)
		m.first[v[0]] = true
	}
	m.replace = strings.NewReplacer(pairs...)
	return m
}

// Mask returns the text with every secret masked.
func (m *Masker) Mask(text string) string {
	if m == nil {
		return text
	}
	return m.replace.Replace(text)
}

// Whole returns how much of the beginning of a text can be shown when the text goes on elsewhere: up to a secret that may
// have begun but not ended in it. Cut there, a text has every secret whole on either side.
func (m *Masker) Whole(text []byte) int {
	if m == nil {
		return len(text)
	}
	for i := 0; i < len(text); {
		n := 1
		if m.first[text[i]] {
			var open bool
			if n, open = m.at(text[i:]); open {
				return i
			}
		}
		i += n
	}
	return len(text)
}

// at returns the length of the secret at the beginning of a text, 1 if there is none, and whether the text ends within one.
func (m *Masker) at(text []byte) (n int, open bool) {
	for _, v := range m.hidden {
		if len(text) < len(v) {
			if v[:len(text)] == string(text) {
				return 0, true
			}
		} else if v == string(text[:len(v)]) {
			return len(v), false
		}
	}
	return 1, false
}

// SecretValues returns the values in Env whose names are in Secrets.
func (a AppInstance) SecretValues() []string {
	values := make([]string, 0, len(a.Secrets))
	for _, name := range a.Secrets {
		if v, is := a.Env[name]; is {
			values = append(values, v)
		}
	}
	return values
}
