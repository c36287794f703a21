package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"time"

	"procman/messages"
)

// ParseList parses the text of a configuration for its instances alone, as the list of a fleet. It is a configuration
// like any other, with two differences: a path that is relative stays so, since each host takes it as relative to its
// own configuration, and env_file is refused. What it says of the daemon is of no effect. path and the error are as
// those of [Parse].
//
// The paths of the instances are relative to the directory of the file, in which they start where WorkDir is empty.
func ParseList(path string, text []byte, h Host) ([]*messages.AppInstance, error) {
	whole, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("the list %s cannot be located: %w", path, err)
	}
	if err := tooLarge(path, text); err != nil {
		return nil, err
	}
	dir := filepath.Dir(whole)
	near := h
	near.ReadFile = func(path string) ([]byte, error) { return h.ReadFile(absolute(dir, path)) }
	near.ReadDir = func(path string) ([]string, error) { return h.ReadDir(absolute(dir, path)) }
	r := newReading(near, everyKey())
	r.forFleet, r.relative = true, true
	f, err := r.file(path, filepath.Base(whole), text)
	if err != nil && r.cut {
		// What is wrong, and where, is said by who has read the whole.
		r = newReading(near, everyKey())
		r.forFleet, r.relative, r.asOne = true, true, true
		f, err = r.file(path, filepath.Base(whole), text)
	}
	if err != nil {
		return nil, err
	}
	return f.Instances, nil
}

// ParseInstance parses what [Spec] made of an instance, for a host: settings is its own configuration, to whose file
// relative paths are relative, and whose executable runs what names none. Everything else is as the list says, so that
// an instance is the same on every host. It reads no file. The error is of type [Errors], and names the text by path.
func ParseInstance(path string, settings *File, spec []byte) (messages.AppInstance, error) {
	if err := tooLarge(path, spec); err != nil {
		return messages.AppInstance{}, err
	}
	r := newReading(Host{}, everyKey())
	r.forFleet, r.asOne = true, true
	base := &level{file: &File{}}
	base.fill(r.keys.file)
	base.app.Executable = settings.Executable
	d := r.open(path, settings.Path, spec)
	var app messages.AppInstance
	d.document(func(v value) { app = d.instance(v, base).app })
	if err := r.errors(); err != nil {
		return messages.AppInstance{}, err
	}
	return app, nil
}

// Spec returns an instance of [ParseList] in the keys of the configuration, as a JSON object that says all of it: what
// is as it is by default is left out. Instances that are the same have the same text.
func Spec(app *messages.AppInstance) (json.RawMessage, error) {
	plain := messages.AppInstance{}.WithDefaults()
	text := []byte("{")
	var open []string // the sections that are
	comma := func() {
		if text[len(text)-1] != '{' {
			text = append(text, ',')
		}
	}
	for _, f := range messages.Fields() {
		v, usual := reflect.ValueOf(f.At(app)).Elem(), reflect.ValueOf(f.At(&plain)).Elem()
		if reflect.DeepEqual(v.Interface(), usual.Interface()) || v.Kind() == reflect.Map && v.Len() == 0 {
			continue
		}
		sections := strings.Split(f.Key, ".")
		name := sections[len(sections)-1]
		sections = sections[:len(sections)-1]
		same := 0
		for same < min(len(sections), len(open)) && sections[same] == open[same] {
			same++
		}
		text = append(text, strings.Repeat("}", len(open)-same)...)
		for _, section := range sections[same:] {
			comma()
			text = fmt.Appendf(text, "%q:{", section)
		}
		open = sections
		value, err := inJSON(v, f.Negated)
		if err != nil {
			return nil, fmt.Errorf("instance %s: %s has no JSON form: %w", app.InstanceID, f.Key, err)
		}
		comma()
		text = append(fmt.Appendf(text, "%q:", name), value...)
	}
	return append(text, strings.Repeat("}", len(open)+1)...), nil
}

// inJSON is a value as a configuration has it, in JSON.
func inJSON(v reflect.Value, negated bool) ([]byte, error) {
	var is any
	switch v := v.Interface().(type) {
	case time.Duration:
		is = v.String()
	case messages.WordList:
		is = v.Words()
	case float64:
		return strconv.AppendFloat(nil, v, 'f', -1, 64), nil // YAML takes none with a bare exponent for a number
	case bool:
		is = v != negated
	default:
		is = v
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(is)
	return bytes.TrimSpace(b.Bytes()), err
}
