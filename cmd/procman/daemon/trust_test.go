package daemon

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"procman/supervisor/config"
)

func TestWhatOthersCouldChangeOrReadIsSaid(t *testing.T) {
	dir := t.TempDir()
	at := func(name string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, nil, 0o600))
		require.NoError(t, os.Chmod(path, mode))
		return path
	}
	uid := os.Geteuid()
	file := &config.File{Path: at("procman.yaml", 0o644), EnvFiles: []string{at("a.env", 0o600)},
		API: config.API{Listen: "127.0.0.1:1"}}
	require.Empty(t, Distrust(file, uid))
	for _, c := range []struct {
		change func()
		check  string
		says   string
	}{
		{func() { file.Path = at("procman.yaml", 0o666) }, "configuration's owner", "procman.yaml has mode 0666"},
		{func() { file.Path = at("procman.yaml", 0o644); file.Includes = []string{at("b.yaml", 0o622)} },
			"configuration's owner", "b.yaml has mode 0622"},
		{func() { file.Includes = nil; file.EnvFiles = []string{at("token", 0o604)} }, "secrets' owner",
			"token has mode 0604"},
		{func() { file.EnvFiles = nil; file.API.Listen = "0.0.0.0:9465" }, "api.listen",
			"api.listen is 0.0.0.0:9465: HTTP in clear text"},
		{func() { file.API.Listen = ":9465" }, "api.listen", "open to the network"},
		{func() { file.API.Listen = "host.example:9465" }, "api.listen", "open to the network"},
		{func() { file.API.Listen = "localhost:9465"; require.NoError(t, os.Chmod(dir, 0o777)) },
			"configuration's owner", dir + " has mode 0777"},
	} {
		c.change()
		found := Distrust(file, uid)
		require.Len(t, found, 1, c.says)
		require.Equal(t, c.check, found[0].Check)
		require.Contains(t, found[0].What, c.says)
		require.NotEmpty(t, found[0].Do)
	}
	require.NoError(t, os.Chmod(dir, 0o777|os.ModeSticky))
	require.Empty(t, Distrust(file, uid), "as in /tmp")
}
