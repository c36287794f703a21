package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// occupied is what all output files take on the disk.
func (s *site) occupied() (sum int64) {
	files, err := filepath.Glob(filepath.Join(s.dir, "state", "instances", "*", "std*.log"))
	require.NoError(s.t, err)
	for _, path := range files {
		var info syscall.Stat_t
		require.NoError(s.t, syscall.Stat(path, &info))
		sum += info.Blocks * 512
	}
	return sum
}

func TestATotalOfOutputIsChangedWhileAllRunAndKeptByTheNextDaemon(t *testing.T) {
	t.Parallel()
	s := newSite(t, "output: {total: 32KiB}", "loud: flood", "quiet: serve")
	broken := s.call("validate")
	require.Equal(t, exitFailed, broken.code)
	require.Contains(t, broken.stderr, "output.total is 32768; it must be at least 64KiB")
	s.edit("total: 32KiB", "total: 4MiB, forward: false")
	require.NotContains(t, s.call("validate").stderr, "total")

	d := s.run()
	s.ok("wait")
	trimmed := func() int64 {
		is := regexp.MustCompile(`\nprocman_output_trimmed_bytes_total (\S+)`).FindStringSubmatch(s.metrics())
		require.NotNil(s.t, is)
		n, err := strconv.ParseFloat(is[1], 64)
		require.NoError(s.t, err)
		return int64(n)
	}
	const soon = 2 << 20 // what a flood writes between two turns, on a busy host
	s.eventually("the total is kept", func() bool { return trimmed() > 4<<20 && s.occupied() < 4<<20+soon })
	s.edit("total: 4MiB", "total: 1MiB")
	s.eventually("another is kept", func() bool { return s.occupied() < 1<<20+soon })
	pid := s.instance("loud").PID
	require.NoError(t, d.cmd.Process.Kill())
	<-d.done
	s.run()
	s.ok("wait")
	require.Equal(t, pid, s.instance("loud").PID)
	s.eventually("it is kept by the next daemon", func() bool { return trimmed() > 4<<20 && s.occupied() < 1<<20+soon })
	s.ok("stop", "loud", "--wait")
	const blocks = 4 * 4 << 10 // the last one of each file, which may not be full
	s.eventually("exactly, when nobody writes", func() bool { return s.occupied() <= 1<<20+blocks })
	require.NoError(t, os.Remove(filepath.Join(s.dir, "state", "instances", "loud", "stdout.log")))
}
