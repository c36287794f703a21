package config

import (
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"procman/messages"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// host has no environment but a home, and the files given.
func host(files map[string]string) Host {
	return Host{
		Getenv:   func(name string) string { return map[string]string{"HOME": "/home/u"}[name] },
		Hostname: func() (string, error) { return "h", nil },
		ReadFile: func(path string) ([]byte, error) {
			text, ok := files[path]
			if !ok {
				return nil, &os.PathError{Op: "open", Path: path, Err: os.ErrNotExist}
			}
			return []byte(text), nil
		},
		ReadDir: func(path string) (names []string, err error) {
			err = &os.PathError{Op: "open", Path: path, Err: os.ErrNotExist}
			for file := range files {
				if strings.HasPrefix(file, path+"/") {
					err = nil
					if filepath.Dir(file) == path {
						names = append(names, filepath.Base(file))
					}
				}
			}
			return names, err
		},
	}
}

func good(t *testing.T, text string) *File {
	t.Helper()
	f, err := Parse("/etc/procman/procman.yaml", []byte(text), host(nil))
	require.NoError(t, err)
	f.known = nil
	return f
}

// bad returns the errors of a text, one a line.
func bad(t *testing.T, text string) []string {
	t.Helper()
	_, err := Parse("f", []byte(text), host(nil))
	var errs Errors
	require.ErrorAs(t, err, &errs)
	var heads []string
	for _, e := range errs {
		heads = append(heads, e.Head())
	}
	return heads
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *rewrite {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), got, "go test ./supervisor/config -rewrite")
}

func TestABadFileIsRefusedWithEveryErrorInItsPlace(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	broken, err := os.ReadFile("testdata/bad/broken.env")
	require.NoError(t, err)
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".yaml"), func(t *testing.T) {
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			whole, err := filepath.Abs("broken.env")
			require.NoError(t, err)
			h := host(map[string]string{whole: string(broken)})
			h.Group = func(name string) error {
				if name == "monitoring" {
					return nil
				}
				return fmt.Errorf("there is no group of this name on this host")
			}
			f, err := Parse(filepath.Base(path), text, h)
			require.Nil(t, f)
			var errs Errors
			require.ErrorAs(t, err, &errs)
			require.NotContains(t, err.Error(), "hunter2", "a secret is shown")
			var all strings.Builder
			for _, e := range errs {
				fmt.Fprintln(&all, e)
			}
			golden(t, strings.TrimSuffix(path, ".yaml")+".golden", all.String())
		})
	}
}

// The example of the manual.
const manual = `
executable: dist/bin/servicehost   # default
state_dir: .procman                # default: $STATE_DIRECTORY, /var/lib/procman as root, $XDG_STATE_HOME/procman
socket: ""                         # default: STATE_DIR/procman.sock
on_shutdown: stop                  # or leave
ports: {range: 30000-31000, hold: true}
start:   {deadline: 60s, parallel: 0}          # parallel 0: chosen from the cores
health:  {path: /api/status, interval: 15s, timeout: 5s, failures: 3}
restart: {initial: 1s, max: 60s, multiplier: 2, jitter: 0.2, stable_after: 60s, mode: always}  # always | on-failure | never
stop:    {grace: 10s}
output:  {max_size: 16MiB, forward: true}      # per instance and stream; forward: into the daemon's structured log
log:     {level: info, format: json}           # the daemon's own log, on its stderr; json | text
metrics: {listen: ""}                          # e.g. 127.0.0.1:9464; empty: only on the socket
instances:
  - id: users
    wasm_path: apps/users.wasm
    db_name: users.db
    env: {LOG_LEVEL: debug}
    env_file: users.env            # secrets; values are never shown in any output
    # optional, per instance: executable, args, work_dir, health, restart, start, stop, labels, enabled
`

