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
type Masker struct{ replace *strings.Replacer }

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
	var pairs []string
	for _, v := range slices.Compact(hidden) {
		pairs = append(pairs, v, Masked)
	}
	return &Masker{strings.NewReplacer(pairs...)}
}

// Mask returns the text with every secret masked.
func (m *Masker) Mask(text string) string {
	if m == nil {
		return text
	}
	return m.replace.Replace(text)
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
