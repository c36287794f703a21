package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

// assembled parses a file in /etc/procman with others beside it.
func assembled(text string, files map[string]string) (*File, error) {
	return Parse("/etc/procman/procman.yaml", []byte(text), host(files))
}

func TestDefaultsHoldForEveryInstanceKeyByKey(t *testing.T) {
	f, err := assembled(`
health: {interval: 1s, timeout: 1s, path: /top}
restart: {initial: 3s}
executable: top
instances:
  - {id: a}
  - {id: b, wasm_path: own.wasm, args: [x], health: {path: /own}, labels: {team: own, more: 1}, enabled: true, executable: own, work_dir: own}
defaults:
  executable: bin/shared
  wasm_path: shared.wasm
  db_name: shared.db
  args: ["{wasm_path}", "{port}"]
  work_dir: data
  health: {timeout: 2s, path: /defaults}
  restart: {max: 10s}
  start: {deadline: 7s}
  stop: {grace: 8s}
  labels: {team: all, site: one}
  enabled: false
`, nil)
	require.NoError(t, err)
	a, b := f.Instances[0], f.Instances[1]
	require.Equal(t, messages.AppInstance{Health: messages.HealthPolicy{Kind: messages.HealthHTTP, Path: "/defaults",
		Interval: time.Second, Timeout: 2 * time.Second, Failures: 3,
		Owner: messages.OwnerChild}}.WithDefaults().Health, a.Health)
	require.Equal(t, messages.AppInstance{Health: messages.HealthPolicy{Kind: messages.HealthHTTP, Path: "/own",
		Interval: time.Second, Timeout: 2 * time.Second, Failures: 3,
		Owner: messages.OwnerChild}}.WithDefaults().Health, b.Health)
	require.Equal(t, 3*time.Second, a.Restart.Initial)
	require.Equal(t, 10*time.Second, a.Restart.Max)
	require.Equal(t, 7*time.Second, a.Start.Deadline)
	require.Equal(t, 8*time.Second, b.Stop.Grace)
	require.Equal(t, "/top", f.Health.Path, "defaults are of instances")
	require.Equal(t, []string{"/etc/procman/bin/shared", "/etc/procman/data", "/etc/procman/shared.wasm", "shared.db"},
		[]string{a.Executable, a.WorkDir, a.WasmPath, a.DbName})
	require.Equal(t, []string{"own", "/etc/procman/own", "/etc/procman/own.wasm"},
		[]string{b.Executable, b.WorkDir, b.WasmPath})
	require.Equal(t, []string{"{wasm_path}", "{port}"}, a.Args)
	require.Equal(t, []string{"x"}, b.Args)
	require.Equal(t, map[string]string{"team": "all", "site": "one"}, a.Labels)
	require.Equal(t, map[string]string{"team": "own", "site": "one", "more": "1"}, b.Labels)
	require.True(t, a.Disabled)
	require.False(t, b.Disabled)
}

func TestAnEnvironmentIsMergedFromWeakToStrong(t *testing.T) {
	files := map[string]string{"/etc/procman/d.env": "A=1\nB=1\nC=1\nD=1\nE=1\nF=1",
		"/etc/procman/i.env":     "C=3\nD=3\nG=3",
		"/etc/procman/p.d/x.env": "E=x\nF=x\nH=x"}
	files["/etc/procman/p.d/x.yaml"] = "defaults: {env_file: x.env, env: {F: y}}\ninstances: [{id: x, args: [x], " +
		"env: {I: z}}]"
	f, err := assembled(`
include: p.d
instances:
  - {id: a, args: [x], env_file: i.env, env: {D: "4"}}
  - {id: b, args: [x]}
defaults: {env: {B: "2", C: "2"}, env_file: d.env}
`, files)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"A": "1", "B": "2", "C": "3", "D": "4", "E": "1", "F": "1", "G": "3"},
		f.Instances[0].Env)
	require.Equal(t, map[string]string{"A": "1", "B": "2", "C": "2", "D": "1", "E": "1", "F": "1"}, f.Instances[1].Env)
	require.Equal(t, map[string]string{"A": "1", "B": "2", "C": "2", "D": "1", "E": "x", "F": "y", "H": "x", "I": "z"},
		f.Instances[2].Env)
	require.Equal(t, []string{"A", "B", "C", "D", "E", "F", "G"}, f.Instances[0].Secrets)
	require.Equal(t, []string{"A", "B", "C", "D", "E", "F"}, f.Instances[1].Secrets)
	require.Equal(t, []string{"A", "B", "C", "D", "E", "F", "H"}, f.Instances[2].Secrets)
	require.Equal(t, []string{"/etc/procman/d.env", "/etc/procman/i.env", "/etc/procman/p.d/x.env"}, f.EnvFiles)
}

