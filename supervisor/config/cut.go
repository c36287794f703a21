package config

import (
	"crypto/sha256"
	"strings"
)

// layout is a text cut at the items of its list. Each piece can be read without the others, and what is read of it
// depends on its sum alone.
//
// It is cut only where that is sure to be what the parser would do. The list is a block sequence under the key
// instances, which stands in the first column. Its items begin at one indentation, and every other line of it that is
// neither blank nor a comment is indented more. So whatever is open at the end of an item, a text without quotes or one
// of several lines, ends before the next "-": that is not indented more than the last key or "-" that the parser has
// seen. A quote or a bracket that is still open makes the piece fail by itself. What an anchor means elsewhere, what
// tabs do, and a line of which it is in doubt whose it is, is left to the parser: then there is no layout, and the text
// is parsed as one.
type layout struct {
	frame  string // the text with an empty list in the place of the list
	key    int    // the line on which the list begins
	lines  int    // that are missing in the frame behind that
	indent int    // of the items
	pieces []piece
}

// piece is an item of the list, with the comments behind it.
type piece struct {
	from, to int // in the text
	line     int // the first one
	dash     int // the line on which the item begins
	sum      sum
}

// sum tells pieces apart, by their texts and by what follows them.
type sum [16]byte

func sumOf(text []byte) (s sum) {
	whole := sha256.Sum256(text)
	copy(s[:], whole[:])
	return s
}

// What follows a piece.
const (
	thenItem = iota
	thenKey
	thenNothing
)

const listKey = "instances:"

// cut returns the layout of a text of about so many pieces; nil: it has none.
func cut(text string, about int) *layout {
	// Tabs and bare carriage returns mean different things in different places. What an anchor stands for may be used
	// anywhere.
	if strings.IndexByte(text, '\t') >= 0 || strings.IndexByte(text, '\r') >= 0 || isNode(text, '&') ||
		isNode(text, '*') {
		return nil
	}
	begin := 0
	if !strings.HasPrefix(text, listKey) {
		if begin = strings.Index(text, "\n"+listKey) + 1; begin == 0 {
			return nil
		}
	}
	rest, at := lineAt(text, begin)
	if rest = rest[len(listKey):]; strings.TrimLeft(rest, " ") != "" &&
		!strings.HasPrefix(strings.TrimLeft(rest, " "), "#") || strings.HasPrefix(rest, "#") {
		return nil
	}
	l := &layout{key: 1 + strings.Count(text[:begin], "\n"), indent: -1, pieces: make([]piece, 0, about)}
	first, number := at, l.key
	for at < len(text) {
		here, next := lineAt(text, at)
		number++
		said := strings.TrimLeft(here, " ")
		indent := len(here) - len(said)
		isItem := said == "-" || strings.HasPrefix(said, "- ")
		switch {
		case said == "" || said[0] == '#':
		case isItem && l.indent < 0:
			l.indent = indent
			l.pieces = append(l.pieces, piece{from: first, line: l.key + 1, dash: number})
		case isItem && indent == l.indent:
			l.pieces[len(l.pieces)-1].to = at
			l.pieces = append(l.pieces, piece{from: at, line: number, dash: number})
		case indent == 0 && l.indent >= 0 && beginsKey(said):
			return l.close(text, begin, at, number-1, thenKey)
		case l.indent < 0 || indent <= l.indent:
			return nil
		}
		at = next
	}
	return l.close(text, begin, len(text), number, thenNothing)
}

// isNode reports whether a node of the text may begin with the mark of an anchor or an alias.
func isNode(text string, mark byte) bool {
	return strings.IndexByte(text, mark) >= 0 && (strings.Contains(text, ": "+string(mark)) ||
		strings.Contains(text, "- "+string(mark)))
}

// lineAt returns the line at a place of the text, and where the next one begins.
func lineAt(text string, at int) (string, int) {
	if n := strings.IndexByte(text[at:], '\n'); n >= 0 {
		return text[at : at+n], at + n + 1
	}
	return text[at:], len(text)
}

// beginsKey reports whether a line begins with a key that is sure to be one.
func beginsKey(line string) bool {
	name, rest, is := strings.Cut(line, ":")
	return is && name != "" && (rest == "" || rest[0] == ' ') && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") == ""
}

func (l *layout) close(text string, begin, end, lastLine, then int) *layout {
	if len(l.pieces) == 0 {
		return nil
	}
	l.pieces[len(l.pieces)-1].to = end
	var said []byte
	for n := range l.pieces {
		p := &l.pieces[n]
		said = append(said[:0], text[p.from:p.to]...)
		p.sum = sumOf(said)
		if n == len(l.pieces)-1 {
			p.sum[0] ^= byte(then)
		}
	}
	l.lines = lastLine - l.key
	l.frame = text[:begin] + listKey + " []\n" + text[end:]
	return l
}

// document returns a text that is parsed as the pieces from n to m are within the whole one, and how many lines less
// are before them. What follows the pieces is there as far as the parser looks at it.
func (l *layout) document(text string, n, m int) (doc string, moved int) {
	var b strings.Builder
	from, to := l.pieces[n].from, l.pieces[m-1].to
	b.Grow(len(listKey) + 1 + to - from + l.indent + len("-\n"))
	b.WriteString(listKey + "\n")
	b.WriteString(text[from:to])
	switch {
	case m < len(l.pieces):
		b.WriteString(strings.Repeat(" ", l.indent) + "-\n")
	case to < len(text):
		b.WriteString("end: 0\n")
	}
	return b.String(), l.pieces[n].line - 2
}
