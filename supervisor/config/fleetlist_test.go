package config

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"procman/messages"
)

// listed parses the list of a fleet, as an operator has it in a directory of his own.
func listed(t require.TestingT, text string, files map[string]string) []*messages.AppInstance {
	list, err := ParseList("/home/op/fleet/list.yaml", []byte(text), host(files))
	require.NoError(t, err)
	return list
}

// specs are the texts of the instances, one a line.
func specs(t require.TestingT, list []*messages.AppInstance) string {
	var lines strings.Builder
	for i := range list {
		spec, err := Spec(list[i])
		require.NoError(t, err)
		require.True(t, json.Valid(spec), string(spec))
		lines.WriteString(string(spec) + "\n")
	}
	return lines.String()
}

// hostOf are the settings of a host.
func hostOf(t require.TestingT, text string) *File {
	f, err := Parse("/etc/procman/procman.yaml", []byte(text+"\ninstances: []"), host(nil))
	require.NoError(t, err)
	return f.Settings()
}

func TestASpecSaysAllOfAnInstanceAndNothingThatIsTheDefault(t *testing.T) {
	list := listed(t, `
executable: /usr/bin/app
health: {path: /healthz}
defaults: {env: {LOG_LEVEL: info}, labels: {team: a}, restart: {jitter: 0}}
instances:
  - {id: a, wasm_path: apps/a.wasm, db_name: a.db, enabled: false, stop: {grace: 90s}}
  - {id: b, args: ["-p", "{port}", "<&>\u2028\t\x01"], executable: bin/b, work_dir: ../data, restart: {success: [0, TERM], multiplier: 1.5}}
  - {id: c, wasm_path: c.wasm, db_name: c, executable: ./c, env: {LOG_LEVEL: "{,"}}
  - {id: d, wasm_path: d.wasm, db_name: d, executable: c, work_dir: /srv/./d}
`, nil)
	require.Equal(t, strings.TrimLeft(`
{"id":"a","wasm_path":"apps/a.wasm","db_name":"a.db","executable":"/usr/bin/app","enabled":false,"env":{"LOG_LEVEL":"info"},"labels":{"team":"a"},"health":{"path":"/healthz"},"restart":{"jitter":0},"stop":{"grace":"1m30s"}}
{"id":"b","executable":"bin/b","args":["-p","{port}","<&>\u2028\t\u0001"],"work_dir":"../data","env":{"LOG_LEVEL":"info"},"labels":{"team":"a"},"health":{"path":"/healthz"},"restart":{"multiplier":1.5,"jitter":0,"success":["0","TERM"]}}
{"id":"c","wasm_path":"c.wasm","db_name":"c","executable":"./c","env":{"LOG_LEVEL":"{,"},"labels":{"team":"a"},"health":{"path":"/healthz"},"restart":{"jitter":0}}
{"id":"d","wasm_path":"d.wasm","db_name":"d","executable":"c","work_dir":"/srv/d","env":{"LOG_LEVEL":"info"},"labels":{"team":"a"},"health":{"path":"/healthz"},"restart":{"jitter":0}}
`, "\n"), specs(t, list))
}

