package cli

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/cmd/procman/daemon"
	"procman/messages"
	"procman/supervisor/config"
	"procman/test/fake"
)

func TestWhatIsAskedForIsDone(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "a: serve", "b: serve")
	s.run()
	require.Regexp(t, `^a: started, run 1, port \d+\nb: started, run 1, port \d+\n$`, s.ok("start", "--all", "--wait"))
	require.Regexp(t, `^a: it is running and healthy, run 1, port \d+\n$`, s.ok("start", "a"),
		"it is no error that it runs")

	lines := strings.Split(s.ok("status"), "\n")
	require.Equal(t, strings.Fields("ID PHASE HEALTH PID PORT RESTARTS UPTIME REASON"), strings.Fields(lines[0]))
	require.Equal(t, []string{"a", "running", "healthy"}, strings.Fields(lines[1])[:3])
	again := strings.Split(s.ok("ps", "a"), "\n")
	require.Equal(t, lines[0], again[0])
	require.Equal(t, strings.Fields(lines[1])[:6], strings.Fields(again[1])[:6], "an alias; the time up goes on")
	require.Len(t, strings.Fields(strings.ReplaceAll(strings.Split(s.ok("ls", "-o", "wide"), "\n")[0], "LAST ", "")),
		15)
	require.Regexp(t, `a +running +healthy .* \d+\.\d% +\d+[KM]iB `, s.ok("ls", "-o", "wide"), "what the processes use")
	require.Regexp(t, `"use":\{"cpu_seconds":[\d.e-]+,"memory_bytes":\d+\}`,
		s.ok("ls", "-o", "jsonl", "--sort", "memory"))
	require.NotContains(t, s.ok("ls", "-o", "jsonl"), `"use"`)
	var one messages.Status
	require.NoError(t, json.Unmarshal([]byte(s.ok("status", "b", "-o", "jsonl")), &one))
	require.Equal(t, messages.InstanceID("b"), one.ID)

	before := s.instance("a")
	require.Contains(t, s.ok("restart", "a", "--wait"), "a: restarted, run 2")
	after := s.instance("a")
	require.Equal(t, 2, after.Run)
	require.NotEqual(t, before.PID, after.PID)
	require.Equal(t, before.Port, after.Port)
	require.Equal(t, messages.Healthy, after.Health)
	require.Equal(t, 1, s.instance("b").Run, "no other one is touched")

	require.Equal(t, "a: stopped, run 2\n", s.ok("stop", "a", "--wait"))
	s.ok("stop", "a", "--wait")
	require.True(t, s.instance("a").Held)
	r := s.call("status", "a")
	require.Equal(t, exitNotHealthy, r.code)
	require.Contains(t, r.stdout, "stopped")
	require.Zero(t, s.call("status").code, "nothing was asked for in particular")

	r = s.call("restart", "--all", "--wait", "-o", "json")
	require.Zero(t, r.code)
	require.Contains(t, r.stderr, "a: held down")
	require.NotContains(t, r.stdout, `"id": "a"`)
	require.Contains(t, r.stdout, `"id": "b"`)
	require.True(t, s.instance("a").Held)
	require.Contains(t, s.ok("restart", "a", "--wait"), "run 3", "by its name it is meant")
}

func TestAnUnknownInstanceIsNamedAndTheNearestSuggestedAndNothingIsDone(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "guestbook: serve")
	s.run()
	s.ok("start", "--all", "--wait")
	for _, args := range [][]string{{"status", "guestbok"}, {"stop", "guestbook", "guestbok"},
		{"restart", "guestbok", "--wait"}, {"logs", "guestbok"}} {
		r := s.call(args...)
		require.Equal(t, exitUnknown, r.code, args)
		require.Equal(t, "procman: no such instance: \"guestbok\"; did you mean \"guestbook\"?\n", r.stderr)
	}
	require.Equal(t, messages.Running, s.instance("guestbook").Phase)
	require.NotContains(t, s.call("stop", "zzz").stderr, "did you mean")
}

