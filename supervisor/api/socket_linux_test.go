package api

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// A daemon that was killed leaves its socket. On a disk without a free inode, which its instances have filled, the next
// daemon has no other.
func TestASocketIsMadeInPlaceOfADeadOneWhereNoFileCanBeMade(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, "mode=700,size=1m,nr_inodes=10"); err != nil {
		t.Skipf("a file system cannot be mounted here: %v", err)
	}
	t.Cleanup(func() { require.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	path := filepath.Join(dir, "s")
	dead, err := Listen(path)
	require.NoError(t, err)
	require.NoError(t, dead.(*socket).UnixListener.Close(), "its file stays")
	for n := 0; err == nil; n++ {
		err = os.WriteFile(filepath.Join(dir, fmt.Sprint(n)), nil, 0o600)
	}
	require.ErrorIs(t, err, unix.ENOSPC)
	l, err := Listen(path)
	require.NoError(t, err)
	require.True(t, Held(l))
	require.NoError(t, l.Close())
}
