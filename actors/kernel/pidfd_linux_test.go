package kernel

import (
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestAPidfdTellsTheEndOfItsProcessAndOfNoOther(t *testing.T) {
	cmd := exec.Command("sleep", "1000")
	require.NoError(t, cmd.Start())
	fd, err := OpenPidfd(cmd.Process.Pid)
	require.NoError(t, err)
	require.False(t, fd.Ended())
	_, err = fd.Status()
	require.Error(t, err, "it has not ended")
	require.NoError(t, fd.Signal(syscall.SIGKILL))
	require.NoError(t, fd.Wait())
	require.True(t, fd.Ended())
	require.True(t, fd.Child(), "it is not reaped yet")
	status, err := Reap(cmd.Process.Pid)
	require.NoError(t, err)
	require.Equal(t, syscall.SIGKILL, status.Signal())
	require.False(t, fd.Child())
	require.ErrorIs(t, fd.Signal(syscall.SIGTERM), unix.ESRCH, "whoever has the number now is another one")

	fd.Close()
	_, err = fd.Poll()
	require.ErrorIs(t, err, os.ErrClosed)
	require.False(t, fd.Ended(), "it is not known")
}

func TestWhatIsNoProcessHasNoPidfd(t *testing.T) {
	for _, pid := range []int{-1, 0} {
		_, err := OpenPidfd(pid)
		require.ErrorIs(t, err, unix.ESRCH)
	}
}