func TestASignalIsSentAndAnEventSaysWho(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "a: serve", "b: fail; restart: {mode: never}")
	s.run()
	s.ok("start", "a", "--wait")
	require.Contains(t, s.ok("signal", "a", "SIGCONT"), "a: CONT sent; it is running")
	require.Contains(t, s.ok("signal", "a", "CONT", "-o", "json"), `"id": "a"`)
	require.Contains(t, s.ok("events"), "signal")
	require.Contains(t, s.ok("events", "-o", "jsonl"), "CONT to process")
	require.Equal(t, exitUsage, s.call("signal", "a", "STOP").code)
	require.Equal(t, exitUsage, s.call("signal", "a", "LOUD").code)
	require.Equal(t, exitUsage, s.call("signal", "a").code)
	require.Equal(t, exitUnknown, s.call("signal", "nobody", "HUP").code)
	r := s.call("wait", "b", "--for", "stopped")
	require.Zero(t, r.code, r.stderr)
	r = s.call("signal", "b", "HUP")
	require.Equal(t, exitNotHealthy, r.code)
	require.Contains(t, r.stderr, "it has no process")
}

func TestAWaitThatEndsOtherwiseSaysWhereTheInstanceStands(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "mute: mute", "fail: fail; restart: {mode: never}", "crash: fail; restart: {initial: 1m}")
	s.run()
	r := s.call("start", "mute", "--wait", "--timeout", "6s")
	require.Equal(t, exitTimeout, r.code)
	require.Contains(t, r.stderr, "mute: not running and healthy after 6s: it is starting, run 1")
	r = s.call("start", "crash", "--wait", "--timeout", "4s")
	require.Equal(t, exitTimeout, r.code)
	require.Contains(t, r.stderr, "it is backoff")
	require.Contains(t, r.stderr, "exited with code 3")
	r = s.call("start", "fail", "--wait")
	require.Equal(t, exitNotHealthy, r.code)
	require.Contains(t, r.stderr, "fail: it will not be running and healthy: it is failed")
	r = s.call("restart", "--all", "--wait", "--timeout", "4s")
	require.Equal(t, exitNotHealthy, r.code, "what is certain counts more than what took too long")
}

func TestARollingRestartStopsAtTheFirstThatDoesNotComeBack(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "a: serve", "b: once; restart: {mode: never}", "c: serve")
	s.run()
	s.ok("start", "--all", "--wait")
	r := s.call("restart", "--all", "--wait", "--max-parallel", "1")
	require.Equal(t, exitNotHealthy, r.code)
	require.Contains(t, r.stdout, "a: restarted, run 2")
	require.Contains(t, r.stderr, "b: it will not be running and healthy in a new run: it is failed, run 2")
	require.Contains(t, r.stderr, "1 more was left alone")
	require.Equal(t, 1, s.instance("c").Run)
}

func TestADisabledInstanceIsAnErrorByNameAndPassedOverWithAll(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "off: serve; enabled: false", "on: serve")
	s.run()
	r := s.call("start", "off")
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.stderr, "disabled")
	for _, args := range [][]string{{"start", "--all", "--wait"},
		{"restart", "--all", "--wait", "--max-parallel", "1"}} {
		r = s.call(args...)
		require.Zero(t, r.code, r.stderr)
		require.Contains(t, r.stderr, "off: left alone")
		require.NotContains(t, r.stderr, "more")
	}
}

func TestOutputIsShownWithItsInstanceWhenThereAreSeveral(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "a: serve", "b: serve")
	began := time.Now()
	s.run()
	s.ok("start", "--all", "--wait")
	require.Equal(t, "hello from stdout\n", s.ok("logs", "a", "--stream", "stdout"))
	require.Equal(t, "a | hello from stderr\nb | hello from stderr\n", s.ok("logs", "--stream", "stderr"))
	require.Equal(t, "a | hello from stderr\nb | hello from stderr\n",
		s.ok("logs", "a", "b", "a", "--stream", "stderr", "--since", "1h"))
	require.Equal(t, 2, strings.Count(s.ok("logs", "a"), "\n"))
	require.Equal(t, 1, strings.Count(s.ok("logs", "a", "-n", "1"), "\n"))
	require.Empty(t, s.ok("logs", "a", "-n", "0"))
	var line messages.OutputLine
	require.NoError(t, json.Unmarshal([]byte(s.ok("logs", "a", "--stream", "stdout", "-o", "jsonl")), &line))
	require.WithinRange(t, line.At, began.Truncate(time.Second), time.Now().Add(time.Millisecond),
		"when it was seen in its file")
	line.At = time.Time{}
	require.Equal(t, messages.OutputLine{ID: "a", Stream: messages.Stdout, Text: "hello from stdout"}, line)
	require.Regexp(t, `^a \| \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\S+ hello from stdout\nb \| `,
		s.ok("logs", "--stream", "stdout", "--timestamps"))
	require.Equal(t, "hello from stderr\n", s.ok("logs", "a", "--grep", "(?i)STDERR"))
	require.Equal(t, "hello from stderr\n", s.ok("logs", "a", "-n", "1", "--grep", "from std[e]"))
	require.Equal(t, 2, strings.Count(s.ok("logs", "a", "--since", began.Add(-time.Minute).Format(time.RFC3339),
		"--until", "0s"), "\n"))
	r := s.call("logs", "a", "--grep", "(")
	require.Equal(t, exitUsage, r.code)
	require.Contains(t, r.stderr, "--grep: the expression cannot be used")
}