func TestNothingThatOneInstanceAddsReachesAnother(t *testing.T) {
	f, err := assembled("defaults: {env: {A: a}, labels: {l: a}, args: [x]}\ninstances: [{id: a, env: {B: b}, "+
		"labels: {m: b}}, {id: b, env: {A: c}}]", nil)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"A": "a", "B": "b"}, f.Instances[0].Env)
	require.Equal(t, map[string]string{"A": "c"}, f.Instances[1].Env)
	require.Equal(t, map[string]string{"l": "a"}, f.Instances[1].Labels)
}

func TestFragmentsAddInstancesAndTheirOwnDefaults(t *testing.T) {
	f, err := assembled(`
include: [procman.d, /srv/more]
executable: bin/main
defaults: {labels: {site: one, team: none}, stop: {grace: 5s}, wasm_path: main.wasm}
instances: [{id: main, db_name: m.db}]
`, map[string]string{
		"/etc/procman/procman.d/b.yml": "instances: [{id: b, db_name: b.db}]",
		"/etc/procman/procman.d/a.yaml": "defaults: {labels: {team: a}, stop: {grace: 6s}}\ninstances: [{id: " +
			"a1, db_name: d, wasm_path: a.wasm}, {id: a2, db_name: d, stop: {grace: 7s}, work_dir: data, executable: " +
			"./own}]",
		"/etc/procman/procman.d/empty.yaml":    "instances: []",
		"/etc/procman/procman.d/.hidden.yaml":  "x",
		"/etc/procman/procman.d/#auto.yaml":    "x",
		"/etc/procman/procman.d/a.yaml~":       "x",
		"/etc/procman/procman.d/README":        "x",
		"/etc/procman/procman.d/sub/deep.yaml": "x",
		"/srv/more/c.yaml":                     "instances: [{id: c, db_name: c.db, wasm_path: c.wasm}]",
	})
	require.NoError(t, err)
	require.Equal(t, []string{"/etc/procman/procman.d/a.yaml", "/etc/procman/procman.d/b.yml",
		"/etc/procman/procman.d/empty.yaml", "/srv/more/c.yaml"}, f.Includes)
	type row struct {
		id, exe, dir, wasm, team string
		grace                    time.Duration
	}
	var got []row
	for _, a := range f.Instances {
		require.NoError(t, a.Validate())
		require.Equal(t, "one", a.Labels["site"])
		got = append(got, row{string(a.InstanceID), a.Executable, a.WorkDir, a.WasmPath, a.Labels["team"],
			a.Stop.Grace})
	}
	const main, d = "/etc/procman/bin/main", "/etc/procman/procman.d"
	require.Equal(t, []row{
		{"main", main, "/etc/procman", "main.wasm", "none", 5 * time.Second},
		{"a1", main, d, "a.wasm", "a", 6 * time.Second},
		{"a2", d + "/own", d + "/data", "/etc/procman/main.wasm", "a", 7 * time.Second},
		{"b", main, d, "/etc/procman/main.wasm", "none", 5 * time.Second},
		{"c", main, "/srv/more", "c.wasm", "none", 5 * time.Second},
	}, got)
}

