package daemon

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"procman/supervisor/api"
	"procman/supervisor/config"
)

func TestWhatAClientReadIsAllThatTheDaemonKnowsOfAProposedConfiguration(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "procman.yaml")
	write := func(name, text string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	write("procman.yaml", "state_dir: state\ninclude: procman.d\ninstances: [{id: a, args: [x], env_file: a.env}]\n")
	write("a.env", "TOKEN=correct-horse\n")
	write("procman.d/b.yaml", "instances: [{id: b, args: [x]}]\n")
	p, err := Propose(path)
	require.NoError(t, err)
	want, err := config.Load(path)
	require.NoError(t, err)
	for _, name := range []string{"procman.yaml", "a.env", "procman.d"} { // it is not looked at again
		require.NoError(t, os.RemoveAll(filepath.Join(dir, name)))
	}
	got, err := config.Parse(p.Config, p.Files[p.Config].Text, proposed(p))
	require.NoError(t, err)
	require.Equal(t, want, got)

	p.Files[p.Config] = api.ProposedFile{Text: []byte("state_dir: state\ninstances: [{id: a, args: [x], env_file: " +
		"/etc/passwd}]\n")}
	got, err = config.Parse(p.Config, p.Files[p.Config].Text, proposed(p))
	require.NoError(t, err)
	require.Contains(t, got.Instances[0].EnvFault, "it was not sent with the configuration")
	require.NotContains(t, got.Instances[0].EnvFault, "line 1", "it was not opened")
}
