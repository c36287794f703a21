package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

func withSecret(id messages.InstanceID, value string) messages.AppInstance {
	return messages.AppInstance{InstanceID: id, Env: map[string]string{"TOKEN": value, "LEVEL": "debug"}, Secrets: []string{"TOKEN"}}
}

func TestTheSecretsOfEarlierListsAreRememberedForAWhile(t *testing.T) {
	var s secrets
	require.Nil(t, s.mask("web"))
	s.learn([]messages.AppInstance{withSecret("web", "first-secret"), {InstanceID: "plain"}})
	s.learn([]messages.AppInstance{withSecret("web", "second-secret"), withSecret("db", "third-secret")})
	require.Equal(t, "*** *** third-secret debug", s.mask("web").Mask("first-secret second-secret third-secret debug"))
	require.Nil(t, s.mask("plain"))
	before := s.mask("web")
	s.learn([]messages.AppInstance{withSecret("web", "second-secret")})
	require.Same(t, before, s.mask("web"), "nothing has changed")

	for n := range oldSecrets + 10 {
		s.learn([]messages.AppInstance{withSecret("web", fmt.Sprintf("secret-%04d", n))})
	}
	require.Len(t, s.of["web"].values, oldSecrets+1, "not without end")
	require.Equal(t, "*** first-secret", s.mask("web").Mask("secret-0072 first-secret"))
	require.Nil(t, s.mask("db"), "it has left the list for good")
	s.learn(nil)
	require.NotNil(t, s.mask("web"), "it may still be ending")
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
	for _, text := range []string{s.ok("logs", "a"), s.ok("logs", "a", "-o", "jsonl"), s.ok("status", "-o", "json"), d.log.String()} {
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
	for _, text := range []string{s.ok("logs", "a"), s.ok("logs", "a", "-o", "jsonl"), s.ok("why", "a"), d.log.String()} {
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

func TestADamagedRecordOfTracesIsSaidAndMadeAnew(t *testing.T) {
	dir := messages.StateDir(t.TempDir())
	for _, damage := range []func() error{
		func() error { return os.WriteFile(dir.Traces(), []byte(`{"version":1,"se`), 0o600) },
		func() error { return os.WriteFile(dir.Traces(), []byte(`{"version":9,"seed":1}`), 0o600) },
		func() error { return syscall.Mkfifo(dir.Traces(), 0o600) },
		func() error { return os.Symlink("/etc/hostname", dir.Traces()) },
	} {
		require.NoError(t, damage())
		var s secrets
		var said bytes.Buffer
		end := s.keep(dir, slog.New(slog.NewTextHandler(&said, nil)))
		require.Contains(t, said.String(), "secrets of earlier daemons are not known")
		s.learn([]messages.AppInstance{withSecret("web", "first-secret")})
		require.NoError(t, end())
		var next secrets
		require.NoError(t, next.recall(dir))
		require.Equal(t, "***", next.mask("web").Mask("first-secret"))
		require.NoError(t, os.Remove(dir.Traces()))
	}
}

func TestTheTracesOfAnInstanceGoWithItsOutput(t *testing.T) {
	dir := messages.StateDir(t.TempDir())
	require.NoError(t, os.MkdirAll(dir.Instance("stays"), 0o700))
	var s secrets
	end := s.keep(dir, slog.New(slog.DiscardHandler))
	s.learn([]messages.AppInstance{withSecret("stays", "first-secret"), withSecret("goes", "second-secret")})
	for range missedLists + 1 {
		s.learn(nil)
	}
	require.NoError(t, end())
	require.NoError(t, s.save(dir))
	var next secrets
	require.NoError(t, next.recall(dir))
	require.Equal(t, "***", next.mask("stays").Mask("first-secret"))
	require.Nil(t, next.mask("goes"))
}
