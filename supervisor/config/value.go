package config

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"procman/messages"
)

// value is a node of the file, and what messages call it.
type value struct {
	name string
	node ast.Node // aliases and anchors followed
	at   *token.Position
	// private says that it is written under env, and got elsewhere by an alias: no message may quote it.
	private bool
}

// quoted is a text of the value, for a message.
func (v value) quoted(text string) string {
	if v.private {
		return mask
	}
	return clip(text)
}

// whole is quoted without the quotes, and however long it is.
func (v value) whole(text string) string {
	if v.private {
		return mask
	}
	return text
}

// plain is quoted without the quotes.
func (v value) plain(text string) string { return shortened(v.whole(text)) }

// spoken is what the value was read as, for a message.
func (v value) spoken(got any) string {
	if s, ok := got.(string); ok || v.private {
		return v.quoted(s)
	}
	return fmt.Sprint(got)
}

// The kinds of the daemon's own settings.
const (
	kindPathText messages.Kind = "path as it is written"
	kindSize     messages.Kind = "size"
	kindMaySize  messages.Kind = "size, or nothing"
	kindPorts    messages.Kind = "ports"
	kindDirs     messages.Kind = "directories"
)

// phrase is what a value looks like, in words that fit "must be …".
type phrase string

const (
	aText     phrase = "text"
	aDuration phrase = "a duration such as 500ms, 15s or 1m30s"
	aSize     phrase = "a size such as 512KiB, 16MiB or 1GiB"
	anInteger phrase = "a whole number"
	aNumber   phrase = "a number"
	aBool     phrase = "true or false"
	aRange    phrase = "a port range such as 30000-31000, or a single port"
	aMapping  phrase = "a mapping of keys"
	dirs      phrase = "a directory, or a list of directories"
	texts     phrase = "a list of texts"
	someWords phrase = "a list of words, or one"
	nameTexts phrase = "a mapping of names to texts"
	// In one phrase, for whoever has nothing to run.
	instances phrase = "a list of instances ([] for none)"
)

// read reads a value of a kind, or one of a few words.
func (d *decoder) read(v value, k messages.Kind, words []string) (any, bool) {
	if words != nil {
		return parsed(d, v, phrase(messages.Alternatives(words)), func(text string, _ bool) (string, error) {
			return text, unless(slices.Contains(words, text))
		})
	}
	switch k {
	case messages.KindPath:
		return d.path(v)
	case kindPathText:
		return d.pathText(v)
	case messages.KindProgram:
		text, ok := d.pathText(v)
		return d.executable(text), ok
	case messages.KindDuration:
		return d.duration(v)
	case messages.KindInteger:
		return parsed(d, v, anInteger, parseInteger)
	case messages.KindNumber:
		return parsed(d, v, aNumber, parseNumber)
	case messages.KindBool:
		if b, is := v.node.(*ast.BoolNode); is {
			return b.Value, true
		}
		return parsed(d, v, aBool, func(string, bool) (bool, error) { return false, errForm })
	case messages.KindTexts:
		list, _, ok := d.texts(v)
		return list, ok
	case messages.KindNames:
		return d.names(v)
	case messages.KindWords:
		return d.words(v)
	case messages.KindLimits:
		names, ok := d.names(v)
		if !ok {
			return nil, false
		}
		limits, err := messages.NewLimits(names)
		if err != nil {
			d.refuse(v, fmt.Errorf("%s: %w", v.name, err))
		}
		return limits, err == nil
	case messages.KindBytes:
		return parsed(d, v, aSize, parseBytes)
	case kindSize:
		return parsed(d, v, aSize, parseSize)
	case kindMaySize:
		n, ok := parsed(d, v, aSize, parseBytes)
		return int64(n), ok
	case kindPorts:
		return parsed(d, v, aRange, func(text string, _ bool) (string,
			error) {
			return text, new(portRange).UnmarshalText([]byte(text))
		})
	}
	return d.text(v)
}

// errForm says that a text is nothing of its kind at all. Any other error of a parser is in words that follow
// "ports.range is 80; ".
var errForm = errors.New("it is no such thing")

func unless(ok bool) error {
	if ok {
		return nil
	}
	return errForm
}

