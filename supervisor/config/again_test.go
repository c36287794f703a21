package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// asOne reads a text as a whole, whatever it looks like.
func asOne(t require.TestingT, text string, h Host) (*File, reads, error) {
	r := newReading(h, everyKey())
	r.asOne = true
	f := &File{Path: "/f"}
	d := r.open("/f", "/f", []byte(text))
	d.document(func(v value) { d.file(f, v) })
	if err := r.errors(); err != nil {
		return nil, r.reads, err
	}
	f.Includes, f.EnvFiles = r.reads.fragments, r.reads.others
	return f, r.reads, nil
}

// someLines are what a list may be made of, and what may be put where it does not belong.
func someLines() []string {
	return []string{
		"instances:", "instances:   # all of them", "instances: []",
		"instances: [{id: flow, wasm_path: w, db_name: d}]", "defaults:", "  labels: {team: a}", "  env_file: base.env",
		"health: {interval: 1s}", "include: d", "log:", "  level: debug", "---", "...", "# a comment",
		"      # a comment far in", "", "   ",
		"  - id: a", "  - id: b", "  - id: c", "- id: d", "    - id: e", "  -", "    id: f",
		"  - {id: g, wasm_path: w, db_name: d}", "  - &x {id: h, wasm_path: w, db_name: d}",
		"    wasm_path: w", "    db_name: d", "  wasm_path: w", "  db_name: d", "    env: {A: b}", "    env: {A: b,",
		"      B: c}", "      B: 'it''s", "    still' }",
		"    env:", "      TEXT: |", "        one", "        - id: two", "      FOLDED: >-", "        three",
		"      DEEP: |+", "", "      QUOTED: \"a", "  - id: q", "      b\"", "      PLAIN: a",
		"        b - c", "      NULL:", "    env_file: a.env", "    env_file: b.env", "    env_file: none.env",
		"    labels: {x: y}", "    labels: &l {x: z}", "    labels: *l", "    <<: {labels: {m: n}}",
		"    args: [-p, \"{port}\"]", "    args:", "    - x", "      - y", "    unknown: key", "\ttab: x",
		"    enabled: false", "    health: {interval: 2s, path: /x}", "    health: [", "    ]",
		"    executable: x'y", "    executable: x # y", "    executable: 'x # y'", "    executable: \"x\\", "    ? odd",
		"    : pair", "    wasm_path: é", "    db_name: \u00a0x", "end: 0", "  - id: r\r",
	}
}

const aList = `# the head
defaults:
  labels: {team: a}
instances:
  # the first
  - id: a
    wasm_path: w
    db_name: d
    env:
      TEXT: |
        one
        - two
      LEVEL: info

  - id: b
    wasm_path: w
    db_name: d   # which is shared
    env_file: a.env
# between
  - {id: c, wasm_path: w, db_name: "d"}
  -
    id: e
    env: {A: 'b',
      C: d}
    args: [-p, "{port}", x]
  - id: f
    args:
    - -p
    - it's
    env_file: none.env
health:
  interval: 3s
`