func TestAFileThatIncludesItsOwnDirectoryPassesOverItself(t *testing.T) {
	f, err := assembled("include: .\ninstances: []",
		map[string]string{"/etc/procman/procman.yaml": "x", "/etc/procman/a.yaml": "instances: [{id: a, args: [x]}]"})
	require.NoError(t, err)
	require.Len(t, f.Instances, 1)
}

func TestAnEmptyDirectoryIsFine(t *testing.T) {
	f, err := assembled("include: [p.d]\ninstances: []", map[string]string{"/etc/procman/p.d/README": ""})
	require.NoError(t, err)
	require.Empty(t, f.Includes)
	require.NotNil(t, f.Instances)
}

func TestAnErrorInAFragmentIsToldWithItsPlaceThere(t *testing.T) {
	files := map[string]string{
		"p.d/1.yaml": "instances:\n  - {id: a, args: [x]}\n  - {id: a, args: [x]}\nhealth: {path: /}\n",
		"p.d/2.yaml": "",
		"p.d/3.yaml": "defaults: {health: {interval: 5}}\ninstances: [{id: main, args: [x], env: {PASSWORD: " +
			"hunter2}}]\n",
		"p.d/4.yaml": "defaults: {}",
		"p.d/5.yaml": "instances:\n  - id: b\n    environment: {X: hunter2}\n    args: [x]\ninclude: y\n",
		"p.d/6.yaml": "instances: [{id: c, args: [x], env: {A: \"hunter2}}]",
	}
	dir, err := os.Getwd()
	require.NoError(t, err)
	whole := map[string]string{}
	for name, text := range files {
		whole[filepath.Join(dir, name)] = text
	}
	_, err = Parse("procman.yaml", []byte("stop: {grace: x}\ninclude: p.d\ninstances: [{id: main, args: [x]}]"),
		host(whole))
	var errs Errors
	require.ErrorAs(t, err, &errs)
	require.NotContains(t, err.Error(), "hunter2")
	var all strings.Builder
	for _, e := range errs {
		fmt.Fprintln(&all, e)
	}
	golden(t, "testdata/fragments.golden", all.String())
}

func TestAnIncludeThatCannotBeReadIsRefusedAtItsPlace(t *testing.T) {
	files := map[string]string{"/etc/procman/p.d/x.yaml": "instances: []"}
	for text, want := range map[string]string{
		"include: none":           `:1:10: include "none": file does not exist; make the directory, or leave it out`,
		"include: [p.d, ./p.d/]":  `:1:16: include[1] names "./p.d/" a second time`,
		"include: ''":             `:1:10: include is ""; leave the key out`,
		"include: [p.d, {}]":      `:1:16: include[1] must be text; it is a mapping`,
		"include: {}":             `:1:10: include must be text; it is a mapping`,
		"include:":                `:1:9: include has no value`,
		"include: true":           `:1:10: include must be text`,
		"include: &x [&y p.d,*y]": `a second time`,
	} {
		_, err := assembled(text+"\ninstances: []", files)
		require.ErrorContains(t, err, want, text)
	}
	h := host(files)
	h.ReadDir = func(string) ([]string, error) { return []string{"gone.yaml"}, nil }
	_, err := Parse("/etc/procman/procman.yaml", []byte("include: p.d\ninstances: []"), h)
	require.ErrorContains(t, err, `:1:10: include "p.d": "gone.yaml": file does not exist`,
		"what is not read is not nothing")
}

func TestTheLimitsHoldForAllFilesTogether(t *testing.T) {
	large := strings.Repeat("#", maxFile-32) // alone it is not too large
	_, err := assembled("include: p.d\ninstances: []",
		map[string]string{"/etc/procman/p.d/a.yaml": "instances: []", "/etc/procman/p.d/b.yaml": large})
	require.ErrorContains(t, err, `"b.yaml": with it the files are larger than 16 MiB together`)

	h := host(nil)
	h.ReadFile = func(string) ([]byte, error) { return []byte("instances: []"), nil }
	h.ReadDir = func(string) (names []string, err error) {
		for i := range maxFragments + 1 {
			names = append(names, fmt.Sprintf("%d.yaml", i))
		}
		return names, nil
	}
	_, err = Parse("/f", []byte("include: p.d\ninstances: []"), h)
	require.ErrorContains(t, err, "more than 4096 files are included")
}

