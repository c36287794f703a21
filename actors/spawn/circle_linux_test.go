package spawn

import (
	"log/slog"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"procman/actors/kernel"
)

// TestAProcessWhoseEnvironmentHangsGoesWithoutATagAndAllOthersAreAsked: on a busy host a helper that was not looked at in time
// would live on for ever, and one process that hangs must not hide all others.
func TestAProcessWhoseEnvironmentHangsGoesWithoutATagAndAllOthersAreAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		heal := make(chan struct{})
		defer time.Sleep(time.Minute) // what was left behind ends once it can
		defer close(heal)
		var asked atomic.Int32
		g := newRegister("/proc", slog.New(slog.DiscardHandler))
		g.tags = func(pid int, _ []byte) kernel.Tags {
			if pid == os.Getpid() {
				asked.Add(1)
				<-heal
			}
			time.Sleep(tagPatience / 10) // however long all of them take
			return kernel.Tags{Tag: "shown"}
		}
		table, err := g.read()
		require.NoError(t, err)
		require.Empty(t, table[os.Getpid()].Tag)
		require.Equal(t, "shown", table[os.Getppid()].Tag)
		_, err = g.read()
		require.NoError(t, err)
		require.EqualValues(t, 1, asked.Load(), "and is not waited for again")
	})
}
