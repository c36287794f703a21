package messages

import (
	"fmt"
	"slices"
	"strings"
)

// Selector chooses instances by their labels. The zero Selector chooses all. It is written and means what kubectl's
// does.
type Selector struct {
	requirements []requirement
}

// requirement is what one label has to be.
type requirement struct {
	key    string
	values []string // one of which it has to be; nil: it has to be there, whatever it is
	not    bool     // the opposite; a label that is not there is not any value
}

// ParseSelector reads requirements with commas between them, all of which have to hold: "app=x" (or ==), "tier!=y"
// (also for an instance without that label), "app" (it is there), "!app" (it is not), "app in (x, y)", "app notin (x,
// y)".
func ParseSelector(text string) (Selector, error) {
	var s Selector
	for rest := text; ; {
		part, after, more := cutOutside(rest)
		r, err := parseRequirement(strings.TrimSpace(part))
		if err != nil {
			return Selector{}, fmt.Errorf("%.100q is not a selector: %w; examples: app=x, tier!=y, app, !app, app in "+
				"(x, y)", text, err)
		}
		s.requirements = append(s.requirements, r)
		if !more {
			return s, nil
		}
		rest = after
	}
}

// cutOutside cuts at the first comma that is not in parentheses.
func cutOutside(text string) (before, after string, found bool) {
	within := false
	for i, c := range text {
		switch {
		case c == '(':
			within = true
		case c == ')':
			within = false
		case c == ',' && !within:
			return text[:i], text[i+1:], true
		}
	}
	return text, "", false
}

func parseRequirement(text string) (requirement, error) {
	if text == "" {
		return requirement{}, fmt.Errorf("a requirement is empty")
	}
	if key, list, isSet := strings.Cut(text, "("); isSet {
		return parseSet(strings.Fields(key), list)
	}
	key, value, valued := strings.Cut(text, "=")
	r := requirement{key: key}
	switch {
	case valued:
		r.key, r.not = strings.CutSuffix(key, "!")
		if !r.not {
			value = strings.TrimPrefix(value, "=")
		}
		r.values = []string{strings.TrimSpace(value)}
	default:
		r.key, r.not = strings.CutPrefix(key, "!")
	}
	r.key = strings.TrimSpace(r.key)
	if r.key == "" || strings.ContainsAny(r.key, " \t!()") || valued && strings.ContainsAny(value, "=()") {
		return requirement{}, fmt.Errorf("%.100q cannot be read", text)
	}
	return r, nil
}

func parseSet(head []string, list string) (requirement, error) {
	list, closed := strings.CutSuffix(list, ")")
	if len(head) != 2 || head[1] != "in" && head[1] != "notin" || !closed || strings.ContainsAny(list, "()") {
		return requirement{}, fmt.Errorf("a set is written key in (a, b), or key notin (a, b)")
	}
	r := requirement{key: head[0], not: head[1] == "notin"}
	for value := range strings.SplitSeq(list, ",") {
		r.values = append(r.values, strings.TrimSpace(value))
	}
	return r, nil
}

// All reports whether the selector chooses everything.
func (s Selector) All() bool { return len(s.requirements) == 0 }

// Matches reports whether an instance with these labels is chosen.
func (s Selector) Matches(labels map[string]string) bool {
	for _, r := range s.requirements {
		value, there := labels[r.key]
		if met := there && (r.values == nil || slices.Contains(r.values, value)); met == r.not {
			return false
		}
	}
	return true
}