func TestTheExampleOfTheManualIsReadInFull(t *testing.T) {
	f, err := Parse("/srv/procman.yaml", []byte(manual),
		host(map[string]string{"/srv/users.env": "TOKEN=hunter2\nLOG_LEVEL=info\n"}))
	require.NoError(t, err)
	f.known = nil
	restart := messages.AppInstance{Restart: messages.RestartPolicy{Initial: time.Second, Max: time.Minute,
		Multiplier: 2, Jitter: 0.2, StableAfter: time.Minute, Mode: messages.RestartAlways}}.WithDefaults().Restart
	health := messages.AppInstance{Health: messages.HealthPolicy{Kind: messages.HealthHTTP, Path: "/api/status",
		Interval: 15 * time.Second, Timeout: 5 * time.Second, Failures: 3,
		Owner: messages.OwnerChild}}.WithDefaults().Health
	require.Equal(t, &File{
		Path:       "/srv/procman.yaml",
		Executable: "/srv/dist/bin/servicehost",
		StateDir:   "/srv/.procman",
		Socket:     "/srv/.procman/procman.sock",
		OnShutdown: ShutdownStop,
		Ports:      Ports{30000, 31000, true},
		Start:      Start{time.Minute, 0},
		Health:     health,
		Restart:    restart,
		Stop: messages.AppInstance{Stop: messages.StopPolicy{Grace: 10 * time.Second,
			Leftovers: messages.LeftoversEnd}}.WithDefaults().Stop,
		Output: Output{24 * time.Hour, 16 << 20, 0, true},
		Log:    Log{slog.LevelInfo, LogJSON},
		Instances: []*messages.AppInstance{{
			InstanceID: "users", WasmPath: "apps/users.wasm", DbName: "users.db",
			Executable: "/srv/dist/bin/servicehost", Args: messages.DefaultArgs(), WorkDir: "/srv",
			Env: map[string]string{"LOG_LEVEL": "debug", "TOKEN": "hunter2"}, Secrets: []string{"LOG_LEVEL", "TOKEN"},
			Health: health, Restart: restart, Start: messages.StartPolicy{Deadline: time.Minute},
			Stop: messages.AppInstance{Stop: messages.StopPolicy{Grace: 10 * time.Second,
				Leftovers: messages.LeftoversEnd}}.WithDefaults().Stop,
		}},
		EnvFiles: []string{"/srv/users.env"},
	}, f)
}

func TestWhatIsNotWrittenHasItsDefault(t *testing.T) {
	empty := good(t, "instances: []")
	require.Equal(t, messages.StateDir("/home/u/.local/state/procman"), empty.StateDir)
	require.NotNil(t, empty.Instances)
	require.Empty(t, empty.Instances)
	empty.StateDir, empty.Socket = "/etc/procman/.procman", "/etc/procman/.procman/procman.sock"
	full, _, _ := strings.Cut(manual, "instances:")
	require.Equal(t, good(t, full+"instances: []"), empty)
}

func TestAnInstancesOwnKeyOverridesThatKeyAlone(t *testing.T) {
	f := good(t, `
instances:
  - {id: a, wasm_path: w, db_name: d, health: {interval: 1s}, restart: {jitter: 0, mode: never}, start: {deadline: 2m}, stop: {grace: 1s}}
  - {id: b, wasm_path: w, db_name: d, restart: {initial: 5m}, enabled: false}
health: {timeout: 3s, path: /x}
restart: {multiplier: 3}
stop: {grace: 20s}
`)
	a, b := f.Instances[0], f.Instances[1]
	require.Equal(t, messages.AppInstance{Health: messages.HealthPolicy{Kind: messages.HealthHTTP, Path: "/x",
		Interval: time.Second, Timeout: 3 * time.Second, Failures: 3,
		Owner: messages.OwnerChild}}.WithDefaults().Health, a.Health)
	require.Equal(t, messages.AppInstance{Restart: messages.RestartPolicy{Initial: time.Second, Max: time.Minute,
		Multiplier: 3, StableAfter: time.Minute, Mode: messages.RestartNever}}.WithDefaults().Restart, a.Restart)
	require.Equal(t, 2*time.Minute, a.Start.Deadline)
	require.Equal(t, time.Second, a.Stop.Grace)
	require.False(t, a.Disabled)
	require.Equal(t, f.Health, b.Health)
	require.Equal(t, 20*time.Second, b.Stop.Grace)
	require.Equal(t, 5*time.Minute, b.Restart.Max, "the default of max is not less than initial")
	require.True(t, b.Disabled)
}

func TestEveryInstanceIsCompleteAndValid(t *testing.T) {
	f := good(t, "restart: {jitter: 0}\ninstances:\n- {id: a, wasm_path: w, db_name: d}\n- {id: b, args: "+
		"['--port={port}']}\n")
	for _, a := range f.Instances {
		require.NoError(t, a.Validate())
		require.Equal(t, *a, a.WithDefaults(), "defaults change nothing")
	}
}

