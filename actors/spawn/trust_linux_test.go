package spawn

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

// F141: root ran in a state directory of another user, mode 0777, and cut a file of its own through a prepared link.
func TestAStateDirectoryThatOthersCanWriteToIsRefused(t *testing.T) {
	t.Parallel()
	dir := stateDir(t)
	open := func() error {
		s, err := Open(dir, Options{})
		if err == nil {
			require.NoError(t, s.Close())
		}
		return err
	}
	require.NoError(t, open())
	inner := filepath.Join(dir.Instances(), "a")
	require.NoError(t, os.Mkdir(inner, 0o700))
	for _, path := range []string{string(dir), dir.Instances(), inner} {
		require.NoError(t, os.Chmod(path, 0o777))
		err := open()
		require.ErrorIs(t, err, ErrUntrusted)
		require.ErrorContains(t, err, "others can write to "+path+", mode 0777: `chmod go-w "+path+"`")
		require.NoError(t, os.Chmod(path, 0o755))
		require.NoError(t, open(), "to read it is allowed")
	}

	elsewhere := t.TempDir()
	require.NoError(t, os.Chmod(elsewhere, 0o777))
	require.NoError(t, os.Symlink(elsewhere, dir.Instance("b")))
	require.ErrorIs(t, open(), ErrUntrusted, "a link to where others write")
	require.NoError(t, os.Chmod(elsewhere, 0o700))
	require.NoError(t, open(), "a link is the user's own choice")

	if os.Geteuid() != 0 {
		t.Skip("only root can make something another user's")
	}
	require.NoError(t, os.Chown(string(dir), 65534, 65534))
	require.ErrorContains(t, open(), "belongs to uid 65534, and this is uid 0")
	require.NoError(t, os.Chown(string(dir), 0, 65534))
	require.NoError(t, os.Chmod(string(dir), 0o770))
	require.ErrorIs(t, open(), ErrUntrusted, "a group that may write")
	require.NoError(t, os.Chown(string(dir), 0, 0))
	require.NoError(t, open())
}

func TestAPreparedLinkIsNotWrittenThrough(t *testing.T) {
	t.Parallel()
	s := opened(t, stateDir(t))
	victim := filepath.Join(t.TempDir(), "victim")
	require.NoError(t, os.WriteFile(victim, []byte("precious\n"), 0o600))
	require.NoError(t, os.MkdirAll(s.dir.Instance("a"), 0o700))
	require.NoError(t, os.Symlink(victim, s.dir.Stdout("a")))
	_, err := s.Spawn(t.Context(), messages.Launch{App: shell("echo hello"), Run: 1})
	require.ErrorContains(t, err, "stdout.log is a symbolic link, not a regular file; move it away")
	text, err := os.ReadFile(victim)
	require.NoError(t, err)
	require.Equal(t, "precious\n", string(text))
}