// What is read piece by piece, and again after edits, is what is read of the whole: the same instances, or the same
// errors at the same places, and the same files beside it.
func TestWhatIsReadInPiecesIsWhatIsReadAsOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		head, list, _ := strings.Cut(aList, "instances:")
		list, tail, _ := strings.Cut(list, "health:")
		if rapid.Bool().Draw(t, "without env files") {
			list = strings.NewReplacer("    env_file: a.env\n", "", "    env_file: none.env\n", "").Replace(list)
		}
		if rapid.Bool().Draw(t, "indented less") {
			list = strings.ReplaceAll(list, "\n  ", "\n")
		}
		files := map[string]string{"/a.env": "A=1\n", "/b.env": "TOKEN=hunter2\n", "/base.env": "BASE=1\n",
			"/d/a.env":  "D=1\n",
			"/d/f.yaml": head + "instances:" + strings.ReplaceAll(list, "id: ", "id: of-")}
		h := host(files)
		h.StartFaults = rapid.Bool().Draw(t, "faults of env files are faults of starts")
		if !h.StartFaults {
			files["/none.env"], files["/d/none.env"] = "N=1\n", "N=2\n"
		}
		lines := strings.SplitAfter(head+"instances:"+list+"health:"+tail, "\n")
		if rapid.Bool().Draw(t, "with fragments") {
			lines = append([]string{"include: d\n"}, lines...)
		}
		var before *File
		good := lines
		for range rapid.IntRange(1, 4).Draw(t, "readings") {
			for range rapid.IntRange(0, 3).Draw(t, "edits") {
				at := rapid.IntRange(0, len(lines)-1).Draw(t, "line")
				switch rapid.SampledFrom([]string{"insert", "delete", "copy", "indent", "outdent", "cut", "swap",
					"append", "env"}).Draw(t, "edit") {
				case "insert":
					lines = append(lines[:at:at], append([]string{rapid.SampledFrom(someLines()).Draw(t, "inserted") +
						"\n"}, lines[at:]...)...)
				case "delete":
					if len(lines) > 1 {
						lines = append(lines[:at:at], lines[at+1:]...)
					}
				case "copy":
					to := min(len(lines), at+rapid.IntRange(1, 4).Draw(t, "lines"))
					lines = append(lines[:to:to], lines[at:]...)
				case "indent":
					lines[at] = " " + lines[at]
				case "outdent":
					lines[at] = strings.TrimPrefix(lines[at], " ")
				case "cut":
					lines[at] = lines[at][:rapid.IntRange(0, len(lines[at])).Draw(t, "column")]
				case "swap":
					lines[at], lines[len(lines)-1] = lines[len(lines)-1], lines[at]
				case "append":
					lines = append(lines, "  - id: more\n", "    args: [x]\n")
				case "env":
					files["/a.env"] += "B=2\n"
				}
			}
			text := strings.Join(lines, "")
			want, wantReads, wantErr := asOne(t, text, h)
			now, gotReads, gotErr := parse("/f", []byte(text), h, before)
			require.Equal(t, wantErr, gotErr, text)
			got := now
			if now != nil {
				only := *now
				only.known = want.known
				got = &only
			}
			require.Equal(t, want, got, text)
			require.Equal(t, wantReads, gotReads, text)
			if gotErr == nil {
				before, good = now, slices.Clone(lines)
			} else if rapid.Bool().Draw(t, "mended") {
				lines = slices.Clone(good)
			}
		}
	})
}

func TestAnIdThatIsThereTwiceIsFoundWhereverTheSecondStands(t *testing.T) {
	item := func(id, more string) string { return "  - id: " + id + "\n    wasm_path: w\n    db_name: d\n" + more }
	const head = "state_dir: /s\ninstances:\n"
	first, _, err := parse("/f", []byte(head+item("a", "")+item("b", "")+item("c", "")), host(nil), nil)
	require.NoError(t, err)
	other := "    labels: {l: m}\n"
	var many string
	for n := range 20 {
		many += item(fmt.Sprintf("more-%d", n), "")
	}
	for name, list := range map[string]string{
		"before":          item("a", "") + item("b", other) + item("b", "") + item("c", ""),
		"behind":          item("a", "") + item("b", "") + item("c", "") + item("b", other),
		"the same":        item("a", "") + item("b", "") + item("b", "") + item("c", ""),
		"moved":           item("b", "") + item("a", "") + item("c", "") + item("b", ""),
		"among many":      item("a", "") + many + item("b", "") + item("c", "") + item("a", other),
		"both are new":    item("a", "") + item("b", "") + item("x", "") + item("x", other),
		"behind what is":  many + item("c", other) + item("a", "") + item("b", "") + item("c", ""),
		"before the last": item("a", "") + item("c", other) + item("b", "") + item("c", ""),
	} {
		_, _, err := parse("/f", []byte(head+list), host(nil), first)
		_, _, want := asOne(t, head+list, host(nil))
		require.ErrorContains(t, err, "ids must be unique", name)
		require.Equal(t, want, err, name)
	}
}

func TestAFileThatSaysTheSameAgainIsKeptOnce(t *testing.T) {
	text := "wasm_path: a.wasm\nexecutable: /bin/x\nports: {range: 30000-30009}\nstate_dir: /s\ninstances:\n" +
		"  - id: a\n    env: {A: b}\n    labels: {l: m}\n  - id: b\n    env: {A: b}\n    labels: {l: m}\n"
	text = strings.Replace(text, "wasm_path: a.wasm\n", "defaults: {args: [x]}\n", 1)
	first, _, err := parse("/f", []byte(text), host(nil), nil)
	require.NoError(t, err)
	again, _, err := parse("/f", []byte("# said anew\n"+text), host(nil), first)
	require.NoError(t, err)
	require.Same(t, first.Instances[0], again.Instances[0])
	first.Instances[0].Env["A"] = "c" // which nobody may
	require.Equal(t, "c", again.Instances[1].Env["A"], "and what two instances say alike likewise")
}