func TestTheHostListsRegularFilesAndLinks(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "b.yaml"), nil)
	write(t, filepath.Join(dir, "a.txt"), nil)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "dir.yaml"), 0o700))
	require.NoError(t, os.Symlink("b.yaml", filepath.Join(dir, "link.yaml")))
	require.NoError(t, os.Symlink("dir.yaml", filepath.Join(dir, "todir.yaml")))
	require.NoError(t, os.Symlink("nowhere", filepath.Join(dir, "broken.yaml")))
	require.NoError(t, os.Symlink("/dev/null", filepath.Join(dir, "device.yaml")))
	names, err := ThisHost().ReadDir(dir)
	require.NoError(t, err)
	require.Equal(t, []string{"a.txt", "b.yaml", "broken.yaml", "link.yaml"}, names)
	path := filepath.Join(dir, "main.yml")
	write(t, path, []byte("include: .\ninstances: []"))
	_, err = Load(path)
	require.ErrorContains(t, err, "broken.yaml")
}

func TestADefaultsFaultIsToldOnce(t *testing.T) {
	_, err := assembled("defaults: {wasm_path: [], env_file: none}\ninstances: [{id: a, db_name: d}, {id: b, "+
		"db_name: d}]", nil)
	var errs Errors
	require.ErrorAs(t, err, &errs)
	require.Len(t, errs, 2)
	require.Contains(t, errs[0].Message, "defaults.wasm_path must be text")
	require.Contains(t, errs[1].Message, `env_file "none": file does not exist`)
}

func TestEveryWayToChangeAFragmentIsSignalled(t *testing.T) {
	dir := t.TempDir()
	path, more := filepath.Join(dir, "procman.yaml"), filepath.Join(dir, "more")
	require.NoError(t, os.Mkdir(more, 0o700))
	write(t, path, append([]byte("include: more\n"), listing("main")...))
	p := provide(t, path, ProviderOptions{})
	fragment := func(name string) string { return filepath.Join(more, name) }

	write(t, fragment("a.yaml"), listing("added"))
	until(t, p, "main", "added")
	write(t, fragment("a.yaml"), listing("edited"))
	until(t, p, "main", "edited")
	write(t, fragment("new.tmp"), listing("renamed"))
	require.NoError(t, os.Rename(fragment("new.tmp"), fragment("a.yaml")))
	until(t, p, "main", "renamed")
	write(t, fragment("b.yml"), listing("b"))
	until(t, p, "main", "renamed", "b")
	require.NoError(t, os.Remove(fragment("a.yaml")))
	until(t, p, "main", "b")

	write(t, fragment("c.yaml"), []byte("instances: ["))
	until(t, p)
	require.Len(t, p.File().Instances, 2, "the last good one stays in force")
	write(t, fragment("c.yaml"), listing("mended"))
	until(t, p, "main", "b", "mended")

	require.NoError(t, os.Rename(more, more+".old"))
	until(t, p)
	require.NoError(t, os.Mkdir(more, 0o700))
	until(t, p, "main")
	write(t, fragment("d.yaml"), listing("d"))
	until(t, p, "main", "d")

	next := filepath.Join(dir, "next")
	require.NoError(t, os.Mkdir(next, 0o700))
	write(t, filepath.Join(next, "e.yaml"), listing("e"))
	require.NoError(t, os.RemoveAll(more))
	require.NoError(t, os.Rename(next, more))
	until(t, p, "main", "e")
	write(t, fragment("e.yaml"), listing("f"))
	until(t, p, "main", "f")

	write(t, path, listing("alone"))
	until(t, p, "alone")
	write(t, path, append([]byte("include: later\n"), listing("main")...))
	until(t, p)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "later"), 0o700))
	until(t, p, "main")
}

