package daemon

import (
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// A successor that neither takes over nor ends has nobody behind it after a time, and that is said.
func TestAGuardThatStandsByNoLongerSaysSo(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	require.NoError(t, err)
	line, feed, err := os.Pipe()
	require.NoError(t, err)
	log, err := os.CreateTemp(t.TempDir(), "")
	require.NoError(t, err)
	cmd := exec.Command(self)
	cmd.Env, cmd.ExtraFiles = append(os.Environ(), "TEST_CHILD=guard"), []*os.File{line, log}
	require.NoError(t, cmd.Start())
	require.NoError(t, line.Close())
	_, err = feed.Write([]byte{armed})
	require.NoError(t, err)
	require.NoError(t, cmd.Wait())
	require.NoError(t, feed.Close())
	text, err := os.ReadFile(log.Name())
	require.NoError(t, err)
	require.Contains(t, string(text), "has not taken over within 50ms, and nobody stands by for it any more")
}