func TestPathsAreRelativeToTheFile(t *testing.T) {
	f := good(t, `
executable: bin/host
state_dir: ../state
socket: run/s.sock
instances:
  - {id: plain, wasm_path: a.wasm, db_name: a.db}
  - {id: own, wasm_path: a.wasm, db_name: a.db, work_dir: data, executable: python3}
  - {id: abs, wasm_path: /w/a.wasm, db_name: /d/a.db, work_dir: /data, executable: ./host}
`)
	require.Equal(t, "/etc/procman/bin/host", f.Executable)
	require.Equal(t, messages.StateDir("/etc/state"), f.StateDir)
	require.Equal(t, "/etc/procman/run/s.sock", f.Socket)
	type paths struct{ exe, dir, wasm, db string }
	var got []paths
	for _, a := range f.Instances {
		got = append(got, paths{a.Executable, a.WorkDir, a.WasmPath, a.DbName})
	}
	require.Equal(t, []paths{
		{"/etc/procman/bin/host", "/etc/procman", "a.wasm", "a.db"},
		{"python3", "/etc/procman/data", "/etc/procman/a.wasm", "a.db"},
		{"/etc/procman/host", "/data", "/w/a.wasm", "/d/a.db"},
	}, got)
}

func TestAFileGivenByARelativePathYieldsAbsolutePaths(t *testing.T) {
	t.Chdir(t.TempDir())
	dir, err := os.Getwd()
	require.NoError(t, err)
	f, err := Parse("sub/procman.yaml", []byte("instances: [{id: a, wasm_path: w, db_name: d}]"), host(nil))
	require.NoError(t, err)
	require.Equal(t, filepath.Join(dir, "sub"), f.Instances[0].WorkDir)
	require.Equal(t, filepath.Join(dir, "sub/procman.yaml"), f.Path)
}

func TestTheStateDirectoryHasItsOrderOfDefaults(t *testing.T) {
	for _, c := range []struct {
		name string
		env  map[string]string
		root bool
		want messages.StateDir
	}{
		{"systemd first", map[string]string{"STATE_DIRECTORY": "/s/a:/s/b", "XDG_STATE_HOME": "/x"}, true, "/s/a"},
		{"root", map[string]string{"XDG_STATE_HOME": "/x"}, true, "/var/lib/procman"},
		{"XDG", map[string]string{"XDG_STATE_HOME": "/x", "HOME": "/h"}, false, "/x/procman"},
		{"a relative XDG is ignored", map[string]string{"XDG_STATE_HOME": "x", "HOME": "/h"}, false,
			"/h/.local/state/procman"},
		{"none", nil, false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := Host{Getenv: func(n string) string { return c.env[n] }, Root: c.root}
			f, err := Parse("/f", []byte("instances: []"), h)
			if c.want == "" {
				require.ErrorContains(t, err, "write state_dir")
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.want, f.StateDir)
		})
	}
}

func TestNumbersAndBooleansInTextsAreTakenAsWritten(t *testing.T) {
	f := good(t, `
instances:
  - id: 007
    wasm_path: w
    db_name: 1.10
    env: {A: 08080, B: true, C: "", D: 1e3, E: yes, F: 0x1F, 5: x}
    args: [--port, "{port}", --n, 1_0, false]
    labels: {v: 1.0}
`)
	a := f.Instances[0]
	require.Equal(t, messages.InstanceID("007"), a.InstanceID)
	require.Equal(t, "1.10", a.DbName)
	require.Equal(t, map[string]string{"A": "08080", "B": "true", "C": "", "D": "1e3", "E": "yes", "F": "0x1F",
		"5": "x"}, a.Env)
	require.Equal(t, []string{"--port", "{port}", "--n", "1_0", "false"}, a.Args)
	require.Equal(t, "1.0", a.Labels["v"])
}

func TestABooleanIsWhatYAMLTakesForOne(t *testing.T) {
	f := good(t, "ports: {hold: False}\noutput: {forward: TRUE}\ninstances: [{id: a, args: [x], enabled: False}]")
	require.False(t, f.Ports.Hold)
	require.True(t, f.Output.Forward)
	require.True(t, f.Instances[0].Disabled)
}

func TestAnchorsAndMergeKeysWork(t *testing.T) {
	f := good(t, `
health: &h {interval: 1s, path: /a}
instances:
  - &base
    id: a
    wasm_path: &w w.wasm
    db_name: d
    health: {<<: *h, path: /b}
    env: &e {A: 1, B: 1}
  - {<<: *base, id: b, wasm_path: *w, env: {<<: [{B: 2}, *e], C: 3}}
`)
	a, b := f.Instances[0], f.Instances[1]
	require.Equal(t, "/b", a.Health.Path)
	require.Equal(t, time.Second, a.Health.Interval)
	require.Equal(t, a.Health, b.Health)
	require.Equal(t, map[string]string{"A": "1", "B": "2", "C": "3"}, b.Env)
	require.Equal(t, "w.wasm", b.WasmPath)
}

