package record

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhoFollowsANameHearsWhenItMayMeanSomethingElse(t *testing.T) {
	at := func(dir, path string) string { return filepath.Join(dir, path) }
	for name, change := range map[string]func(t *testing.T, dir string){
		"removed": func(t *testing.T, dir string) { require.NoError(t, os.Remove(at(dir, "a/b/file"))) },
		"replaced": func(t *testing.T, dir string) {
			require.NoError(t, os.Rename(at(dir, "a/b/other"), at(dir, "a/b/file")))
		},
		"moved": func(t *testing.T, dir string) {
			require.NoError(t, os.Rename(at(dir, "a/b/file"), at(dir, "a/b/elsewhere")))
		},
		"its directory is moved": func(t *testing.T,
			dir string) {
			require.NoError(t, os.Rename(at(dir, "a/b"), at(dir, "c")))
		},
		"one further up is moved": func(t *testing.T,
			dir string) {
			require.NoError(t, os.Rename(at(dir, "a"), at(dir, "c")))
		},
		"all is removed": func(t *testing.T, dir string) { require.NoError(t, os.RemoveAll(at(dir, "a"))) },
		"a link on the way leads elsewhere": func(t *testing.T, dir string) {
			require.NoError(t, os.Symlink(dir, at(dir, "next")))
			require.NoError(t, os.Rename(at(dir, "next"), at(dir, "link")))
		},
		"a directory behind a link is moved": func(t *testing.T,
			dir string) {
			require.NoError(t, os.Rename(at(dir, "a"), at(dir, "c")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, os.MkdirAll(at(dir, "a/b"), 0o700))
			require.NoError(t, os.WriteFile(at(dir, "a/b/file"), nil, 0o600))
			require.NoError(t, os.WriteFile(at(dir, "a/b/other"), nil, 0o600))
			require.NoError(t, os.Symlink("a", at(dir, "link")))
			n, err := NewNames()
			require.NoError(t, err)
			defer func() { require.NoError(t, n.Close()) }()
			require.NoError(t, n.Follow(at(dir, "link/b/file")))

			change(t, dir)
			<-n.Changed()
		})
	}
}

func TestAPathThatIsNotThereCannotBeFollowed(t *testing.T) {
	n, err := NewNames()
	require.NoError(t, err)
	defer func() { require.NoError(t, n.Close()) }()
	require.Error(t, n.Follow(filepath.Join(t.TempDir(), "none")))
	require.NoError(t, n.Follow())
	var none *Names
	require.Error(t, none.Follow("/"))
	require.Nil(t, none.Changed())
	require.NoError(t, none.Close())
}

func TestOnlyWhatThisHostAloneChangesIsLocal(t *testing.T) {
	require.False(t, Local("/proc"), "of the kernel's own no change is told")
	require.False(t, Local(filepath.Join(t.TempDir(), "none")))
}
