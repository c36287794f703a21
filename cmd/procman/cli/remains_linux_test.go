package cli

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/supervisor/api"
)

func TestAProcessThatHasEndedItselfAndCannotBeEndedByTheKernelIsNotWaitedForForEver(t *testing.T) {
	t.Parallel()
	real(t)
	cmd := exec.Command(childBinary)
	cmd.Env = append(os.Environ(), "TEST_CHILD=remains")
	require.NoError(t, cmd.Start())
	defer func() {
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait() // it was killed
	}()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	nobody := api.NewClient(filepath.Join(t.TempDir(), "s"))
	require.ErrorIs(t, gone(ctx, nobody, cmd.Process.Pid, func() {}), errRemains)
}
