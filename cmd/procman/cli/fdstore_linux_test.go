package cli

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
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

// An upgrade stored each handle anew, and lost some of them by it.
func TestAnUpgradeHandsTheNamesOverAndStoresNothingAnew(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "a: serve", "b: serve")
	m := newServiceManager(s)
	path, own := installed(t, s)
	s.run(own, m.starts)
	s.ok("start", "--all", "--wait")
	s.eventually("both are kept", func() bool { return m.keeps() == 2 })
	from := m.now()
	install(t, path, binary)
	s.ok("upgrade")
	m.await(from, "READY", "1")
	s.ok("restart", "a", "--wait")
	s.eventually("a's new one is kept in place of the old one", func() bool {
		return strings.Count(m.about(from), "FDSTORE=1") == 1 && strings.Count(m.about(from), "FDSTOREREMOVE=1") == 1
	})
	require.Equal(t, 2, m.keeps())
}

func TestHandlesThatNoProcessNeedsAreTakenOutAtTheStart(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "a: serve")
	m := newServiceManager(s)
	d := s.run(m.starts)
	s.ok("start", "--all", "--wait")
	s.eventually("it is kept", func() bool { return m.keeps() == 1 })
	d.signal(unix.SIGKILL)
	d.ends()
	pidfd, err := unix.PidfdOpen(os.Getpid(), 0)
	require.NoError(t, err)
	m.mu.Lock()
	m.kept = append(m.kept, kept{"of-nobody", os.NewFile(uintptr(pidfd), "kept")})
	m.mu.Unlock()
	s.run(m.starts)
	s.eventually("only a's is kept", func() bool { return m.keeps() == 1 })
	require.True(t, s.instance("a").Adopted)
}
