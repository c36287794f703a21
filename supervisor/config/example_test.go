package config

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/stretchr/testify/require"
)

func TestTheExampleSaysTheDefaults(t *testing.T) {
	f := good(t, string(Example()))
	require.Len(t, f.Instances, 1)
	plain := good(t, "instances: [{id: users, wasm_path: apps/users.wasm, db_name: users.db}]")
	require.Equal(t, plain, f)
	for line := range strings.Lines(string(Example())) {
		require.LessOrEqual(t, utf8.RuneCountInString(line), 121, line)
	}
}

func TestTheExampleNamesEveryKeyAndNoOther(t *testing.T) {
	// A key that is commented out is one too; a comment in words has no such form.
	commented := regexp.MustCompile(`(?m)^( *)# (?:  )?([a-z_]+: )`)
	text := commented.ReplaceAllString(string(Example()), "$1$2")
	require.Contains(t, text, "\n    env_file: ")
	f, err := Parse("/etc/procman/procman.yaml", []byte(text), host(map[string]string{
		"/etc/procman/users.env": "A=b", "/etc/procman/common.env": "A=b",
		"/etc/procman/api.token":           strings.Repeat("t", leastToken),
		"/etc/procman/procman.d/more.yaml": "instances: []",
	}))
	require.NoError(t, err)
	require.Len(t, f.Instances, 1)

	var written []string
	body, _, fault := parseYAML(text)
	require.Nil(t, fault)
	root := body.(*ast.MappingNode)
	var collect func(n ast.Node, prefix string)
	collect = func(n ast.Node, prefix string) {
		for _, p := range n.(*ast.MappingNode).Values {
			key := keyText(p.Key)
			written = append(written, prefix+key)
			// What defaults may hold is what an instance may.
			if _, ok := p.Value.(*ast.MappingNode); ok &&
				!slices.Contains([]string{"env", "labels", "hosts", "headers", "defaults"}, key) {
				collect(p.Value, prefix+key+".")
			}
		}
	}
	collect(root, "")
	for _, p := range root.Values {
		if keyText(p.Key) == "hooks" {
			hooks := p.Value.(*ast.SequenceNode).Values
			require.Len(t, hooks, 2)
			require.Len(t, f.Hooks, 2)
			collect(hooks[0], "hooks[].")
			written = append(written, "hooks[].url") // of the other one
		}
		if keyText(p.Key) == "instances" {
			collect(p.Value.(*ast.SequenceNode).Values[0], "instances[].")
		}
	}
	require.ElementsMatch(t, declared(), written)
}

// declared returns the path of every key, as instances[].health.path.
func declared() (list []string) {
	var within func(keys []key, prefix string)
	within = func(keys []key, prefix string) {
		for _, k := range keys {
			list = append(list, prefix+k.name)
			switch {
			case k.name == "defaults":
			case k.many:
				within(k.keys, prefix+k.name+"[].")
			default:
				within(k.keys, prefix+k.name+".")
			}
		}
	}
	within(everyKey().file, "")
	return list
}

func TestEveryKeyHasAKindAndADescription(t *testing.T) {
	for _, keys := range [][]key{everyKey().file, everyKey().instance} {
		for _, k := range keys {
			require.NotEmpty(t, k.Doc, k.name)
		}
		each(keys, func(k key, name string) {
			require.NotEmpty(t, string(k.Kind)+strings.Join(k.Words, ""), name)
			require.NotEmpty(t, k.Doc, name)
		})
	}
}

func TestInitWritesTheExampleAndNeverOverwrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "procman.yaml")
	require.NoError(t, Init(path))
	_, err := Load(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, []byte("mine"), 0o600))
	require.ErrorIs(t, Init(path), os.ErrExist)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "mine", string(text))
	require.NoError(t, os.Symlink("nowhere", path+".link"))
	require.ErrorIs(t, Init(path+".link"), os.ErrExist, "a dangling link is something too")
	require.NoError(t, Init(filepath.Join(path+".d", "x")), "its directory is made")
	require.Error(t, Init(filepath.Join(path, "x")))
}

func TestFindLooksInItsOrder(t *testing.T) {
	t.Chdir(t.TempDir())
	dir, err := os.Getwd()
	require.NoError(t, err)
	write := func(path string) string {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, nil, 0o600))
		return path
	}
	env := map[string]string{"HOME": filepath.Join(dir, "home")}
	search := func(explicit string) (string, error) { return find(explicit, func(n string) string { return env[n] }) }

	if _, err := os.Stat("/etc/procman/procman.yaml"); err != nil {
		_, err := search("")
		require.ErrorIs(t, err, ErrNotFound)
		require.ErrorContains(t, err, "looked for\n  procman.yaml\n  "+dir+
			"/home/.config/procman/procman.yaml\n  /etc/procman/procman.yaml\n`procman init`")
	}
	want := func(path string) {
		t.Helper()
		got, err := search("")
		require.NoError(t, err)
		require.Equal(t, path, got)
	}
	want(write(dir + "/home/.config/procman/procman.yaml"))
	env["XDG_CONFIG_HOME"] = dir + "/xdg"
	want(write(dir + "/xdg/procman/procman.yaml"))
	want(write("procman.yaml"))
	env["PROCMAN_CONFIG"] = dir + "/env.yaml"
	_, err = search("")
	require.ErrorIs(t, err, ErrNotFound, "what $PROCMAN_CONFIG names is not passed over")
	require.ErrorContains(t, err, "$PROCMAN_CONFIG")
	want(write(dir + "/env.yaml"))
	_, err = search("given.yaml")
	require.ErrorIs(t, err, ErrNotFound)
	got, err := search(write("given.yaml"))
	require.NoError(t, err)
	require.Equal(t, "given.yaml", got)
}