func TestAnInstanceOfAListIsOnAHostWhatItWouldBeInTheHostsOwnFile(t *testing.T) {
	some := map[messages.Kind]*rapid.Generator[any]{
		messages.KindPath:     rapid.SampledFrom([]any{"a", "./a", "../a", "/x/../a", "a//b", "."}),
		messages.KindProgram:  rapid.SampledFrom([]any{"a", "./a", "../a", "/x/a", "a//b", messages.DefaultExecutable}),
		messages.KindDuration: rapid.SampledFrom([]any{"1s", "1500ms", "1m", "24h", "60s"}),
		messages.KindInteger:  rapid.SampledFrom([]any{0, 1, 3, 7}),
		messages.KindNumber:   rapid.SampledFrom([]any{0.0, 0.0000001, 0.2, 2.0, 999.5}),
		messages.KindBool:     rapid.SampledFrom([]any{true, false}),
		messages.KindWords:    rapid.SampledFrom([]any{"0", []any{"0", "TERM"}, []any{7}}),
	}
	text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"true", "7", "~", "null", "# x", "{id}", "a: b",
		"{,", `"`, "'", "\n", " a ", "🦀", "\u2028"}))
	names := rapid.MapOfN(rapid.OneOf(rapid.StringMatching("[A-Z_]{1,4}"), text), text, 0, 3)
	draw := func(t *rapid.T, f messages.Field) any {
		switch {
		case f.Words != nil:
			return rapid.SampledFrom(f.Words).Draw(t, f.Key)
		case some[f.Kind] != nil:
			return some[f.Kind].Draw(t, f.Key)
		case f.Kind == messages.KindNames:
			return names.Draw(t, f.Key)
		case f.Kind == messages.KindTexts:
			return rapid.SliceOfN(text, 1, 3).Draw(t, f.Key)
		}
		return rapid.OneOf(text, rapid.SampledFrom([]string{"/", "/x?y=z"})).Draw(t, f.Key)
	}
	agreed := 0
	rapid.Check(t, func(t *rapid.T) {
		fields := messages.Fields()
		file := smallFile()
		file["fleet"] = map[string]any{"endpoints": []string{"https://h"}, "host": "h"}
		for range rapid.IntRange(0, 8).Draw(t, "keys") {
			f := fields[rapid.IntRange(0, len(fields)-1).Draw(t, "field")]
			if f.Key == "env_file" || f.Key == "id" {
				continue
			}
			places := []string{"instances[].", "defaults."}
			if section, _ := f.Section(); section != "" {
				places = append(places, "")
			}
			put(file, rapid.SampledFrom(places).Draw(t, "place")+f.Key, draw(t, f))
		}
		whole, err := json.Marshal(file)
		require.NoError(t, err)
		own, err := Parse("/etc/procman/procman.yaml", whole, host(nil))
		if err != nil {
			_, listErr := ParseList("/etc/procman/procman.yaml", whole, host(nil))
			require.Error(t, listErr, "a list is refused for what a configuration is: %v", err)
			require.Equal(t, err.Error(), listErr.Error())
			return
		}
		agreed++
		list := listed(t, string(whole), nil)
		spec, err := Spec(list[0])
		require.NoError(t, err)
		got, err := ParseInstance("spec/a", hostOf(t, ""), spec)
		require.NoError(t, err, string(spec))
		require.True(t, own.Instances[0].Same(&got), "%s: %+v is not %+v", spec, got, own.Instances[0])
		again, err := Parse("/etc/procman/procman.yaml",
			[]byte("fleet: {endpoints: [https://h], host: h}\ninstances: ["+string(spec)+"]"), host(nil))
		require.NoError(t, err, string(spec))
		require.True(t, own.Instances[0].Same(again.Instances[0]), "%s: %+v is not %+v", spec, again.Instances[0],
			own.Instances[0])
	})
	require.NotZero(t, agreed)
}

func TestPathsOfAListAreRelativeToWhereItStandsAndThenToEachHostsFile(t *testing.T) {
	list := listed(t, "include: [conf.d, /srv/more]\nexecutable: bin/app\ninstances: []", map[string]string{
		"/home/op/fleet/conf.d/a.yaml": "instances: [{id: a, wasm_path: a.wasm, db_name: d}, {id: b, wasm_path: " +
			"b.wasm, db_name: d, work_dir: ../b, executable: ../b}]",
		"/srv/more/c.yaml": "instances: [{id: c, wasm_path: c.wasm, db_name: d}]",
	})
	require.Equal(t, strings.TrimLeft(`
{"id":"a","wasm_path":"conf.d/a.wasm","db_name":"d","executable":"bin/app","work_dir":"conf.d"}
{"id":"b","wasm_path":"conf.d/b.wasm","db_name":"d","executable":"./b","work_dir":"b"}
{"id":"c","wasm_path":"/srv/more/c.wasm","db_name":"d","executable":"bin/app","work_dir":"/srv/more"}
`, "\n"), specs(t, list))
}

