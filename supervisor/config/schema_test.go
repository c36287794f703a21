package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestTheSchemaForEditorsIsTheOneOfTheTables(t *testing.T) {
	golden(t, "procman.schema.json", string(Schema()))
	require.Equal(t, Schema(), Schema())
}

func schemaTree(t require.TestingT) map[string]any {
	var tree map[string]any
	require.NoError(t, json.Unmarshal(Schema(), &tree))
	return tree
}

// within returns the part of a schema at a path of keys; instances[] goes into the list.
func within(t require.TestingT, tree map[string]any, path string) map[string]any {
	for part := range strings.SplitSeq(path, ".") {
		name, list := strings.CutSuffix(part, "[]")
		next, ok := tree["properties"].(map[string]any)[name].(map[string]any)
		require.True(t, ok, path)
		if tree = next; list {
			tree = tree["items"].(map[string]any)
		}
	}
	return tree
}

func TestEveryKeyIsInTheSchemaWithItsDescription(t *testing.T) {
	tree := schemaTree(t)
	for _, path := range declared() {
		require.NotEmpty(t, within(t, tree, path)["description"], path)
	}
	for prefix, keys := range map[string][]key{"": everyKey().file, "instances[].": everyKey().instance,
		"defaults.": everyKey().defaults} {
		each(keys, func(k key, name string) {
			if k.Key != "" {
				require.Equal(t, k.Doc, within(t, tree, prefix+name)["description"], prefix+name)
			}
		})
	}
	require.NotContains(t, within(t, tree, "defaults")["properties"], "id")
	require.Equal(t, false, within(t, tree, "health")["additionalProperties"])
	require.Equal(t, false, tree["additionalProperties"])
}

func TestTheSchemaSaysTheDefaults(t *testing.T) {
	tree := schemaTree(t)
	for path, want := range map[string]any{
		"executable": "dist/bin/servicehost", "on_shutdown": "stop", "ports.range": "30000-31000", "ports.hold": true,
		"health.interval": "15s",
		"restart.max":     "1m", "restart.jitter": 0.2, "start.parallel": 0.0, "output.max_size": "16MiB",
		"log.level": "info", "api.listen": "",
	} {
		require.Equal(t, want, within(t, tree, path)["default"], path)
	}
	require.NotContains(t, within(t, tree, "instances[].restart.jitter"), "default", "it is the file's, not ours")
}

func decoded(t require.TestingT, text string) any {
	var v any
	require.NoError(t, yaml.Unmarshal([]byte(text), &v), text)
	plain, err := json.Marshal(v)
	require.NoError(t, err)
	var again any
	require.NoError(t, json.Unmarshal(plain, &again))
	return again
}

func TestTheSchemaAdmitsTheExamples(t *testing.T) {
	tree := schemaTree(t)
	for _, text := range []string{string(Example()), manual, "instances: []", "include: [a, b]\ninstances: []",
		"api: {listen: ':1', token_file: t}\ndefaults: {env: {A: 1, B: true}}\ninstances: [{id: 7}]"} {
		require.Empty(t, refusals(tree, decoded(t, text), "the file"))
	}
	quick, err := os.ReadFile("../../cmd/procman/quickstart/procman.yaml")
	require.NoError(t, err)
	require.Empty(t, refusals(tree, decoded(t, string(quick)), "the file"))
}

