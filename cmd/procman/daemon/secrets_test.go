package daemon

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

func withSecret(id messages.InstanceID, value string) *messages.AppInstance {
	return &messages.AppInstance{InstanceID: id, Env: map[string]string{"TOKEN": value, "LEVEL": "debug"},
		Secrets: []string{"TOKEN"}}
}

func TestTheSecretsOfEarlierListsAreRememberedForAWhile(t *testing.T) {
	var s Secrets
	require.Nil(t, s.Mask("web"))
	s.Learn([]*messages.AppInstance{withSecret("web", "first-secret"), {InstanceID: "plain"}})
	s.Learn([]*messages.AppInstance{withSecret("web", "second-secret"), withSecret("db", "third-secret")})
	require.Equal(t, "*** *** third-secret debug", s.Mask("web").Mask("first-secret second-secret third-secret debug"))
	require.Nil(t, s.Mask("plain"))
	before := s.Mask("web")
	s.Learn([]*messages.AppInstance{withSecret("web", "second-secret")})
	require.Same(t, before, s.Mask("web"), "nothing has changed")

	for n := range oldSecrets + 10 {
		s.Learn([]*messages.AppInstance{withSecret("web", fmt.Sprintf("secret-%04d", n))})
	}
	require.Len(t, s.of["web"].values, oldSecrets+1, "not without end")
	require.Equal(t, "*** first-secret", s.Mask("web").Mask("secret-0072 first-secret"))
	require.Nil(t, s.Mask("db"), "it has left the list for good")
	s.Learn(nil)
	require.NotNil(t, s.Mask("web"), "it may still be ending")
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
		var s Secrets
		var said bytes.Buffer
		end := s.keep(dir, slog.New(slog.NewTextHandler(&said, nil)))
		require.Contains(t, said.String(), "secrets of earlier daemons are not known")
		s.Learn([]*messages.AppInstance{withSecret("web", "first-secret")})
		require.NoError(t, end())
		var next Secrets
		require.NoError(t, next.Recall(dir))
		require.Equal(t, "***", next.Mask("web").Mask("first-secret"))
		require.NoError(t, os.Remove(dir.Traces()))
	}
}

func TestTheTracesOfAnInstanceGoWithItsOutput(t *testing.T) {
	dir := messages.StateDir(t.TempDir())
	require.NoError(t, os.MkdirAll(dir.Instance("stays"), 0o700))
	var s Secrets
	end := s.keep(dir, slog.New(slog.DiscardHandler))
	s.Learn([]*messages.AppInstance{withSecret("stays", "first-secret"), withSecret("goes", "second-secret")})
	for range missedLists + 1 {
		s.Learn(nil)
	}
	require.NoError(t, end())
	require.NoError(t, s.save(dir))
	var next Secrets
	require.NoError(t, next.Recall(dir))
	require.Equal(t, "***", next.Mask("stays").Mask("first-secret"))
	require.Nil(t, next.Mask("goes"))
}
