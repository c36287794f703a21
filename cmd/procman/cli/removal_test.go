package cli

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
	"procman/supervisor/config"
)

// F133, by the program itself: a file that is written line by line, and one that was cut because the disk was full.
func TestHalfAFileStopsNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "a: serve", "b: serve", "c: serve")
	d := s.run()
	s.ok("restart", "--all", "--wait")
	text, err := os.ReadFile(s.config)
	require.NoError(t, err)
	pids := func() map[messages.InstanceID]int {
		all := map[messages.InstanceID]int{}
		for _, i := range s.status().Instances {
			all[i.ID] = i.PID
		}
		return all
	}
	before, alive := pids(), s.living()
	require.Len(t, alive, 3)

	f, err := os.Create(s.config)
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		_, err := f.WriteString(line)
		require.NoError(t, err)
		time.Sleep(150 * time.Millisecond)
		require.ElementsMatch(t, alive, s.living(), "while it is written")
	}
	require.NoError(t, f.Close())

	at := strings.Index(string(text), "  - id: b")
	require.NoError(t, os.WriteFile(s.config, text[:at], 0o600))
	s.eventually("a warning", func() bool { return len(s.events(messages.RemovalWaits)) > 0 })
	require.Equal(t, before, pids(), "cut at a line")
	require.Contains(t, s.events(messages.RemovalWaits)[0].Why, "b, c")
	require.Contains(t, s.instance("b").Reason, "`procman reload` confirms")
	require.Contains(t, s.ok("why", "b"), "half a file")
	require.Equal(t, before["a"], s.instance("a").PID)

	// A daemon that comes meanwhile knows no more than the one before: neither does it stop them.
	require.Eventually(t, func() bool {
		g, err := keptGood(s.dir + "/state")
		return err == nil && g.Draft != ""
	}, 5*time.Second, 10*time.Millisecond)
	s.ok("upgrade")
	require.Equal(t, before, pids(), "after an upgrade")
	d.signal(syscall.SIGKILL)
	<-d.done
	d = s.run()
	require.Equal(t, before, pids(), "after a crash")
	s.eventually("a warning of the new one",
		func() bool { return strings.Contains(s.instance("b").Reason, "`procman reload` confirms") })

	// What it gained meanwhile is in force as well, and a daemon that comes then does not take it for gone.
	c := string(text[strings.Index(string(text), "  - id: c"):])
	require.NoError(t, os.WriteFile(s.config, []byte(string(text[:at])+
		strings.NewReplacer("id: c", "id: d", "c.db", "d.db").Replace(c)), 0o600))
	s.eventually("d to run", func() bool { return pids()["d"] > 0 })
	before = pids()
	require.Eventually(t, func() bool {
		g, err := keptGood(s.dir + "/state")
		now, takeErr := config.Take(s.config, config.DaemonHost())
		return err == nil && takeErr == nil && g.Draft == now.Digest()
	}, 5*time.Second, 10*time.Millisecond)
	s.ok("upgrade")
	require.Equal(t, before, pids(), "after an upgrade")
	d.signal(syscall.SIGKILL)
	<-d.done
	s.run()
	require.Equal(t, before, pids(), "after a crash")

	require.Equal(t, "reloaded, 2 instances\n", s.ok("reload"), "those that are on their way out are not counted")
	s.eventually("the two to be gone", func() bool { return len(pids()) == 2 })
	require.Equal(t, before["a"], s.instance("a").PID)
}
