package config

import (
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
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

// kind is what a value looks like, in words that fit "must be …".
type kind string

const (
	kindText     kind = "text"
	kindDuration kind = "a duration such as 500ms, 15s or 1m30s"
	kindSize     kind = "a size such as 512KiB, 16MiB or 1GiB"
	kindInteger  kind = "a whole number"
	kindNumber   kind = "a number"
	kindBool     kind = "true or false"
	kindPorts    kind = "a port range such as 30000-31000"
	kindMapping  kind = "a mapping of keys"
	kindDirs     kind = "a directory, or a list of directories"
	kindTexts    kind = "a list of texts"
	kindNames    kind = "a mapping of names to texts"
	// In one phrase, for whoever has nothing to run.
	kindInstances kind = "a list of instances ([] for none)"
)

// scalar returns the text of a value as it is written, and whether it is without quotes.
func (d *decoder) scalar(v value, want kind) (text string, plain, ok bool) {
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

func (d *decoder) wrongKind(v value, want kind) {
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
	text, _, ok := d.scalar(v, kindText)
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
		d.failf(v.at, "%s is %s; ~ is not expanded here: write the whole path, or ./~ if a directory of that name is meant", v.name, v.quoted(text))
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

// program reads the path of a program, and leaves a bare name to be looked up in PATH.
func (d *decoder) program(v value) (string, bool) {
	text, ok := d.pathText(v)
	return d.executable(text), ok
}

// executable makes the path of a program absolute.
func (d *decoder) executable(name string) string {
	if strings.ContainsRune(name, filepath.Separator) {
		return d.abs(name)
	}
	return name
}

func (d *decoder) duration(v value) (time.Duration, bool) {
	text, _, ok := d.scalar(v, kindDuration)
	if !ok {
		return 0, false
	}
	t, err := time.ParseDuration(text)
	if err == nil {
		return t, true
	}
	if _, err := strconv.ParseFloat(text, 64); err == nil && !v.private {
		d.failf(v.at, "%s is %s without a unit; write %ss if seconds are meant", v.name, v.plain(text), v.plain(text))
	} else {
		d.failf(v.at, "%s must be %s, not %s", v.name, kindDuration, v.quoted(text))
	}
	return 0, false
}

func (d *decoder) size(v value) (int64, bool) {
	text, _, ok := d.scalar(v, kindSize)
	if !ok {
		return 0, false
	}
	n, complaint := parseSize(text)
	if complaint != "" {
		d.failf(v.at, "%s is %s; %s", v.name, v.quoted(text), complaint)
		return 0, false
	}
	return n, true
}

// parseSize reads a number of bytes, or says what is wrong with it.
func parseSize(text string) (size int64, complaint string) {
	digits := len(text) - len(strings.TrimLeft(text, "0123456789"))
	unit := strings.TrimLeft(text[digits:], " ")
	var shift int
	switch unit {
	case "", "B":
	case "KiB":
		shift = 10
	case "MiB":
		shift = 20
	case "GiB":
		shift = 30
	case "TiB":
		shift = 40
	default:
		digits = 0
	}
	if digits == 0 {
		return 0, "write " + string(kindSize) + "; the units are B, KiB, MiB, GiB and TiB"
	}
	n, err := strconv.ParseInt(text[:digits], 10, 64)
	if err != nil || n > math.MaxInt64>>shift {
		return 0, "that is more than can be counted"
	}
	return n << shift, ""
}

func (d *decoder) integer(v value) (int, bool) {
	text, plain, ok := d.scalar(v, kindInteger)
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(text)
	if err != nil || !plain {
		d.failf(v.at, "%s must be %s, not %s", v.name, kindInteger, v.quoted(text))
		return 0, false
	}
	return n, true
}

func (d *decoder) number(v value) (float64, bool) {
	text, plain, ok := d.scalar(v, kindNumber)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !plain || math.IsNaN(n) || math.IsInf(n, 0) {
		d.failf(v.at, "%s must be %s, not %s", v.name, kindNumber, v.quoted(text))
		return 0, false
	}
	return n, true
}

func (d *decoder) boolean(v value) (bool, bool) {
	if b, ok := v.node.(*ast.BoolNode); ok {
		return b.Value, true
	}
	if text, _, ok := d.scalar(v, kindBool); ok {
		d.failf(v.at, "%s must be %s, not %s", v.name, kindBool, v.quoted(text))
	}
	return false, false
}

// The least port that needs no privilege, and the greatest there is.
const firstPort, lastPort = 1024, 65535

func (d *decoder) ports(v value) (first, last int, ok bool) {
	text, _, ok := d.scalar(v, kindPorts)
	if !ok {
		return 0, 0, false
	}
	from, to, isRange := strings.Cut(text, "-")
	if !isRange {
		to = from
	}
	first64, err1 := strconv.ParseUint(strings.Trim(from, " "), 10, 63)
	last64, err2 := strconv.ParseUint(strings.Trim(to, " "), 10, 63)
	first, last = int(first64), int(last64)
	switch {
	case err1 != nil || err2 != nil:
		d.failf(v.at, "%s must be %s, or a single port, not %s", v.name, kindPorts, v.quoted(text))
	case first < firstPort || last < firstPort || first > lastPort || last > lastPort:
		d.failf(v.at, "%s is %s; ports go from %d to %d", v.name, v.plain(text), firstPort, lastPort)
	case first > last:
		d.failf(v.at, "%s is %s; the first port must not be greater than the last", v.name, v.plain(text))
	default:
		return first, last, true
	}
	return 0, 0, false
}

// texts reads a list of texts.
func (d *decoder) texts(v value) (texts []string, places []value, ok bool) {
	list, ok := d.items(v, kindTexts)
	for _, item := range list {
		if text, good := d.verbatim(item); good {
			texts, places = append(texts, text), append(places, item)
		} else {
			ok = false
		}
	}
	return texts, places, ok
}

// names reads a mapping of names to texts. It never quotes a text in a message: it may be secret.
func (d *decoder) names(v value) (map[string]string, bool) {
	list, ok := d.entries(v, kindNames)
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
