package cli

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"procman/messages"
	"procman/supervisor/api"
)

// edit replaces a text in the configuration, in one piece as an editor does it.
func (s *site) edit(from, to string) {
	s.t.Helper()
	text, err := os.ReadFile(s.config)
	require.NoError(s.t, err)
	require.Contains(s.t, string(text), from)
	require.NoError(s.t, os.WriteFile(s.config+".new", []byte(strings.Replace(string(text), from, to, 1)), 0o600))
	require.NoError(s.t, os.Rename(s.config+".new", s.config))
}

func (s *site) events(what messages.EventType) (found []messages.Event) {
	s.t.Helper()
	for line := range strings.Lines(s.ok("events", "-o", "jsonl")) {
		var e messages.Event
		require.NoError(s.t, json.Unmarshal([]byte(line), &e))
		if e.What == what {
			found = append(found, e)
		}
	}
	return found
}

// F135 and F136, by the program itself.
func TestTheRangeOfPortsIsAppliedLiveAndAChangedPortIsTold(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "a: serve", "b: serve")
	s.run()
	s.ok("restart", "--all", "--wait")
	first := s.instance("a").Port

	// A hold frees the port for others, and it comes back when no other took it.
	s.ok("stop", "a", "--wait")
	s.ok("start", "a", "--wait")
	require.Equal(t, first, s.instance("a").Port)
	require.Empty(t, s.events(messages.PortChanged))

	s.ok("stop", "a", "--wait")
	thief, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", first)) // with SO_REUSEADDR
	require.NoError(t, err)
	s.ok("start", "a", "--wait")
	require.NoError(t, thief.Close())
	second := s.instance("a").Port
	require.NotEqual(t, first, second)
	told := s.events(messages.PortChanged)
	require.Len(t, told, 1)
	require.Equal(t, first, told[0].OldPort)
	require.Equal(t, second, told[0].Port)
	require.Equal(t, fmt.Sprintf("from %d to %d: another program has it", first, second), told[0].Why)

	was := fmt.Sprintf("range: %d-%d", s.first, s.first+perSite-1)
	next := s.first + 20
	pid := s.instance("a").PID
	// A file of its own, so that it is plan that looks first.
	other := *s
	other.config = s.config + ".next"
	text, err := os.ReadFile(s.config)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(other.config, text, 0o600))
	other.edit(was, fmt.Sprintf("range: %d-%d", next, next+3))
	r := other.call("plan")
	require.Equal(t, exitChanges, r.code)
	require.Contains(t, r.stdout, "= ports  applied live: to every lease from now on")
	require.NotContains(t, r.stdout, "!")
	require.NotContains(t, r.stdout, "nothing to do")

	s.edit(was, fmt.Sprintf("range: %d-%d", next, next+3))
	require.Equal(t, "reloaded, 2 instances\n", s.ok("reload"))
	require.Equal(t, pid, s.instance("a").PID)
	require.Equal(t, second, s.instance("a").Port, "until its next start")
	require.Equal(t, "nothing to do: the file and what runs agree\n", s.ok("plan"))
	s.ok("restart", "a", "--wait")
	third := s.instance("a").Port
	require.GreaterOrEqual(t, third, next)
	told = s.events(messages.PortChanged)
	require.Equal(t, fmt.Sprintf("from %d to %d: it lies outside of ports.range", second, third), told[len(told)-1].Why)
	var line api.Why
	require.NoError(t, json.Unmarshal([]byte(s.ok("why", "a", "-o", "json")), &line))
	require.Contains(t, fmt.Sprint(line.Events), "port changed")

	// What cannot be applied live is named.
	s.edit("health:", "log: {level: debug}\nhealth:")
	require.Equal(t, "reloaded, 2 instances; not applied, because only a new daemon can: log.level (`procman plan` "+
		"says how)\n", s.ok("reload"))
}