func TestOutputIsFollowedOverARestartAndWhenTheDaemonEndsItIsWaitedFor(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "a: serve", "b: serve")
	s.run()
	s.ok("start", "--all", "--wait")
	cmd := exec.Command(binary, "-c", s.config, "logs", "-f", "--stream", "stdout")
	var out, diagnostics fake.Journal
	cmd.Stdout, cmd.Stderr = &out, &diagnostics
	require.NoError(t, cmd.Start())
	s.eventually("what there is", func() bool { return strings.Count(out.String(), "hello") == 2 })
	s.ok("restart", "b", "--wait")
	s.eventually("and what is new", func() bool { return strings.Count(out.String(), "b | hello from stdout\n") == 2 })
	s.ok("shutdown")
	const waits = "procman: the daemon does not answer; waiting for it\n"
	s.eventually("it is said", func() bool { return diagnostics.String() == waits })
	s.run()
	s.eventually("there are two more", func() bool { return strings.Count(out.String(), "hello") == 5 })
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	require.Error(t, cmd.Wait())
	require.Equal(t, syscall.SIGINT, cmd.ProcessState.Sys().(syscall.WaitStatus).Signal())
	require.Equal(t, waits, diagnostics.String(), "once, not for each instance")
}

func TestWithoutADaemonItIsSaidWhereOneWasLookedFor(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	for _, args := range [][]string{{"status"}, {"start", "--all"}, {"stop", "a"}, {"logs"}, {"reload"}, {"shutdown"},
		{"detach"}} {
		r := s.call(args...)
		require.Equal(t, exitUnreachable, r.code, args)
		require.Contains(t, r.stderr, filepath.Join(s.dir, "state", "procman.sock"))
		require.Contains(t, r.stderr, "`procman run -c "+s.config+"`")
		require.Empty(t, r.stdout)
	}
}

// main1 calls Main in this process.
func main1(env map[string]string, args ...string) result {
	var stdout, stderr bytes.Buffer
	code := Main(args, &stdout, &stderr, func(name string) string { return env[name] }, nil)
	return result{code, stdout.String(), stderr.String()}
}

func TestWhatIsNotUnderstoodIsAUsageError(t *testing.T) {
	for _, args := range []string{
		"frobnicate", "--frobnicate", "start", "start a --all", "stop --timeout=-1s a", "restart --max-parallel=-1 a",
		"start --wait=perhaps a",
		"status -o xml", "logs --stream stdin", "status --sort size", "logs --since=-1s", "logs --since=2999-01-01",
		"logs --until=soon", "logs -f --until=1h", "run now", "validate x", "init a b", "reload x", "shutdown x",
		"detach x", "version x", "completion", "completion tcsh", "status -v -q", "logs -n many",
	} {
		r := main1(nil, strings.Fields(args)...)
		require.Equal(t, exitUsage, r.code, args)
		require.Empty(t, r.stdout, args)
		require.Contains(t, r.stderr, "procman: ", args)
		require.Contains(t, r.stderr, "--help", args)
	}
	require.Contains(t, main1(nil, "statsu").stderr, "did you mean status")
}

func TestTheEnvironmentSaysWhatNoFlagSays(t *testing.T) {
	r := main1(map[string]string{"PROCMAN_SOCKET": "/nowhere/s"}, "status")
	require.Equal(t, exitUnreachable, r.code)
	require.Contains(t, r.stderr, "/nowhere/s")
	r = main1(map[string]string{"PROCMAN_SOCKET": "/nowhere/s"}, "--socket", "/elsewhere/s", "status")
	require.Contains(t, r.stderr, "/elsewhere/s")
	r = main1(map[string]string{"PROCMAN_OUTPUT": "json"}, "version")
	require.Contains(t, r.stdout, `"version":`)
	r = main1(map[string]string{"PROCMAN_OUTPUT": "json"}, "version", "-o", "table")
	require.True(t, strings.HasPrefix(r.stdout, "procman "))
	r = main1(map[string]string{"PROCMAN_VERBOSE": "1", "PROCMAN_SOCKET": "/nowhere/s"}, "status")
	require.Contains(t, r.stderr, "is asked at /nowhere/s")
	for name, value := range map[string]string{"PROCMAN_OUTPUT": "xml", "PROCMAN_QUIET": "perhaps"} {
		r = main1(map[string]string{name: value}, "version")
		require.Equal(t, exitUsage, r.code)
		require.Contains(t, r.stderr, name)
	}
	t.Setenv("PROCMAN_CONFIG", filepath.Join(t.TempDir(), "not.yaml"))
	r = main1(nil, "validate")
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.stderr, "PROCMAN_CONFIG")
}

