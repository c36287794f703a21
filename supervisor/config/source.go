package config

import (
	"regexp"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"procman/messages"
)

// source is the text of a file, for showing lines of it.
type source struct {
	path string
	text string
	// lines are asked for by who shows some of them: of a good file nobody does.
	lines func() []string
	// hidden is the byte from which a line is not shown, by line from 1: what follows may be secret.
	hidden map[int]int
}

func newSource(path, text string) *source {
	return &source{path: path, text: text, hidden: map[int]int{},
		lines: sync.OnceValue(func() []string { return strings.Split(text, "\n") })}
}

// hideValue keeps what follows the key at the column from being shown.
func (s *source) hideValue(line, column int) {
	lines := s.lines()
	if line < 1 || line > len(lines) {
		return
	}
	text := lines[line-1]
	from := len(text)
	for i := range text {
		if column--; column == 0 {
			from = i
		}
	}
	if colon := strings.IndexByte(text[from:], ':'); colon >= 0 {
		from += colon + 1
	}
	s.hide(line, from)
}

func (s *source) hide(line, from int) {
	if old, ok := s.hidden[line]; !ok || from < old {
		s.hidden[line] = from
	}
}

const (
	mask      = "***"
	lineShown = 120 // characters of a line that are shown at the most
)

// snippet shows a line with a caret below the column.
func (s *source) snippet(line, column int) string {
	lines := s.lines()
	if line < 1 || line > len(lines) {
		return ""
	}
	text := strings.TrimSuffix(lines[line-1], "\r")
	if strings.TrimSpace(text) == "" {
		return ""
	}
	if from, ok := s.hidden[line]; ok && len(strings.TrimSpace(text[min(from, len(text)):])) > 0 {
		text = text[:from] + " " + mask
		column = min(column, utf8.RuneCountInString(text)-len(mask)+1)
	}
	// One character for one, so that the caret stays where it belongs; and no escape sequence reaches a terminal.
	runes := []rune(strings.Map(func(r rune) rune {
		if r != '\t' && !unicode.IsPrint(r) {
			return utf8.RuneError
		}
		return r
	}, text))
	column = max(1, min(column, len(runes)+1))
	if len(runes) > lineShown {
		from := max(0, min(column-1-lineShown/2, len(runes)-lineShown))
		runes, column = runes[from:from+lineShown], column-from
	}
	pad := strings.Map(func(r rune) rune {
		if r == '\t' {
			return '\t'
		}
		return ' '
	}, string(runes[:column-1]))
	return string(runes) + "\n" + pad + "^"
}

// pattern compiles when it is asked for first: what is wrong with a file is seldom shown.
func pattern(text string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(text) })
}

var (
	envKey   = pattern(`(?i)(?:(?:^|\W)(env\w*|headers|secrets?)["']?[ \t]*[:={]?|(?:env|headers)["']?[ \t]*:)`)
	lineKey  = pattern(`^[ \t]*(?:- +)*["']?([^\s"'#{}\[\],:]+)["']?[ \t]*:(?:\s|$)`)
	flowKey  = pattern(`^[ \t]*(?:- *)?[{\[][ \t{]*["']?(\w+)["']?[ \t]*:`)
	anyKey   = pattern(`([\w-]+)["']?[ \t]*[:=]`)
	newEntry = pattern(`^[ \t]*(?:- *[&*]|\.\.\.|---)`)
)

// hideSecrets hides the values of every env mapping, of every line that begins with a key which is not ours, and of
// such a key that looks like the name of a secret, wherever it stands. It goes by the look of the lines alone, so that
// it also holds for a file that does not parse, and rather hides too much than too little: an env reaches an error by a
// slip in its name, its indentation or its quotes.
func (s *source) hideSecrets(ours map[string]bool) {
	var (
		inside   bool
		indent   int // of the env key
		children int // indent of the keys within; -1 until the first is seen
		brackets int // still open within
	)
	for i, text := range s.lines() {
		if strings.TrimSpace(text) == "" {
			continue
		}
		own := indentOf(text)
		key := lineKey().FindStringSubmatchIndex(text)
		isOurs := key != nil && ours[text[key[2]:key[3]]]
		if flow := flowKey().FindStringSubmatch(text); flow != nil {
			isOurs = ours[flow[1]]
		}
		if inside && (own > indent || brackets > 0 || !isOurs && !newEntry().MatchString(text)) {
			if children < 0 {
				children = own
			}
			from := own
			if key != nil && (own == children && brackets <= 0 || isOurs) {
				// Also within brackets, which are perhaps not closed: a name of ours is no secret.
				from = len(strings.TrimRight(text[:key[1]], " \t\r"))
			}
			s.hide(i+1, from)
			brackets += opened(text)
			continue
		}
		inside = false
		if key != nil && !isOurs {
			s.hide(i+1, key[3]+1)
		}
		if from := secretValues(text, ours); from >= 0 {
			s.hide(i+1, from)
			inside, children, indent = true, -1, own
			if lead := strings.TrimLeft(text[:from], " \t-"); !strings.ContainsAny(lead, "{[,") {
				indent = from - len(lead)
			}
			brackets = opened(text[from:])
		}
	}
}

// secretValues returns where in a line the values of an env mapping, or a secret, may begin; -1 if nothing looks like
// one.
func secretValues(line string, ours map[string]bool) int {
	from := -1
	for _, at := range envKey().FindAllStringSubmatchIndex(line, -1) {
		if at[2] < 0 || line[at[2]:at[3]] != "env_file" {
			from = at[1]
			break
		}
	}
	for _, at := range anyKey().FindAllStringSubmatchIndex(line, -1) {
		name := line[at[2]:at[3]]
		if !ours[name] && messages.LooksSecret(strings.ReplaceAll(name, "-", "_")) && (from < 0 || at[1] < from) {
			return at[1]
		}
	}
	return from
}

func indentOf(line string) int { return len(line) - len(strings.TrimLeft(line, " \t")) }

func opened(text string) int {
	return strings.Count(text, "{") + strings.Count(text, "[") - strings.Count(text, "}") - strings.Count(text, "]")
}
