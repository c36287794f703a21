package cli

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

func TestASelectorStandsForTheIdsOfWhatHasItsLabels(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "a: serve; labels: {app: shop, tier: web}",
		"b: serve; labels: {app: shop, tier: db}", "c: serve")
	s.run()
	s.ok("start", "--all", "--wait")
	ids := func(selector string) string {
		lines := strings.Split(strings.TrimSpace(s.ok("status", "-l", selector)), "\n")
		for n := range lines {
			lines[n] = strings.Fields(lines[n])[0]
		}
		return strings.Join(lines[1:], " ")
	}
	require.Equal(t, "a b", ids("app=shop"))
	require.Equal(t, "a", ids("app=shop,tier!=db"))
	require.Equal(t, "a c", ids("tier!=db"), "it has no tier")
	require.Equal(t, "c", ids("!app"))
	require.Equal(t, "a b", ids("tier in (web, db)"))

	require.Contains(t, s.ok("wait", "-l", "app=shop", "--timeout", "1m"), "b: it is running and healthy")
	require.Contains(t, s.ok("restart", "-l", "tier=db", "--wait"), "b: restarted, run 2")
	require.Equal(t, 1, s.instance("a").Run)
	require.Equal(t, "a: stopped, run 1\n", s.ok("stop", "-l", "tier=web", "--wait"))
	r := s.call("restart", "-l", "app=shop", "--wait")
	require.Zero(t, r.code)
	require.Contains(t, r.stderr, "a: held down", "as with --all: only by its name it is meant")
	require.Equal(t, exitNotHealthy, s.call("status", "-l", "tier=web").code)
	require.Equal(t, messages.Running, s.instance("c").Phase)

	require.NotContains(t, s.ok("events", "-l", "tier=db"), " a ")
	require.Contains(t, s.ok("events", "-l", "tier=db"), " b ")
	why := s.ok("why", "-l", "app=shop")
	require.Contains(t, why, "a is held down")
	require.Contains(t, why, "\n\nb is running")
	require.Contains(t, s.ok("logs", "-l", "app=shop", "-n", "1"), "b | ")

	before := s.instance("b").Run
	require.Contains(t, s.ok("start", "-l", "app=shop,tier!=db", "--wait"), "a: started")
	require.Contains(t, s.ok("restart", "-l", "app=shop,tier!=db", "--wait"), "a: restarted")
	require.Equal(t, before, s.instance("b").Run)

	for _, command := range []string{"status", "logs", "events", "why", "wait", "stop", "start", "restart"} {
		r := s.call(command, "-l", "app=none")
		require.Equal(t, exitUnknown, r.code, command)
		require.Contains(t, r.stderr, "no instance has such labels: app=none", command)
		r = s.call(command, "a", "-l", "app=shop")
		require.Equal(t, exitUsage, r.code, command)
		require.Contains(t, r.stderr, "--selector", command)
		require.Equal(t, exitUsage, s.call(command, "-l", "a=b=c").code, command)
	}
	require.Equal(t, exitUsage, s.call("stop", "--all", "-l", "app=shop").code)
	require.Equal(t, exitUsage, s.call("why").code)

	s.ok("detach")
	r = s.call("status", "-l", "tier=db")
	require.Equal(t, exitUnreachable, r.code)
	require.Contains(t, r.stdout, "b ")
	require.NotContains(t, r.stdout, "a ")
}
