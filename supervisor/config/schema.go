package config

import (
	"bytes"
	"encoding/json"
	"maps"
	"strings"
	"time"

	"procman/messages"
)

// Schema returns the JSON Schema (draft 2020-12) of a configuration file, made of the tables it is read by. It admits
// every file that [Parse] accepts, also as a fragment, and refuses unknown keys, wrong types and what a single value
// shows.
func Schema() []byte { return everyKey().schema() }

func (t *tables) schema() []byte {
	s := object(t.file, true)
	s["$schema"], s["title"] = "https://json-schema.org/draft/2020-12/schema", "Configuration of procman"
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	_ = e.Encode(s) // strings, numbers and maps of them: there is nothing that cannot be written
	return b.Bytes()
}

// shape is the JSON Schema of a value.
type shape = map[string]any

// object is the shape of a mapping. uppermost says that what is not written has its default, and not what another level
// says.
func object(keys []key, uppermost bool) shape {
	properties, required := shape{}, []string{}
	for _, k := range keys {
		properties[k.name] = k.shape(uppermost)
		if k.required {
			required = append(required, k.name)
		}
	}
	s := shape{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}

func (k key) shape(uppermost bool) shape {
	var s shape
	switch {
	case k.many:
		s = shape{"type": "array", "items": object(k.keys, false)}
	case k.keys != nil:
		s = object(k.keys, uppermost && k.name != "defaults")
	case k.Words != nil:
		s = shape{"type": "string", "enum": k.Words}
	default:
		s = shapeOf(k.Kind)
	}
	for _, l := range k.Limits {
		maps.Copy(s, l.Schema)
	}
	maps.Copy(s, k.schema)
	if uppermost && k.Default != nil {
		s["default"] = written(k.Default)
	}
	s["description"] = k.Doc
	return s
}

// shapeOf is what every value of a kind looks like. A text that looks like a number is one to JSON, and a text to us.
func shapeOf(k messages.Kind) shape {
	// numbers and booleans are taken as they are written
	verbatim := shape{"type": []string{"string", "number", "boolean"}}
	switch k {
	case messages.KindDuration:
		return shape{"type": "string", "pattern": `^\+?(([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+$`}
	case kindSize:
		return shape{"type": []string{"string", "integer"}, "pattern": `^[0-9]+ *(B|KiB|MiB|GiB|TiB)?$`}
	case kindMaySize, messages.KindBytes:
		return shape{"type": []string{"string", "integer"}, "pattern": `^([0-9]+ *(B|KiB|MiB|GiB|TiB)?)?$`}
	case messages.KindInteger:
		return shape{"type": "integer"}
	case messages.KindNumber:
		return shape{"type": "number"}
	case messages.KindBool:
		return shape{"type": "boolean"}
	case kindPorts:
		return shape{"type": []string{"string", "integer"}, "pattern": `^ *[0-9]+ *(- *[0-9]+ *)?$`,
			"minimum": firstPort, "maximum": lastPort}
	case messages.KindTexts:
		return shape{"type": "array", "items": verbatim}
	case messages.KindWords:
		word := shape{"type": []string{"string", "integer"}, "pattern": `^\S+$`}
		return shape{"type": []string{"array", "string", "integer"}, "pattern": `^\S+$`, "items": word}
	case messages.KindNames:
		return shape{"type": "object", "propertyNames": shape{"pattern": "^[^=]+$"}, "additionalProperties": verbatim}
	case messages.KindLimits:
		return shape{"type": "object", "propertyNames": shape{"enum": messages.LimitNames()},
			"additionalProperties": shape{"type": []string{"integer", "string"}, "minimum": 0,
				"pattern": "^(unlimited|[0-9]+)$"}}
	case kindDirs:
		return shape{"type": []string{"string", "number", "array"}, "minLength": 1,
			"items": shape{"type": []string{"string", "number"}, "minLength": 1}}
	}
	return shape{"type": []string{"string", "number"}}
}

// written is how a default is written in a file.
func written(v any) any {
	switch v := v.(type) {
	case time.Duration:
		s := v.String()
		if strings.HasSuffix(s, "m0s") {
			s = strings.TrimSuffix(s, "0s")
		}
		return strings.Replace(s, "h0m", "h", 1)
	case int64:
		return messages.Bytes(v).String()
	case messages.WordList:
		return v.String()
	case messages.Limits:
		return v.String()
	case messages.Bytes:
		return v.String()
	}
	return v
}
