package chaos

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// F116 for what is found again: a daemon that was killed leaves more than the next one may hold. It takes over as many
// as fit, stays in control, starts and ends nothing, and takes over the others when there is room.
func TestSurvivorsBeyondTheDescriptorsRunOnAndAreTakenOverLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.many(20)
	d := w.start().up()
	w.eventually(30*time.Second, "all run", func() bool { return d.phases()["running"] == 20 })
	before := w.managed()
	d.kill()

	d = w.limitedDaemon(unix.RLIMIT_NOFILE, 52, os.Geteuid()).up()
	var held int
	w.eventually(20*time.Second, "some are taken over, and of the others it is said that they run on", func() bool {
		n := d.phases()
		held = n["running"]
		return held >= 1 && held < 20 && held+n["starting"] == 20
	})
	out, code := w.cli("status")
	require.Zero(t, code, out)
	require.Contains(t, out, "not taken over: process ")
	require.Equal(t, before, w.managed(), "none was ended, none was started")

	w.many(5)
	out, code = w.cli("reload")
	require.Zero(t, code, out)
	w.eventually(30*time.Second, "what is not wanted has ended, held or not, and the rest is held", func() bool {
		return d.phases()["running"] == 5 && len(w.managed()) == 5
	})
	for p := range w.managed() {
		require.Contains(t, before, p, "it is the same process")
	}
	out, code = w.cli("shutdown")
	require.Zero(t, code, out)
	require.Zero(t, d.wait(20*time.Second))
}