// parsed reads a scalar. The parser is told whether the text is without quotes.
func parsed[V any](d *decoder, v value, want phrase, parse func(text string, plain bool) (V, error)) (got V, ok bool) {
	text, plain, ok := d.scalar(v, want)
	if !ok {
		return got, false
	}
	got, err := parse(text, plain)
	switch {
	case err == nil:
		return got, true
	case errors.Is(err, errForm):
		d.failf(v.at, "%s must be %s, not %s", v.name, want, v.quoted(text))
	default:
		d.failf(v.at, "%s is %s; %v", v.name, v.plain(text), err)
	}
	return got, false
}

// scalar returns the text of a value as it is written, and whether it is without quotes.
func (d *decoder) scalar(v value, want phrase) (text string, plain, ok bool) {
	switch n := v.node.(type) {
	case *ast.StringNode:
		return n.Value, n.Token.Type == token.StringType, true
	case *ast.LiteralNode:
		return n.Value.Value, false, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true, true
	}
	d.wrongKind(v, want)
	return "", false, false
}

func (d *decoder) wrongKind(v value, want phrase) {
	is := "something else"
	switch v.node.(type) {
	case *ast.NullNode:
		d.failf(v.at, "%s has no value; it must be %s", v.name, want)
		return
	case *ast.MappingNode, *ast.MappingValueNode:
		is = "a mapping"
	case *ast.SequenceNode:
		is = "a list"
	case *ast.StringNode, *ast.LiteralNode:
		is = "text"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		is = "a number"
	case *ast.BoolNode:
		is = "true or false"
	}
	d.failf(v.at, "%s must be %s; it is %s", v.name, want, is)
}

// verbatim reads a text in which numbers and booleans are taken as they are written.
func (d *decoder) verbatim(v value) (string, bool) {
	text, _, ok := d.scalar(v, aText)
	if ok && strings.ContainsRune(text, 0) {
		d.failf(v.at, "%s holds a NUL byte, which no command line or environment can carry", v.name)
		return "", false
	}
	return text, ok
}

// text reads a text. A number is one, as written; true and false are not: they are always a mistake there.
func (d *decoder) text(v value) (string, bool) {
	if b, ok := v.node.(*ast.BoolNode); ok {
		d.failf(v.at, "%s must be text; put %s in quotes if it is meant", v.name, v.plain(b.Token.Value))
		return "", false
	}
	return d.verbatim(v)
}

// pathText reads a path as it is written. There is no shell that would know what ~ means.
func (d *decoder) pathText(v value) (string, bool) {
	text, ok := d.text(v)
	if ok && (text == "~" || strings.HasPrefix(text, "~/")) {
		d.failf(v.at, "%s is %s; ~ is not expanded here: write the whole path, or ./~ if a directory of that name is "+
			"meant", v.name, v.quoted(text))
		return "", false
	}
	return text, ok
}

// path reads a path and makes it absolute; an empty one stays empty.
func (d *decoder) path(v value) (string, bool) {
	text, ok := d.pathText(v)
	if text != "" {
		text = d.abs(text)
	}
	return text, ok
}

// executable makes the path of a program absolute.
func (d *decoder) executable(name string) string {
	if !strings.ContainsRune(name, filepath.Separator) {
		return name
	}
	path := d.abs(name)
	if !strings.ContainsRune(path, filepath.Separator) {
		return "." + string(filepath.Separator) + path // of a list; without it, it would be looked up in PATH
	}
	return path
}

func (d *decoder) duration(v value) (time.Duration, bool) {
	text, _, ok := d.scalar(v, aDuration)
	if !ok {
		return 0, false
	}
	t, err := time.ParseDuration(text)
	if err == nil && strings.TrimLeft(text, "+-0") != "" {
		return t, true
	}
	if _, err := strconv.ParseFloat(text, 64); err == nil && !v.private {
		d.failf(v.at, "%s is %s without a unit; write %ss if seconds are meant", v.name, v.plain(text), v.plain(text))
	} else {
		d.failf(v.at, "%s must be %s, not %s", v.name, aDuration, v.quoted(text))
	}
	return 0, false
}