func TestInitWritesAFileThatValidates(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p.yaml")
	require.Zero(t, main1(nil, "init", path).code)
	r := main1(nil, "validate", "-c", path)
	require.Equal(t, result{0, path + ": ok, 1 instance\n", ""}, r)
	r = main1(nil, "init", path)
	require.Equal(t, exitFailed, r.code, "it never overwrites")

	require.NoError(t, os.WriteFile(path, []byte("instances: []\noutput: {max_sise: 1MiB}\n"), 0o600))
	r = main1(nil, "-c", path, "validate")
	require.Equal(t, exitFailed, r.code)
	require.Empty(t, r.stdout)
	require.True(t, strings.HasPrefix(r.stderr, path+":2:10: "), r.stderr)
	require.Contains(t, r.stderr, "\noutput: {max_sise: 1MiB}\n         ^")
}

func TestTheSchemaIsPrintedAndTheExampleNamesIt(t *testing.T) {
	r := main1(nil, "schema")
	require.Equal(t, result{0, string(config.Schema()), ""}, r)
	path := filepath.Join(t.TempDir(), "p.yaml")
	require.Zero(t, main1(nil, "init", path).code)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(text),
		"# yaml-language-server: $schema=./procman.schema.json\n# `procman schema > procman.schema.json`"))
}

func TestValidateLooksIntoIncludedDirectories(t *testing.T) {
	dir := t.TempDir()
	path, fragment := filepath.Join(dir, "p.yaml"), filepath.Join(dir, "p.d", "a.yaml")
	require.NoError(t, os.Mkdir(filepath.Dir(fragment), 0o700))
	require.NoError(t, os.WriteFile(path, []byte("include: p.d\ninstances: []\n"), 0o600))
	require.NoError(t, os.WriteFile(fragment, []byte("instances: [{id: a, args: [x]}]\n"), 0o600))
	require.Equal(t, result{0, path + ": ok, 1 instance, with 1 included file\n", ""},
		main1(nil, "-c", path, "validate"))
	require.NoError(t, os.WriteFile(fragment, []byte("instances: [{id: a, args: []}]\n"), 0o600))
	r := main1(nil, "-c", path, "validate")
	require.Equal(t, exitFailed, r.code)
	require.True(t, strings.HasPrefix(r.stderr, fragment+":1:27: "), r.stderr)
}

func TestWithoutAConfigurationThePlacesAreListedAndTheNextStepNamed(t *testing.T) {
	if _, err := os.Stat("/etc/procman/procman.yaml"); err == nil {
		t.Skip("this host has a configuration")
	}
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("XDG_CONFIG_HOME", dir)
	for _, command := range []string{"run", "validate"} {
		r := main1(nil, command)
		require.Equal(t, exitFailed, r.code)
		require.Equal(t, "procman: no configuration found; looked for\n  procman.yaml\n  "+
			dir+"/procman/procman.yaml\n  /etc/procman/procman.yaml\n"+
			"`procman init` writes an example to procman.yaml, -c FILE and $PROCMAN_CONFIG name another place\n",
			r.stderr)
	}
}

func TestVersionHelpAndCompletionGoToStdout(t *testing.T) {
	for _, args := range []string{"version", "--help", "", "help restart", "completion bash", "completion zsh",
		"completion fish", "completion powershell"} {
		r := main1(nil, strings.Fields(args)...)
		require.Zero(t, r.code, args)
		require.NotEmpty(t, r.stdout, args)
		require.Empty(t, r.stderr, args)
	}
}

func TestTheExitCodeOfAPlainErrorIs1(t *testing.T) {
	require.Equal(t, exitFailed, codeOf(os.ErrClosed))
	require.Less(t, rank(exit{code: exitTimeout}), rank(exit{code: exitNotHealthy}))
}