func TestASpecThatNamesNoProgramIsRunByTheHostsOwnAndByNoOtherOfItsRules(t *testing.T) {
	settings := hostOf(t, "executable: bin/own\nhealth: {interval: 99s}\nrestart: {jitter: 0}\ndefaults: {env: {A: b}}")
	app, err := ParseInstance("spec/a", settings, []byte(`{"id":"a","wasm_path":"a.wasm","db_name":"d"}`))
	require.NoError(t, err)
	require.Equal(t, messages.AppInstance{InstanceID: "a", WasmPath: "a.wasm", DbName: "d",
		Executable: "/etc/procman/bin/own", WorkDir: "/etc/procman"}.WithDefaults(), app)
}

func TestWhatIsNoSpecIsRefusedWithItsPlace(t *testing.T) {
	for spec, want := range map[string]string{
		`{"id":"a","wasm_path":"w","db_name":"d","helth":{}}`: `spec/a:1:41: unknown key "helth"; did you mean health?`,
		`{"wasm_path":"w","db_name":"d"}`:                     "spec/a:1:1: id is missing",
		`{"id":"a"}`:                                          "spec/a:1:1: wasm_path is missing",
		`{"id":"a","wasm_path":"w","db_name":"d","health":{"failures":0}}`: "spec/a:1:62: health.failures is 0; it " +
			"must be at least 1",
		`[]`:        "spec/a:1:1: the file must be a mapping of keys; it is a list",
		`{"id":"a"`: "spec/a:1:",
		``:          "spec/a:1:1: the file is empty",
		`{"id":"a","wasm_path":"w","db_name":"d","env":{"TOKEN":"hunter2"},"bad":"1"}`: `unknown key "bad"`,
	} {
		_, err := ParseInstance("spec/a", hostOf(t, ""), []byte(spec))
		var errs Errors
		require.ErrorAs(t, err, &errs, spec)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

func TestAListIsRefusedWithEveryErrorInItsPlace(t *testing.T) {
	_, err := ParseList("list.yaml", []byte("defaults: {env_file: /x}\ninstances:\n  - {id: a, args: [x], stop: "+
		"{grace: 5}}\n  - {id: b, args: [x], env_file: b.env}\n"), host(nil))
	var errs Errors
	require.ErrorAs(t, err, &errs)
	require.Len(t, errs, 3)
	require.ErrorContains(t, errs[0], "list.yaml:1:22: env_file is not for the list of a fleet")
	require.ErrorContains(t, errs[1], "list.yaml:3:38: stop.grace is 5 without a unit")
	require.ErrorContains(t, errs[2], "list.yaml:4:34: env_file is not for the list of a fleet")
	_, err = ParseList("list.yaml", []byte("instances: []"), Host{Getenv: func(string) string { return "" }})
	require.NoError(t, err, "it needs no state directory")
}

func TestTheTextOfAnInstanceHasItsChecksInFull(t *testing.T) {
	list := listed(t, `defaults: {health: {kind: command, command: [redis-cli, -p, "{port}"], headers: {A: b}}}
instances:
  - {id: a, wasm_path: w, db_name: d}
  - {id: b, wasm_path: w, db_name: d, health: {kind: http, scheme: https, status: [200-299], tls: {ca_file: /ca, server_name: x}, on_failure: report}}`, nil)
	for n, want := range []string{
		`"health":{"kind":"command","headers":{"A":"b"},"command":["redis-cli","-p","{port}"]}`,
		`"health":{"status":["200-299"],"headers":{"A":"b"},"scheme":"https","tls":{"ca_file":"/ca","server_name":"x"},"on_failure":"report"}`,
	} {
		spec, err := Spec(list[n])
		require.NoError(t, err)
		require.Contains(t, string(spec), want)
		got, err := ParseInstance("spec/a", hostOf(t, ""), spec)
		require.NoError(t, err, string(spec))
		require.True(t, list[n].Health.Same(&got.Health), string(spec))
	}
}
