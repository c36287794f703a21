package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheStatusOfAChildThatDiedWhileNoDaemonLivedIsKnownByTheDescriptorStore(t *testing.T) {
	t.Parallel()
	s := newSite(t, "restart: {initial: 50ms}", "a: serve", "b: serve")
	m := newServiceManager(s)
	r := s.run(m.starts)
	s.ok("start", "--all", "--wait")
	s.eventually("both are kept", func() bool { return m.keeps() == 2 })
	a, b := s.instance("a"), s.instance("b")

	r.signal(syscall.SIGKILL)
	r.ends()
	require.NoError(t, syscall.Kill(a.PID, syscall.SIGTERM)) // it has no handler: the signal ends it, and init reaps it
	s.eventually("it is gone", func() bool { return syscall.Kill(a.PID, 0) == syscall.ESRCH })

	r = s.run(m.starts)
	s.eventually("a is back", func() bool { return s.instance("a").Restarts == 1 && s.instance("a").PID != 0 })
	last := s.instance("a").LastExit
	require.True(t, last.Known)
	require.Equal(t, "TERM", last.Signal)
	require.Equal(t, b.PID, s.instance("b").PID)
	s.eventually("the dead one is taken out, the new one is kept", func() bool { return m.keeps() == 2 })
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", s.instance("a").PID))
	require.NoError(t, err)
	for _, variable := range []string{"LISTEN_", "NOTIFY_SOCKET", "WATCHDOG_"} {
		require.NotContains(t, string(environ), variable, "a child must not speak for the daemon")
	}

	r.signal(syscall.SIGTERM)
	require.Zero(t, r.ends())
	s.eventually("nothing is kept of what has ended", func() bool { return m.keeps() == 0 })
}

func TestWhatTheStoreMayKeepFitsIntoTheEnvironmentOfTheNextDaemon(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "a: serve")
	m := newServiceManager(s)
	s.run(m.starts)
	s.ok("start", "--all", "--wait")
	s.eventually("it is kept", func() bool { return m.keeps() == 1 })
	m.mu.Lock()
	name := m.kept[0].name
	m.mu.Unlock()
	const maxString = 128 << 10 // MAX_ARG_STRLEN
	for _, u := range units(t) {
		most := 0
		_, err := fmt.Sscan(u.value("FileDescriptorStoreMax"), &most)
		require.NoError(t, err)
		require.GreaterOrEqual(t, most, 10_000)
		require.Less(t, len("LISTEN_FDNAMES=")+most*(len(name)+1), maxString, u.path)
	}
	require.NotContains(t, strings.ToLower(name), ":")
}
