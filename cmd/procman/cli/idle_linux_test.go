package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

// sleeps counts how often a thread of the process has gone to sleep, which it does once for each time that it was
// woken.
func sleeps(t *testing.T, pid int) (n int) {
	t.Helper()
	threads, err := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/status")
	require.NoError(t, err)
	count := regexp.MustCompile(`(?m)^voluntary_ctxt_switches:\s+(\d+)$`)
	for _, thread := range threads {
		text, err := os.ReadFile(thread)
		if err != nil {
			continue // it has ended
		}
		of, err := strconv.Atoi(count.FindStringSubmatch(string(text))[1])
		require.NoError(t, err)
		n += of
	}
	return n
}

// Beside the Go runtime, which looks around once a minute and collects garbage every two.
func TestADaemonOfWhichNothingIsDueIsNotWokenUp(t *testing.T) {
	t.Parallel()
	s := newSite(t, "health: {interval: 1h}", "fine: serve", "other: serve")
	// In place of the interval that the site writes.
	text, err := os.ReadFile(s.config)
	require.NoError(t, err)
	once := regexp.MustCompile(`(?m)^health: \{interval: 200ms\}\n`).ReplaceAll(text, nil)
	require.NoError(t, os.WriteFile(s.config, once, 0o600))
	d := s.run()
	for _, id := range []string{"fine", "other"} {
		s.eventually("it is healthy", func() bool { return s.instance(id).Health == messages.Healthy })
	}
	const quiet = 3 * time.Second
	s.eventually("nothing wakes it up", func() bool {
		before := sleeps(t, d.cmd.Process.Pid)
		time.Sleep(quiet)
		return sleeps(t, d.cmd.Process.Pid)-before <= 3
	})
}
