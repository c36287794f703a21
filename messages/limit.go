package messages

import (
	"fmt"
	"strings"
	"time"
)

// Limit is one thing that a value has to be.
type Limit struct {
	// Complain says what is wrong with a value, in words that follow "health.failures is 0; ". Empty: nothing is.
	Complain func(v any) string
	Schema   map[string]any // the same in keywords of JSON Schema, as far as they can say it
}

// Must returns a limit of values of one type; see [Limit].
func Must[V any](complain func(V) string, schema map[string]any) Limit {
	return Limit{func(v any) string { return complain(v.(V)) }, schema}
}

// AtLeast is a limit of whole numbers.
func AtLeast[V int | int64](least V) Limit {
	return Must(func(v V) string { return when(v < least, fmt.Sprintf("it must be at least %d", least)) },
		map[string]any{"minimum": least})
}

func between(least, most float64) Limit {
	return Must(func(f float64) string {
		return when(f < least || f > most, fmt.Sprintf("it must be from %v to %v", least, most))
	}, map[string]any{"minimum": least, "maximum": most})
}

var (
	positive = []Limit{Must(func(d time.Duration) string { return when(d <= 0, "it must be more than 0") }, nil)}
	fraction = []Limit{Must(func(f float64) string {
		return when(f < 0 || f >= 1,
			"it must be at least 0 and less than 1")
	},
		map[string]any{"minimum": 0, "exclusiveMaximum": 1})}
	urlPath = []Limit{
		Must(func(s string) string { return when(!strings.HasPrefix(s, "/"), "it must begin with /") }, nil),
		Must(func(s string) string {
			odd := strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f })
			return when(odd, "it must hold neither blanks nor control characters")
		}, map[string]any{"pattern": `^/[^\x00-\x20\x7f]*$`}),
	}
)

func when(wrong bool, complaint string) string {
	if wrong {
		return complaint
	}
	return ""
}

// words are the texts of the values that a field may have.
func words[V ~string](values ...V) []string {
	list := make([]string, len(values))
	for i, v := range values {
		list[i] = string(v)
	}
	return list
}

// Alternatives returns words as a sentence has them: a, b or c.
func Alternatives(words []string) string {
	last := len(words) - 1
	if last == 0 {
		return words[0]
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
