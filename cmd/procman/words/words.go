// Package words puts texts into a form that can be shown to a person.
//
// Invariant: a text of a process, a file or another program goes through [Printable] before it reaches a terminal.
package words

import (
	"strings"
	"unicode"
)

// Printable keeps a text from a process or a file from doing anything to a terminal, and on one line.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t':
			return ' '
		case !unicode.IsPrint(r):
			return -1
		}
		return r
	}, s)
}

// Shorten cuts a text off behind so many characters.
func Shorten(s string, most int) string {
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return s
}

// faultShown is how many characters of a fault are shown in one line.
const faultShown = 300

// Head is the first line of an error, fit to be shown.
func Head(text string) string {
	first, _, _ := strings.Cut(text, "\n")
	return Shorten(Printable(first), faultShown)
}

// Plural is the word for so many.
func Plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}