// parseSize reads a number of bytes.
func parseSize(text string, _ bool) (int64, error) {
	digits := len(text) - len(strings.TrimLeft(text, "0123456789"))
	unit := slices.Index([]string{"B", "KiB", "MiB", "GiB", "TiB"}, strings.TrimLeft(text[digits:], " "))
	if text != "" && digits == len(text) {
		unit = 0
	}
	if digits == 0 || unit < 0 {
		return 0, errors.New("write " + string(aSize) + "; the units are B, KiB, MiB, GiB and TiB")
	}
	n, err := strconv.ParseInt(text[:digits], 10, 64)
	if shift := 10 * unit; err == nil && n <= math.MaxInt64>>shift {
		return n << shift, nil
	}
	return 0, errors.New("that is more than can be counted")
}

// parseBytes is parseSize of what may be left open.
func parseBytes(text string, plain bool) (messages.Bytes, error) {
	if text == "" {
		return 0, nil
	}
	n, err := parseSize(text, plain)
	return messages.Bytes(n), err
}

func parseInteger(text string, plain bool) (int, error) {
	n, err := strconv.Atoi(text)
	return n, unless(err == nil && plain)
}

func parseNumber(text string, plain bool) (float64, error) {
	n, err := strconv.ParseFloat(text, 64)
	return n, unless(err == nil && plain && !math.IsNaN(n) && !math.IsInf(n, 0))
}

// The least port that needs no privilege, and the greatest there is.
const firstPort, lastPort = 1024, 65535

// portRange is the part of Ports that is written as one value: FIRST-LAST, or a single port.
type portRange Ports

// UnmarshalText reads it.
func (r *portRange) UnmarshalText(text []byte) error {
	from, to, isRange := strings.Cut(string(text), "-")
	if !isRange {
		to = from
	}
	first, err1 := strconv.ParseUint(strings.Trim(from, " "), 10, 63)
	last, err2 := strconv.ParseUint(strings.Trim(to, " "), 10, 63)
	switch {
	case err1 != nil || err2 != nil:
		return errForm
	case min(first, last) < firstPort || max(first, last) > lastPort:
		return fmt.Errorf("ports go from %d to %d", firstPort, lastPort)
	case first > last:
		return errors.New("the first port must not be greater than the last")
	}
	r.First, r.Last = int(first), int(last)
	return nil
}

// texts reads a list of texts.
func (d *decoder) texts(v value) (list []string, places []value, ok bool) {
	items, ok := d.items(v, texts)
	for _, item := range items {
		if text, good := d.verbatim(item); good {
			list, places = append(list, text), append(places, item)
		} else {
			ok = false
		}
	}
	return list, places, ok
}

// words reads a list of words, or a single one.
func (d *decoder) words(v value) (messages.WordList, bool) {
	var list []string
	_, isList := v.node.(*ast.SequenceNode)
	if !isList {
		word, _, ok := d.scalar(v, someWords)
		list = []string{word}
		if !ok {
			return "", false
		}
	} else if words, _, ok := d.texts(v); ok {
		list = words
	} else {
		return "", false
	}
	for _, word := range list {
		if word == "" || strings.ContainsFunc(word, unicode.IsSpace) {
			d.failf(v.at, "%s holds %s, which is not a word", v.name, v.quoted(word))
			return "", false
		}
	}
	return messages.WordList(strings.Join(list, " ")), true
}

// names reads a mapping of names to texts. It never quotes a text in a message: it may be secret.
func (d *decoder) names(v value) (map[string]string, bool) {
	list, ok := d.entries(v, nameTexts)
	if !ok {
		return nil, false
	}
	names := make(map[string]string, len(list))
	for _, e := range list {
		if e.key == "" || strings.ContainsAny(e.key, "=\x00") {
			d.failf(e.keyAt, "%s: this cannot be a name; a name is not empty and holds no =", v.name)
			ok = false
			continue
		}
		if _, null := e.value.node.(*ast.NullNode); null {
			// Perhaps no name at all, but what follows a comma in a secret.
			d.failf(e.keyAt, "%s: this name has no value; write \"\" for an empty one", v.name)
			ok = false
			continue
		}
		text, good := d.verbatim(e.value)
		names[e.key], ok = text, ok && good
	}
	return names, ok
}
