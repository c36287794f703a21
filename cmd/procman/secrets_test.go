package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
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
