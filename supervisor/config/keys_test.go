package config

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

func TestAFieldThatIsAddedToTheTableIsFoundEverywhere(t *testing.T) {
	keys := tablesOf(append(messages.Fields(), messages.Field{
		Key: "stop.word", Kind: messages.KindText, Effect: messages.Applied, Default: "please",
		Words: []string{"please", "now"}, Doc: "said at the end",
		At: func(a *messages.AppInstance) any { return &a.EnvFault }, // any text will do
	}))
	read := func(text string) (*File, error) {
		f, _, err := parseBy(keys, "f", []byte(text), host(nil), nil)
		return f, err
	}
	f, err := read("defaults: {stop: {word: now}}\ninstances: [{id: a, args: [x]}, {id: b, args: [x], stop: {word: " +
		"please}}]")
	require.NoError(t, err)
	require.Equal(t, "now", f.Instances[0].EnvFault)
	require.Equal(t, "please", f.Instances[1].EnvFault)
	f, err = read("instances: [{id: a, args: [x]}]")
	require.NoError(t, err)
	require.Equal(t, "please", f.Instances[0].EnvFault)
	_, err = read("stop: {word: soon}\ninstances: []")
	require.ErrorContains(t, err, "f:1:14: stop.word must be please or now, not \"soon\"\nstop: {word: soon}\n       "+
		"      ^")
	_, err = read("stop: {wrod: now}\ninstances: []")
	require.ErrorContains(t, err, "did you mean word?")
	_, err = read("word: now\ninstances: []")
	require.ErrorContains(t, err, "did you mean stop.word?")

	var schema map[string]any
	require.NoError(t, json.Unmarshal(keys.schema(), &schema))
	for _, path := range []string{"stop.word", "defaults.stop.word", "instances[].stop.word"} {
		require.Equal(t, "said at the end", within(t, schema, path)["description"])
	}
	require.Equal(t, "please", within(t, schema, "stop.word")["default"])
	require.Contains(t, keys.manual(time.Time{}), ".TP\n.B stop.word\n(please or now; default please)\nSaid at the "+
		"end. An edit touches no process.\n")
	require.Contains(t, keys.example(), "  word: please         # said at the end: please or now\n")
	require.Contains(t, keys.example(), ", word: please}\n")
}

func TestASettingThatIsAddedToTheTableSaysWhetherItNeedsANewDaemon(t *testing.T) {
	keys := tablesOf(messages.Fields())
	add := func(name string, effect messages.Effect, at func(*File) any) {
		k := setting(messages.Field{Kind: messages.KindText, Effect: effect, Doc: "said"}, at)
		k.name = name
		keys.file = append(keys.file, k)
	}
	add("late", messages.NewDaemon, func(f *File) any { return &f.Path })
	add("live", messages.Applied, func(f *File) any { return &f.OnShutdown })
	read := func(text string) *File {
		f, _, err := parseBy(keys, "f", []byte(text+"\ninstances: []"), host(nil), nil)
		require.NoError(t, err)
		return f
	}
	require.Equal(t, []string{"late"}, keys.restartNeeded(read(""), read("late: x")))
	require.Empty(t, keys.restartNeeded(read("late: x"), read("late: x\nlive: leave\nhealth: {interval: 1s}")))
	require.Contains(t, keys.reference(), "| `late` |  | said | takes effect in a new daemon only |\n")
	require.Contains(t, keys.manual(time.Time{}), "\n.B late\n(text)\nSaid. An edit takes effect in a new daemon "+
		"only.\n")
}

func TestTheManualHasEveryKey(t *testing.T) {
	page := string(Manual(time.Time{}))
	for _, keys := range [][]key{everyKey().file, everyKey().instance} {
		each(keys, func(k key, name string) {
			require.Contains(t, page, "\n.B "+name+"\n", name)
		})
	}
	require.Contains(t, page, ".B health.interval\n(duration; default 15s)\nBetween two probes of a running "+
		"instance. An edit touches no process.\n")
	require.Contains(t, page, ".B work_dir\n(path)\nWhere the process starts; default: the directory of the file. An "+
		"edit restarts the instance.\n")
}