func TestTheSchemaRefusesWhatTheReaderDoes(t *testing.T) {
	tree := schemaTree(t)
	for _, name := range []string{"unknown_keys", "wrong_types", "instances_mapping", "instances_missing",
		"instances_null", "list", "nulls", "scalar", "secrets"} {
		text, err := os.ReadFile(filepath.Join("testdata/bad", name+".yaml"))
		require.NoError(t, err)
		require.NotEmpty(t, refusals(tree, decoded(t, strings.ReplaceAll(string(text), ".inf", "0.5")), "the file"),
			name)
	}
	for _, part := range []string{"x: 1", "health: {x: 1}", "health: {path: api}", "health: {interval: 15}",
		"health: {failures: 0}", "restart: {jitter: 1}", "restart: {multiplier: 0.5}",
		"restart: {mode: sometimes}", "output: {max_size: 16MB}", "ports: {range: 80}", "ports: {range: a-b}",
		"ports: {hold: 1}", "log: {level: loud}", "metrics: {listen: localhost}",
		"executable: ''", "executable: true", "api: {listen: ':1'}", "api: {token: x}", "include: ''", "include: {}",
		"include: [true]", "defaults: {id: a}", "defaults: []",
		"stop: {signal: term}", "defaults: {x: 1}", "defaults: {args: []}", "defaults: {args: [[]]}",
		"defaults: {env: [A]}", "defaults: {env: {A: null}}", "defaults: {env: {A=B: c}}", "defaults: {enabled: 1}",
		"defaults: {health: {x: 1}}", "defaults: {env_file: ''}", "socket: " + strings.Repeat("x", 108)} {
		text := part + "\ninstances: []"
		_, err := Parse("/f", []byte(text), host(nil))
		require.Error(t, err, text)
		require.NotEmpty(t, refusals(tree, decoded(t, text), "the file"), text)
	}
	for _, instance := range []string{"{}", "1", "[]", "null", "{id: ../x}", "{id: a, bogus: 1}", "{id: true}"} {
		text := "instances: [" + instance + "]"
		_, err := Parse("/f", []byte(text), host(nil))
		require.Error(t, err, text)
		require.NotEmpty(t, refusals(tree, decoded(t, text), "the file"), text)
	}
}

// leaves returns the path of every value of a schema.
func leaves(tree map[string]any, prefix string) []string {
	properties, _ := tree["properties"].(map[string]any)
	var list []string
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		list = append(list, prefix+name)
		list = append(list, leaves(properties[name].(map[string]any), prefix+name+".")...)
	}
	if items, ok := tree["items"].(map[string]any); ok {
		list = append(list, leaves(items, strings.TrimSuffix(prefix, ".")+"[].")...)
	}
	return list
}

// put writes a value into a file that is a tree.
func put(into map[string]any, path string, v any) {
	name, rest, inner := strings.Cut(path, ".")
	switch name, list := strings.CutSuffix(name, "[]"); {
	case !inner:
		into[name] = v
	case list:
		if items, ok := into[name].([]any); ok && len(items) > 0 {
			if item, ok := items[0].(map[string]any); ok {
				put(item, rest, v)
			}
		}
	default:
		section, ok := into[name].(map[string]any)
		if !ok {
			section = map[string]any{}
			into[name] = section
		}
		put(section, rest, v)
	}
}

func smallFile() map[string]any {
	return map[string]any{"instances": []any{map[string]any{"id": "a", "wasm_path": "w", "db_name": "d"}}}
}

// admitted fails if a file that the reader accepts is refused by the schema. It reports whether the reader accepts it.
func admitted(t require.TestingT, tree, file map[string]any) bool {
	text, err := json.Marshal(file)
	require.NoError(t, err)
	files := host(map[string]string{"/t": strings.Repeat("t", 40), "/e": "A=b", "/d/x.yaml": "instances: []"})
	if _, err := Parse("/f", text, files); err != nil {
		return false
	}
	var again any
	require.NoError(t, json.Unmarshal(text, &again))
	require.Empty(t, refusals(tree, again, "the file"), string(text))
	return true
}