func TestJSONAndBlockAndCRLFAndABOMAreRead(t *testing.T) {
	want := good(t, "instances:\n- id: a\n  wasm_path: w\n  db_name: d\n")
	require.Equal(t, want, good(t, `{"instances": [{"id": "a", "wasm_path": "w", "db_name": "d"}]}`))
	require.Equal(t, want, good(t, "\ufeff---\r\ninstances:\r\n- id: a\r\n  wasm_path: w\r\n  db_name: d\r\n...\r\n"))
	require.Equal(t, []string{"f:2:9: metrics.listen is \"ü\"; write host:port, such as 127.0.0.1:9464"},
		bad(t, "\ufeffmetrics: {\r\nlisten: ü}\r\ninstances: []\r\n")[:1])
}

func TestAFileThatUnfoldsWithoutBoundIsRefused(t *testing.T) {
	var b strings.Builder
	b.WriteString("instances:\n- id: a\n  env: &a0 {A: 1, B: 2}\n")
	for i := range 40 {
		fmt.Fprintf(&b, "- id: b%d\n  env: &a%d {<<: [*a%d, *a%d, *a%d]}\n", i, i+1, i, i, i)
	}
	start := time.Now()
	require.Contains(t, bad(t, b.String())[0], "f:1:1: the file unfolds to more than")
	require.Less(t, time.Since(start), time.Minute)
}

func TestWhatWouldKillTheParserNeverReachesIt(t *testing.T) {
	const deep, wide = "nested more than 64 levels deep", "more than 2000 keys in one mapping"
	for text, want := range map[string]string{
		"[": deep, "{a: ": deep, "- ": deep, "a: &x ": deep, "a:\n": wide, "? ": "\"?\" keys are not supported",
		"!t ": "tags are not supported",
		"&t ": "an anchor follows an anchor", "---\n": "a second document begins", "'": "the file must be a mapping",
		"*a ": "not YAML: ", "a: | ": "not YAML: text follows | or >",
	} {
		_, err := Parse("f", []byte(strings.Repeat(text, 10_000)), host(nil))
		require.ErrorContains(t, err, want, text)
		require.Less(t, len(err.Error()), 1024, text)
	}
}

func TestAFileThatIsTooLargeIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "procman.yaml")
	require.NoError(t, os.WriteFile(path, []byte("instances: []\n"+strings.Repeat("#", maxFile)), 0o600))
	_, err := Load(path)
	require.ErrorContains(t, err, "larger than 16 MiB")
	require.Equal(t, []string{"f:1:1: the file is larger than 16 MiB"}, bad(t, strings.Repeat("#", maxFile+1)))
}

func TestAMissingFileIsAnError(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "none.yaml"))
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = Load(t.TempDir())
	require.Error(t, err)
}

// A program that writes the file in place can be caught half way. What is accepted then is listed in the golden file:
// it may hold fewer instances, but only from the first complete instance on; never none.
func TestAFileThatIsCutShortIsNeverTakenForNoInstances(t *testing.T) {
	text := "health: {interval: 5s}\ninstances:\n  - id: users\n    wasm_path: apps/users.wasm\n    db_name: " +
		"users.db\n    env: {A: 'b'}\n" +
		"  - id: mail\n    wasm_path: apps/mail.wasm\n    db_name: mail.db\n    args: [-p, '{port}']\n"
	var b strings.Builder
	for n := range len(text) {
		f, err := Parse("f", []byte(text[:n]), host(nil))
		if err != nil {
			require.Nil(t, f)
			continue
		}
		require.NotEmpty(t, f.Instances, "cut at %d", n)
		line := text[strings.LastIndexByte(text[:n], '\n')+1 : n]
		fmt.Fprintf(&b, "%3d bytes, %d instances, ends in %q\n", n, len(f.Instances), line)
	}
	golden(t, "testdata/cuts.golden", b.String())
}

func TestRestartNeededNamesWhatARunningDaemonCannotTakeOver(t *testing.T) {
	old := good(t, "instances: []")
	require.Empty(t, RestartNeeded(old, old))
	require.Empty(t, RestartNeeded(old, good(t, "on_shutdown: leave\nhealth: {interval: 1s}\nexecutable: x\nstart: "+
		"{deadline: 1s}\ninstances: [{id: a, args: [x]}]")))
	require.Equal(t, []string{"state_dir", "socket", "start.parallel", "output.forward", "log.format",
		"metrics.listen"}, RestartNeeded(old, good(t,
		"state_dir: /x\nports: {hold: false}\nstart: {parallel: 3}\noutput: {forward: false}\nlog: {format: "+
			"text}\nmetrics: {listen: ':1'}\ninstances: []")))
}

func TestOfVeryManyErrorsTheFirstAreShown(t *testing.T) {
	_, err := Parse("f", []byte("instances:\n"+strings.Repeat("- {}\n", 300)), host(nil))
	require.ErrorContains(t, err, "\nand 880 more")
}
