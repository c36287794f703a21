package config

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestEveryDurationReadsAsItIsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := time.Duration(rapid.Int64Range(1, math.MaxInt64).Draw(t, "nanoseconds"))
		f, err := Parse("f", []byte("health: {interval: "+want.String()+"}\ninstances: []"), host(nil))
		require.NoError(t, err)
		require.Equal(t, want, f.Health.Interval)
	})
}

func TestEverySizeReadsAsItIsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		i := rapid.IntRange(0, 4).Draw(t, "unit")
		n := rapid.Int64Range(1, math.MaxInt64>>(10*i)).Draw(t, "number")
		blank := rapid.SampledFrom([]string{"", " "}).Draw(t, "blank")
		text := fmt.Sprint(n) + blank + []string{"B", "KiB", "MiB", "GiB", "TiB"}[i]
		got, err := parseSize(text, true)
		require.NoError(t, err, text)
		require.Equal(t, n<<(10*i), got)
		got, err = parseSize(fmt.Sprint(n), true)
		require.NoError(t, err)
		require.Equal(t, n, got)
	})
}

func TestAnySizeIsReadOrRefused(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "16MiB": 16 << 20, "512KiB": 512 << 10, "1 GiB": 1 << 30,
		"9223372036854775807": math.MaxInt64} {
		got, err := parseSize(text, true)
		require.NoError(t, err)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{"", "MiB", "-1", "1.5MiB", "16MB", "16M", "16mib", "0x10", "1_000",
		"9223372036854775808", "8388608TiB", "1 2", " 1"} {
		_, err := parseSize(text, true)
		require.Error(t, err, text)
	}
}

// The damage leaves the secret whole, so that it can be looked for, and the word env, which tells that there is one.
func TestNoDamageToAFileBringsASecretIntoAnError(t *testing.T) {
	const text = `instances:
  - id: a
    wasm_path: a.wasm
    env:
      TOKEN: hunter2
      # OLD: hunter2
      "KEY": |
        hunter2
        other: hunter2
      QUOTED: "hunter2"
    db_name: a.db
  - {id: b, wasm_path: w, env: {A: hunter2, B: 'hunter2'}, db_name: d}
  - id: c
    env: {A: hunter2,
      B: "hunter2"}
    health: {interval: 1s}
defaults:
  env: {A: hunter2}
  labels: {a: b}
api: {listen: ":1", token_file: t}
`
	rapid.Check(t, func(t *rapid.T) {
		damaged := text
		for range rapid.IntRange(1, 2).Draw(t, "times") {
			at := rapid.IntRange(0, len(damaged)-1).Draw(t, "at")
			to := min(len(damaged), at+rapid.IntRange(0, 3).Draw(t, "cut"))
			put := rapid.SampledFrom([]string{"", " ", "  ", "\n", "\t", "\"", "'", ":", ": ", "- ", "{", "}",
				"[", "]", ",", "*", "&", "!", "|", "#", "?", "\\", "\x00", "x", "x: y\n"}).Draw(t, "put")
			after := damaged[:at] + put + damaged[to:]
			if strings.Count(after, "hunter2") == strings.Count(text, "hunter2") &&
				strings.Count(after, "env") == strings.Count(text, "env") {
				damaged = after
			}
		}
		files := map[string]string{"/t": "hunter2", "/d/f.yaml": damaged}
		for _, main := range []string{damaged, "include: d\ninstances: []"} {
			if _, err := Parse("/f", []byte(main), host(files)); err != nil {
				require.NotContains(t, err.Error(), "hunter2", damaged)
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{manual, string(Example()), "instances: []", "{\"instances\": [{\"id\": 1}]}",
		"health: &h {<<: *h}\ninstances: [*h, *h]",
		"instances:\n- &a\n  id: a\n- {<<: [*a, *a]}\n", "a: |\n  x\nb: >-\n  y\n", "? a\n: b", "a: 'x", "- - - a",
		"%YAML 1.2\n---\n", "\xff\xfe", "a: !!str b", "include: /d\ndefaults: {env: {A: b}}\ninstances: []",
		"\ufeffa: b\r\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := Parse("f", text, host(map[string]string{"/d/f.yaml": string(text),
			"/d/g.yaml": "instances: [{id: g, args: [x]}]"}))
		if err != nil {
			require.Nil(t, file)
			errs, ok := err.(Errors)
			require.True(t, ok)
			require.NotEmpty(t, errs)
			for _, e := range errs {
				require.Positive(t, e.Line)
				require.Positive(t, e.Column)
				require.NotContains(t, e.Message, "the YAML parser failed")
			}
			return
		}
		for _, a := range file.Instances {
			require.NoError(t, a.Validate())
		}
	})
}

func FuzzEnvFile(f *testing.F) {
	f.Add("A=b\n# c\nexport D='e'\nF=\"g\\n\" # h\n")
	f.Fuzz(func(t *testing.T, text string) {
		values, err := parseEnvFile(text)
		require.True(t, (values == nil) == (err != nil))
		for name, value := range values {
			require.NotContains(t, name+value, "\x00")
			require.NotContains(t, name, "=")
			require.NotEmpty(t, name)
		}
	})
}