func TestTheSchemaAdmitsEveryValueThatTheReaderAccepts(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector, which -short is for, finds nothing where there is one goroutine")
	}
	tree := schemaTree(t)
	paths := leaves(tree, "")
	accepted := map[string]bool{}
	pool := []any{nil, true, false, 0, 1, -1, 7, 80, 4000, 65535, 65536, 0.5, 1.5, 999.0, -0.5, 1e9, "", " ",
		"a", "a b", "true", "7", "/", "/e", "/t", "/d", "/x y", "ü", "=", "naïve",
		"1s", "+1s", ".5s", "1.h", "1h2m3s", "1µs", "1μs", "1 s", "0s", "-1s", "1", "1B", "1 KiB", "2  MiB", "0MiB",
		"9TiB", "16MB", "4000-4001", " 4000 - 4001 ", "4000", "+4000", "04000-05000",
		":1", "[::1]:80", "localhost:65536", "h:+1", "stop", "leave", "always", "never", "on-failure", "child",
		"any", "http", "https", "tcp", "report", "HEAD", 200, "200-299", "end", "TERM", "SIGRTMIN+3", "RTMAX",
		"executable", "027", "root", map[string]any{"nofile": 7}, "info", "text", "json", strings.Repeat("x", 99),
		strings.Repeat("ü", 49), strings.Repeat("x", 128),
		"leash", "none", []any{"http://h"}, []any{}, []any{"a"}, []any{1, true, "x"}, []any{"/d"}, []any{"{id}"},
		[]any{"{no}"}, []any{nil}, map[string]any{}, map[string]any{"A": "b"}, map[string]any{"A": 1, "B": true},
		map[string]any{"A=": 1}, map[string]any{"": 1}}
	for _, path := range paths {
		for _, v := range pool {
			file := smallFile()
			if names, is := v.(map[string]any); is {
				v = maps.Clone(names)
			}
			if put(file, path, v); strings.HasPrefix(path, "api.") {
				put(file, "api.token_file", "/t")
				put(file, path, v)
			}
			if section, _, of := strings.Cut(path, "tls."); of && !strings.HasPrefix(path, "fleet") {
				// nothing that is not used is accepted
				put(file, section+"scheme", "https")
			} else if section, is := strings.CutSuffix(path, "health.command"); is {
				put(file, section+"health.kind", "command")
			}
			for needs, others := range map[string]map[string]any{"fleet": {"endpoints": []any{"http://h"}},
				"fleet.user": {"password_file": "p"}, "fleet.password_file": {"user": "u"},
				"fleet.tls": {"endpoints": []any{"https://h"}}, "fleet.tls.cert_file": {"tls.key_file": "k"},
				"fleet.tls.key_file": {"tls.cert_file": "c"}} {
				for name, other := range others {
					if strings.HasPrefix(path, needs) && path != "fleet."+name {
						put(file, "fleet."+name, other)
					}
				}
			}
			if section, is := strings.CutSuffix(path, "fence"); is {
				put(file, section+"movable", true)
				put(file, "fleet.endpoints", []any{"https://h"})
				put(file, "fleet.host", "h")
			}
			if admitted(t, tree, file) {
				accepted[path] = true
			}
		}
	}
	for _, path := range paths {
		require.True(t, accepted[path], "no value is accepted at %s: the test does not reach it", path)
	}
}

func TestTheSchemaAdmitsEveryFileThatTheReaderAccepts(t *testing.T) {
	tree := schemaTree(t)
	paths := leaves(tree, "")
	text := rapid.OneOf(rapid.StringMatching(`[+]?[0-9]{0,3}[.]?[0-9]{0,2}(ns|us|µs|ms|s|m|h)?`),
		rapid.StringMatching(`[0-9]{1,5} ?(-|B|KiB|MiB)? ?[0-9]{0,5}`),
		rapid.StringMatching(`/?[A-Za-z0-9._:=-]{0,9}`), rapid.String())
	leaf := rapid.OneOf(rapid.Custom(func(t *rapid.T) any { return text.Draw(t, "text") }),
		rapid.Custom(func(t *rapid.T) any { return rapid.IntRange(-2, 70_000).Draw(t, "integer") }),
		rapid.Custom(func(t *rapid.T) any { return rapid.Bool().Draw(t, "boolean") }),
		rapid.Custom(func(t *rapid.T) any { return rapid.Float64Range(-1, 1001).Draw(t, "number") }))
	value := rapid.OneOf(leaf, leaf, rapid.Custom(
		func(t *rapid.T) any { return rapid.SliceOfN(leaf, 0, 3).Draw(t, "list") }),
		rapid.Custom(func(t *rapid.T) any { return rapid.MapOfN(text, leaf, 0, 3).Draw(t, "mapping") }))
	rapid.Check(t, func(t *rapid.T) {
		file := smallFile()
		for range rapid.IntRange(1, 4).Draw(t, "keys") {
			put(file, rapid.SampledFrom(paths).Draw(t, "path"), value.Draw(t, "value"))
		}
		admitted(t, tree, file)
	})
}