// F115
func TestTheDaemonOfABrokenConfigurationIsFoundByWhatCanBeRead(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", dir)
	path := filepath.Join(dir, "p.yaml")
	usual, err := defaultPlace()
	require.NoError(t, err)
	where := func(text string) string {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		r := app{Options: daemon.Options{Stderr: io.Discard, Config: path, Env: os.Getenv}}
		got, err := r.configured()
		require.NoError(t, err, text)
		require.Equal(t, path, got.config)
		return got.socket
	}
	wrong := "instances: [{id: a, nonsense: 1}]"
	for text, want := range map[string]string{
		"state_dir: .pm\n" + wrong:                                       filepath.Join(dir, ".pm/procman.sock"),
		"state_dir: /var/pm # there\r\n" + wrong:                         "/var/pm/procman.sock",
		"socket: \"\"\nstate_dir: \"a b\"\n" + wrong:                     filepath.Join(dir, "a b/procman.sock"),
		"state_dir: /var/pm\nsocket: '/run/pm.sock'\n" + wrong:           "/run/pm.sock",
		`{"instances": [{"id": "a"}], "state_dir": "/json/pm"}`:          "/json/pm/procman.sock",
		"instances: [{id: x, db_name: x, wasm_path: x}]\nstate_dir: [x]": usual.socket,
		"state_dir: /half/pm\nx: [":                                      usual.socket, // it may say anything
	} {
		require.Equal(t, want, where(text), text)
	}

	require.NoError(t, daemon.Point(&config.File{Path: path, StateDir: messages.StateDir(dir + "/was"),
		Socket: dir + "/was/s"}, nil, os.Getenv))
	require.Equal(t, dir+"/was/s", where("state_dir: /half/pm\nx: ["), "where its last daemon was")
	require.Equal(t, dir+"/was/s", where("instances:"), "cut short before the line")
	require.Equal(t, "/var/pm/procman.sock", where("state_dir: /var/pm\n"+wrong), "nobody lives where the last one was")

	require.NoError(t, os.Chmod(filepath.Join(dir, "procman"), 0o755))
	require.Equal(t, usual.socket, where("x: ["), "anybody could have written it")
	require.NoError(t, os.Chmod(filepath.Join(dir, "procman"), 0o700))
	names, err := filepath.Glob(filepath.Join(dir, "procman", "*.json"))
	require.NoError(t, err)
	for _, name := range names {
		require.NoError(t, os.Rename(name, name+".moved"))
		require.NoError(t, os.Symlink(name+".moved", name))
	}
	require.Equal(t, usual.socket, where("x: ["), "a link is none")
}

func TestTheNearestIDIsOneThatIsNear(t *testing.T) {
	known := []messages.InstanceID{"counter", "guestbook-a", "guestbook-b"}
	for id, want := range map[messages.InstanceID]messages.InstanceID{
		"countr": "counter", "coutner": "counter", "guestbook-c": "guestbook-a", "guestbook": "guestbook-a", "x": "",
		"database": "",
	} {
		require.Equal(t, want, nearest(id, known), id)
	}
}

func TestSpansHaveTwoUnits(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0s", 59 * time.Second: "59s", 61 * time.Second: "1m01s",
		3*time.Hour + 4*time.Minute: "3h04m", 49 * time.Hour: "2d01h"} {
		require.Equal(t, want, span(d))
	}
}

// With ten thousand instances a configuration takes a second to be parsed: who asks for the state of one of them need
// not.
func TestADaemonIsFoundWithoutParsingWhatItHasInForce(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "a: serve")
	d := s.run()
	found := func() bool {
		p := daemon.PointedInForce(s.config, os.Getenv)
		return p != nil && p.Socket == s.dir+"/state/procman.sock"
	}
	s.eventually("it is found", found)
	require.Contains(t, s.ok("status"), "a ")

	text, err := os.ReadFile(s.config)
	require.NoError(t, err)
	edited := strings.Replace(string(text), "state_dir: state", "socket: state/procman.sock\nstate_dir: elsewhere", 1)
	require.NoError(t, os.WriteFile(s.config, []byte(edited), 0o600))
	require.False(t, found(), "it may say something else")
	s.ok("reload")
	require.Never(t, found, 100*time.Millisecond, 10*time.Millisecond, "it says something else")
	s.write("", "a: serve", "b: serve")
	s.ok("reload")
	s.eventually("it is found by what is in force now", found)
	s.write("# $HOME", "a: serve")
	s.ok("reload")
	s.eventually("b is gone", func() bool { return len(s.status().Instances) == 1 })
	require.False(t, found(), "what it means depends on who asks")

	d.signal(syscall.SIGTERM)
	require.Zero(t, d.ends())
	s.write("", "a: serve", "b: serve")
	require.False(t, found(), "there is no daemon")
}