func TestALinkedDirectoryOfLinkedFragmentsIsFollowed(t *testing.T) {
	dir := t.TempDir()
	for _, v := range []string{"v1", "v2"} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, "mount", ".."+v), 0o700))
		write(t, filepath.Join(dir, "mount", ".."+v, "a.yaml"), listing(v))
	}
	// As Kubernetes mounts a directory: a.yaml -> ..data/a.yaml, ..data -> ..v1.
	mount := func(name string) string { return filepath.Join(dir, "mount", name) }
	require.NoError(t, os.Symlink("..v1", mount("..data")))
	require.NoError(t, os.Symlink("..data/a.yaml", mount("a.yaml")))
	require.NoError(t, os.Symlink("mount", filepath.Join(dir, "procman.d")))
	path := filepath.Join(dir, "procman.yaml")
	write(t, path, []byte("include: procman.d\ninstances: []"))
	p := provide(t, path, ProviderOptions{})
	require.Equal(t, filepath.Join(dir, "procman.d"), p.File().Instances[0].WorkDir,
		"relative to the path that is named")

	require.NoError(t, os.Symlink("..v2", mount("..tmp")))
	require.NoError(t, os.Rename(mount("..tmp"), mount("..data")))
	until(t, p, "v2")
	write(t, mount("..v2/a.yaml"), listing("edited"))
	until(t, p, "edited")
	require.NoError(t, os.Mkdir(filepath.Join(dir, "other"), 0o700))
	write(t, filepath.Join(dir, "other", "x.yaml"), listing("other"))
	require.NoError(t, os.Symlink("other", filepath.Join(dir, "link.tmp")))
	require.NoError(t, os.Rename(filepath.Join(dir, "link.tmp"), filepath.Join(dir, "procman.d")))
	until(t, p, "other")
	write(t, filepath.Join(dir, "other", "y.yaml"), listing("y"))
	until(t, p, "other", "y")
}

func TestADatabaseBesideFragmentsSignalsNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "procman.yaml")
	require.NoError(t, os.Mkdir(filepath.Join(dir, "d"), 0o700))
	write(t, path, append([]byte("include: d\n"), listing("a")...))
	touched := make(chan struct{}, 1)
	w := &watcher{touched: touched, places: map[string]bool{},
		sights: sights{files: []string{path}, dirs: []string{filepath.Join(dir, "d")}}}
	w.look()
	for _, name := range []string{"users.db", ".a.yaml.swp", ".x.yaml", "a.yaml~"} {
		write(t, filepath.Join(dir, "d", name), nil)
		w.look()
		require.Empty(t, touched, name)
	}
	write(t, filepath.Join(dir, "d", "a.yaml"), nil)
	w.look()
	require.Len(t, touched, 1, "also polling sees a fragment come")
}

func BenchmarkLookAtThousandFragments(b *testing.B) {
	dir := b.TempDir()
	w := &watcher{touched: make(chan struct{}, 1), sights: sights{dirs: []string{dir}}}
	for i := range 1000 {
		path := filepath.Join(dir, fmt.Sprintf("%d.yaml", i))
		require.NoError(b, os.WriteFile(path, nil, 0o600))
		w.sights.files = append(w.sights.files, path)
	}
	for b.Loop() {
		w.look()
	}
}

func TestAnEditOfTheTokenIsSignalled(t *testing.T) {
	dir := t.TempDir()
	path, token := filepath.Join(dir, "procman.yaml"), filepath.Join(t.TempDir(), "token")
	write(t, token, []byte(strings.Repeat("a", 16)))
	write(t, path, append([]byte("api: {listen: ':1', token_file: "+token+"}\n"), listing("a")...))
	p := provide(t, path, ProviderOptions{})
	old := p.File()
	write(t, token, []byte(strings.Repeat("b", 16)))
	until(t, p, "a")
	require.Eventually(t, func() bool {
		_, err := p.AppInstances(t.Context())
		return err == nil && strings.HasPrefix(p.File().API.Token, "b")
	}, 5*time.Second, time.Millisecond)
	require.Equal(t, []string{"api.token_file"}, RestartNeeded(old, p.File()))
}
