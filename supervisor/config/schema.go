package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"procman/messages"
)

// Schema returns the JSON Schema (draft 2020-12) of a configuration file, made of the tables it is read by. It admits
// every file that [Parse] accepts, also as a fragment, and refuses unknown keys, wrong types and what a single value shows.
func Schema() []byte {
	file := defaults()
	file.Executable = messages.DefaultExecutable
	file.Restart.Max = restartMax(file.Restart.Initial)
	s := object(rootKeys, &root{File: file})
	s.Dialect = "https://json-schema.org/draft/2020-12/schema"
	s.Title = "Configuration of procman"
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	_ = e.Encode(s) // strings, numbers and maps of them: there is nothing that cannot be written
	return b.Bytes()
}

// shape is the JSON Schema of a value.
type shape struct {
	Dialect     string            `json:"$schema,omitempty"`
	Title       string            `json:"title,omitempty"`
	Description string            `json:"description,omitempty"`
	Type        types             `json:"type,omitempty"`
	Enum        []string          `json:"enum,omitempty"`
	Default     any               `json:"default,omitempty"`
	Pattern     string            `json:"pattern,omitempty"`
	MinLength   int               `json:"minLength,omitempty"`
	MaxLength   int               `json:"maxLength,omitempty"`
	Minimum     *float64          `json:"minimum,omitempty"`
	Maximum     *float64          `json:"maximum,omitempty"`
	Below       *float64          `json:"exclusiveMaximum,omitempty"`
	Items       *shape            `json:"items,omitempty"`
	MinItems    int               `json:"minItems,omitempty"`
	Properties  map[string]*shape `json:"properties,omitempty"`
	Names       *shape            `json:"propertyNames,omitempty"`
	Others      any               `json:"additionalProperties,omitempty"` // false, or the shape of each
	Required    []string          `json:"required,omitempty"`
	If          *shape            `json:"if,omitempty"`
	Then        *shape            `json:"then,omitempty"`
}

// types are the JSON types a value may have. A text that looks like a number is one to JSON, and a text to us.
type types []string

func (t types) MarshalJSON() ([]byte, error) {
	if len(t) == 1 {
		return json.Marshal(t[0])
	}
	return json.Marshal([]string(t))
}

// object is the shape of a section. at holds the defaults of its keys; nil: they are not known here.
func object[T any](keys []key[T], at *T) *shape {
	s := &shape{Type: types{"object"}, Others: false, Properties: make(map[string]*shape, len(keys))}
	for _, k := range keys {
		of := k.kind.shape()
		for _, mark := range k.marks {
			mark(of, at)
		}
		of.Description = k.doc
		s.Properties[k.name] = of
		if k.required {
			s.Required = append(s.Required, k.name)
		}
	}
	return s
}

// shape is what every value of a kind looks like.
func (k kind) shape() *shape {
	switch k {
	case kindText:
		return &shape{Type: types{"string", "number"}}
	case kindDuration:
		return &shape{Type: types{"string"}, Pattern: `^\+?(([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+$`}
	case kindSize:
		return &shape{Type: types{"string", "integer"}, Pattern: `^[0-9]+ *(B|KiB|MiB|GiB|TiB)?$`}
	case kindInteger:
		return &shape{Type: types{"integer"}}
	case kindNumber:
		return &shape{Type: types{"number"}}
	case kindBool:
		return &shape{Type: types{"boolean"}}
	case kindPorts:
		return &shape{Type: types{"string", "integer"}, Pattern: `^ *[0-9]+ *(- *[0-9]+ *)?$`, Minimum: limit(firstPort), Maximum: limit(lastPort)}
	case kindTexts:
		return &shape{Type: types{"array"}, Items: verbatim()}
	case kindNames:
		return &shape{Type: types{"object"}, Names: &shape{Pattern: "^[^=]+$"}, Others: verbatim()}
	case kindDirs:
		return &shape{Type: types{"string", "number", "array"}, MinLength: 1, Items: &shape{Type: types{"string", "number"}, MinLength: 1}}
	}
	return &shape{} // of a section, a list of instances or a choice: its key says the rest
}

// verbatim is a text in which numbers and booleans are taken as they are written.
func verbatim() *shape { return &shape{Type: types{"string", "number", "boolean"}} }

func limit[V int | int64 | float64](v V) *float64 {
	f := float64(v)
	return &f
}

// written is how a default is written in a file.
func written(v any) any {
	switch v := v.(type) {
	case time.Duration:
		s := v.String()
		if strings.HasSuffix(s, "m0s") {
			s = strings.TrimSuffix(s, "0s")
		}
		if strings.HasSuffix(s, "h0m") {
			s = strings.TrimSuffix(s, "0m")
		}
		return s
	case int64:
		return writtenSize(v)
	}
	return v
}

func writtenSize(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	for len(units) > 1 && n > 0 && n%1024 == 0 {
		n, units = n/1024, units[1:]
	}
	return fmt.Sprint(n) + units[0]
}
