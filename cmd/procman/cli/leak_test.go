package cli

import (
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

// Everything procman says is searched for secrets: of a file, of a name that says so, and of the API.
func TestNoSecretShowsInAnythingProcmanSays(t *testing.T) {
	t.Parallel()
	const fromFile, byName, token, older = "correct-horse-battery", "staple-of-my-table", "a-token-that-nobody-knows",
		"yesterdays-old-secret"
	s := newSite(t, "log: {level: debug}\napi: {listen: '127.0.0.1:0', token_file: token}",
		"leaky: leak; env_file: leaky.env", "fine: serve")
	require.NoError(t, os.WriteFile(filepath.Join(s.dir, "token"), []byte(token+"\n"), 0o600))
	secret := func(value string) {
		require.NoError(t, os.WriteFile(filepath.Join(s.dir, "leaky.env"), []byte("SECRET="+value+"\n"), 0o600))
	}
	secret(older)
	config, err := os.ReadFile(s.config)
	require.NoError(t, err)
	named := strings.Replace(string(config), "{TEST_CHILD: leak}", "{TEST_CHILD: leak, API_TOKEN: "+byName+"}", 1)
	require.NoError(t, os.WriteFile(s.config, []byte(named), 0o600))

	d := s.run(func(cmd *exec.Cmd) { cmd.Args = append(cmd.Args, "-v") })
	said := map[string]string{}
	hear := func(args ...string) {
		r := s.call(args...)
		said["procman "+strings.Join(args, " ")+" # "+r.stdout[:min(20, len(r.stdout))]] = r.stdout + r.stderr
	}
	s.eventually("it leaks, and is found unhealthy for it", func() bool {
		i := s.instance("leaky")
		return i.LastExit != nil && i.LastExit.Reason == messages.ReasonUnhealthy
	})
	// Another secret, and before that a plan of it; the process with the old one may still speak.
	next := filepath.Join(s.dir, "next.yaml")
	require.NoError(t, os.WriteFile(filepath.Join(s.dir, "next.env"), []byte("SECRET="+fromFile+"\n"), 0o600))
	require.NoError(t, os.WriteFile(next, []byte(strings.Replace(named, "leaky.env", "next.env", 1)), 0o600))
	hear("-c", next, "plan")
	hear("-c", next, "plan", "-o", "json")
	secret(fromFile)
	hear("reload")
	s.eventually("the new secret leaks", func() bool {
		i := s.instance("leaky")
		return i.Run > 1 && i.LastProbe != nil && !i.LastProbe.OK
	})
	for _, args := range [][]string{
		{"status"}, {"status", "-o", "wide"}, {"status", "-o", "json"}, {"why", "leaky"},
		{"why", "leaky", "-o", "json"}, {"logs"}, {"logs", "leaky"}, {"logs", "leaky", "-o", "jsonl"},
		{"events", "-o", "wide"}, {"events", "-o", "json"}, {"plan", "-o", "json"}, {"validate", "-v"}, {"doctor"},
		{"doctor", "-o", "json"}, {"restart", "leaky", "--wait", "--timeout", "2s"},
		{"schema"}, {"-v", "version"},
	} {
		hear(args...)
	}
	// Broken in every way that shows a line.
	for n, broken := range []string{
		strings.Replace(named, "API_TOKEN: "+byName, "API_TOKEN: ["+byName+"]", 1),
		strings.Replace(named, "env: {TEST_CHILD: leak", "evn: {TEST_CHILD: leak", 1),
		strings.Replace(named, "API_TOKEN: "+byName+"}", "API_TOKEN: "+byName, 1),
		strings.Replace(named, "env_file: leaky.env", "env_file: procman.yaml", 1),
		strings.Replace(named, "token_file: token", "token_file: leaky.env", 1),
		strings.Replace(named, "api: {listen: '127.0.0.1:0', token_file: token}",
			"api: {listen: '127.0.0.1:0', token: "+token+"}", 1),
	} {
		require.NotEqual(t, named, broken, n)
		require.NoError(t, os.WriteFile(next, []byte(broken), 0o600))
		hear("-c", next, "validate")
		hear("-c", next, "plan")
		require.NoError(t, os.WriteFile(s.config, []byte(broken), 0o600))
		hear("reload")
	}
	require.NoError(t, os.WriteFile(s.config, []byte(named), 0o600))
	said["metrics"] = s.metrics()
	require.NoError(t, d.cmd.Process.Kill())
	<-d.done
	hear("status")
	hear("status", "-o", "json")
	said["the daemon's log"] = d.log.String()
	require.NoError(t, filepath.WalkDir(filepath.Join(s.dir, "state"),
		func(path string, e fs.DirEntry, err error) error {
			// The instance's own files are its own.
			if err != nil || !e.Type().IsRegular() || e.Name() == "stdout.log" || e.Name() == "stderr.log" {
				return err
			}
			text, err := os.ReadFile(path)
			said[path] = string(text)
			return err
		}))

	for where, text := range said {
		for _, value := range []string{fromFile, byName, token, older} {
			require.NotContains(t, text, value, where)
		}
	}
	masked := 0
	for _, text := range said {
		masked += strings.Count(text, messages.Masked)
	}
	require.Greater(t, masked, 10, "it did leak, and was masked")
	require.Contains(t, said["the daemon's log"], "the secret is "+messages.Masked)
}

func TestASecretShowsNowhere(t *testing.T) {
	t.Parallel()
	const secret = "Geheimnis-42"
	s := newSite(t, "", "a: tell; env_file: a.env")
	require.NoError(t, os.WriteFile(filepath.Join(s.dir, "a.env"), []byte("SECRET="+secret+"\n"), 0o600))
	d := s.run()
	s.ok("start", "a", "--wait")
	s.eventually("it tells", func() bool { return strings.Contains(s.ok("logs", "a"), "the secret is ***") })
	file, err := os.ReadFile(filepath.Join(s.dir, "state", "instances", "a", "stdout.log"))
	require.NoError(t, err)
	require.Contains(t, string(file), secret)

	// The process that was started with the old value runs until the list with the new one is in force.
	require.NoError(t, os.WriteFile(filepath.Join(s.dir, "a.env"), []byte("SECRET=another-secret\n"), 0o600))
	s.ok("reload")
	s.eventually("the new one tells", func() bool { return strings.Count(s.ok("logs", "a"), "the secret is ***") == 2 })
	s.eventually("the log has both", func() bool { return strings.Count(d.log.String(), `the secret is ***`) == 2 })
	for _, text := range []string{s.ok("logs", "a"), s.ok("logs", "a", "-o", "jsonl"), s.ok("status", "-o", "json"),
		d.log.String()} {
		require.NotContains(t, text, secret)
		require.NotContains(t, text, "another-secret")
	}
	var line messages.OutputLine
	require.NoError(t, json.Unmarshal([]byte(s.ok("logs", "a", "-n", "1", "-o", "jsonl")), &line))
	require.Empty(t, line.Cursor, "it is of no use to the command line")
}

// F142: after kill -9, a changed secret and a new daemon, the logs showed the old one.
func TestTheSecretsOfADaemonThatWasKilledAreMaskedByTheNext(t *testing.T) {
	t.Parallel()
	const secret = "Geheimnis-42"
	s := newSite(t, "", "a: tell; env_file: a.env")
	env := func(value string) {
		require.NoError(t, os.WriteFile(filepath.Join(s.dir, "a.env"), []byte("SECRET="+value+"\n"), 0o600))
	}
	env(secret)
	d := s.run()
	s.eventually("it tells", func() bool { return strings.Contains(s.ok("logs", "a"), "the secret is ***") })
	traces := filepath.Join(s.dir, "state", "traces.json")
	s.eventually("it is remembered", func() bool { _, err := os.Stat(traces); return err == nil })
	require.NoError(t, d.cmd.Process.Kill())
	<-d.done
	env("another-secret")
	d = s.run()
	s.eventually("the new one tells", func() bool { return strings.Count(s.ok("logs", "a"), "the secret is ***") == 2 })
	for _, text := range []string{s.ok("logs", "a"), s.ok("logs", "a", "-o", "jsonl"), s.ok("why", "a"),
		d.log.String()} {
		require.NotContains(t, text, secret)
		require.NotContains(t, text, "another-secret")
	}
	info, err := os.Stat(traces)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())
	kept, err := os.ReadFile(traces)
	require.NoError(t, err)
	require.NotContains(t, string(kept), secret[:5])
}