// refusals says why a value does not match a schema. It knows what our schema uses, and panics at anything else.
func refusals(schema map[string]any, v any, at string) (list []string) {
	refuse := func(format string, args ...any) {
		list = append(list, at+" "+fmt.Sprintf(format, args...))
	}
	text, isText := v.(string)
	number, isNumber := v.(float64)
	items, isList := v.([]any)
	object, isObject := v.(map[string]any)
	properties, _ := schema["properties"].(map[string]any)
	for word, says := range schema {
		limit, _ := says.(float64)
		switch word {
		case "$schema", "title", "description", "default", "then":
		case "type":
			if !slices.ContainsFunc(typeList(says), func(want string) bool { return hasType(v, want) }) {
				refuse("is no %v", says)
			}
		case "enum":
			if !slices.ContainsFunc(says.([]any), func(choice any) bool { return reflect.DeepEqual(choice, v) }) {
				refuse("is none of %v", says)
			}
		case "pattern":
			if isText && !regexp.MustCompile(says.(string)).MatchString(text) {
				refuse("does not match %v", says)
			}
		case "minLength", "maxLength":
			if n := float64(utf8.RuneCountInString(text)); isText &&
				(word == "minLength" && n < limit || word == "maxLength" && n > limit) {
				refuse("has a wrong length")
			}
		case "minimum", "maximum", "exclusiveMaximum":
			if isNumber && (word == "minimum" && number < limit || word == "maximum" && number > limit ||
				word == "exclusiveMaximum" && number >= limit) {
				refuse("is beyond its %s", word)
			}
		case "minItems":
			if isList && float64(len(items)) < limit {
				refuse("has too few items")
			}
		case "items":
			for i, item := range items {
				list = append(list, refusals(says.(map[string]any), item, fmt.Sprintf("%s[%d]", at, i))...)
			}
		case "required":
			for _, name := range says.([]any) {
				if _, has := object[name.(string)]; isObject && !has {
					refuse("lacks %v", name)
				}
			}
		case "properties":
			for name, part := range properties {
				if inner, has := object[name]; has {
					list = append(list, refusals(part.(map[string]any), inner, at+"."+name)...)
				}
			}
		case "propertyNames":
			for name := range object {
				list = append(list, refusals(says.(map[string]any), name, "the name "+at+"."+name)...)
			}
		case "additionalProperties":
			for name, inner := range object {
				if _, known := properties[name]; known {
					continue
				}
				if each, some := says.(map[string]any); some {
					list = append(list, refusals(each, inner, at+"."+name)...)
				} else {
					refuse("may not have %s", name)
				}
			}
		case "if":
			if len(refusals(says.(map[string]any), v, at)) == 0 {
				list = append(list, refusals(schema["then"].(map[string]any), v, at)...)
			}
		default:
			panic("the validator does not know " + word)
		}
	}
	return list
}

func typeList(says any) []string {
	if one, ok := says.(string); ok {
		return []string{one}
	}
	var list []string
	for _, s := range says.([]any) {
		list = append(list, s.(string))
	}
	return list
}

func hasType(v any, want string) bool {
	switch v := v.(type) {
	case string:
		return want == "string"
	case bool:
		return want == "boolean"
	case float64:
		return want == "number" || want == "integer" && v == math.Trunc(v)
	case []any:
		return want == "array"
	case map[string]any:
		return want == "object"
	}
	return false
}