func TestAnEnvFileIsRead(t *testing.T) {
	values, err := parseEnvFile("\ufeff# comment\r\nA=1\r\n export B = two words # not this\nexport\tC='x # \\n y' # " +
		"c\nD=\"a\\nb \\\"c\\\" \\$d \\q\"\n\nE=\nF=a#b\nG=#c\nA=2\nexport=x\nexportH=1\nI=a=b\n")
	require.NoError(t, err)
	require.Equal(t, map[string]string{"A": "2", "B": "two words", "C": "x # \\n y", "D": "a\nb \"c\" $d \\q",
		"E": "", "F": "a#b", "G": "",
		"export": "x", "exportH": "1", "I": "a=b"}, values)
}

func TestAQuotedValueMayGoOnOverSeveralLines(t *testing.T) {
	values, err := parseEnvFile("KEY=\"-----BEGIN-----\r\nab\\\"c=\n  # no comment \n-----END-----\" # " +
		"one\r\nB=2\nexport C='x\ny'\nD=it's\n")
	require.NoError(t, err)
	require.Equal(t, map[string]string{"KEY": "-----BEGIN-----\nab\"c=\n  # no comment \n-----END-----", "B": "2",
		"C": "x\ny", "D": "it's"}, values)
}

func TestAVariableThatNoProcessCanBeStartedWithIsNamed(t *testing.T) {
	limit := mostText()
	_, err := parseEnvFile("A=1\nBIG=" + strings.Repeat("x", limit-len("BIG=\x00")))
	require.NoError(t, err)
	for _, text := range []string{
		"instances: [{id: a, args: [x], env: {BIG: " + strings.Repeat("x", limit) + "}}]",
		"instances: [{id: a, args: [x], env_file: a.env}]",
	} {
		_, err := assembled(text, map[string]string{"/etc/procman/a.env": "A=1\nBIG=" + strings.Repeat("x", limit)})
		require.ErrorContains(t, err, "BIG has 131072 bytes, and the kernel takes 131072 with the name")
		require.Less(t, len(err.Error()), 500)
	}
	_, err = assembled("instances: [{id: a, args: [x, "+strings.Repeat("x", limit)+"]}]", nil)
	require.ErrorContains(t, err, "args[1] has 131072 bytes")
}

func TestABrokenEnvFileIsReportedWithoutItsText(t *testing.T) {
	for text, want := range map[string]string{
		"A=1\nhunter2":        "line 2: no = in it; write NAME=VALUE",
		"=hunter2":            "line 1: no name before the =; write NAME=VALUE",
		"hunter2 x=1":         "line 1: no name before the =; write NAME=VALUE",
		"A='hunter2":          "line 1: the quote ' is not closed",
		"\nA=\"hunter2\\":     "line 2: the quote \" is not closed",
		"A='x'hunter2":        "line 1: text follows the closing quote",
		"A=hunter2\x00":       "line 1: a NUL byte, which no environment can carry",
		"A=1\nB=hunter2\xff":  "line 2: not UTF-8 text; save the file as UTF-8",
		"\xff\xfeh\x00":       "it is UTF-16; save it as UTF-8",
		"A=1\nB=\"x\nhunter2": "line 2: the quote \" is not closed",
		"A=\"x\ny\" hunter2":  "line 1: text follows the closing quote",
		"A=\"x\ny\"\nhunter2": "line 3: no = in it; write NAME=VALUE",
		"A=\"hunter2\" \"":    "line 1: text follows the closing quote",
	} {
		_, err := parseEnvFile(text)
		require.EqualError(t, err, want)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "procman.yaml")
	for _, target := range []string{"none.env", ".", "/dev/zero"} {
		require.NoError(t, os.WriteFile(path, []byte("instances: [{id: a, wasm_path: w, db_name: d, env_file: "+
			target+"}]"), 0o600))
		_, err := Load(path)
		require.ErrorContains(t, err, "env_file \""+target+"\": ")
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "none.env"), []byte(strings.Repeat("#", maxEnvFile+1)), 0o600))
	require.NoError(t, os.WriteFile(path, []byte("instances: [{id: a, wasm_path: w, db_name: d, env_file: none.env}]"),
		0o600))
	_, err := Load(path)
	require.ErrorContains(t, err, "larger than 1 MiB")
}
