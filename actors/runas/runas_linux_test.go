package runas

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"procman/messages"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func root(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root may run a process as another user")
	}
}

// says starts the script as the policy wants it, and returns what it says.
func says(t *testing.T, p messages.ProcessPolicy, script string) string {
	t.Helper()
	s, err := Resolve(p)
	require.NoError(t, err)
	out := filepath.Join(t.TempDir(), "out")
	f, err := os.Create(out)
	require.NoError(t, err)
	defer f.Close()
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.Stdout, cmd.Stderr, cmd.Dir = f, f, "/"
	require.NoError(t, s.Start(cmd))
	require.NoError(t, cmd.Wait())
	text, err := os.ReadFile(out)
	require.NoError(t, err)
	return strings.TrimSpace(string(text))
}

func TestEachSettingHoldsFromTheFirstInstructionOn(t *testing.T) {
	t.Parallel()
	root(t)
	for _, c := range []struct {
		p            messages.ProcessPolicy
		script, want string
	}{
		{messages.ProcessPolicy{User: "nobody"}, "id -un; id -u; id -gn", "nobody\n65534\nnogroup"},
		{messages.ProcessPolicy{User: "65534"}, "id -un", "nobody"},
		{messages.ProcessPolicy{User: "nobody", Group: "daemon"}, "id -gn; id -Gn", "daemon\ndaemon nogroup"},
		{messages.ProcessPolicy{User: "54321", Group: "12345"}, "id -u; id -g; id -G", "54321\n12345\n12345"},
		{messages.ProcessPolicy{Group: "daemon"}, "id -un; id -gn; id -Gn", "root\ndaemon\ndaemon"},
		{messages.ProcessPolicy{Umask: "027"}, "umask", "0027"},
		{messages.ProcessPolicy{Umask: "0"}, "umask", "0000"},
		{messages.ProcessPolicy{Nice: 7}, "nice", "7"},
		{messages.ProcessPolicy{Nice: -7}, "nice", "-7"},
		{messages.ProcessPolicy{OOMScoreAdj: 321}, "cat /proc/self/oom_score_adj", "321"},
		{messages.ProcessPolicy{Limits: "core=0 nofile=123 stack=unlimited"},
			"ulimit -n; ulimit -Hn; ulimit -c; ulimit -s", "123\n123\n0\nunlimited"},
		{messages.ProcessPolicy{User: "nobody", Umask: "077", Nice: 3, OOMScoreAdj: 100, Limits: "nproc=77"},
			"id -un; umask; nice; cat /proc/self/oom_score_adj; grep -c 'processes *77 *77' /proc/self/limits",
			"nobody\n0077\n3\n100\n1"},
	} {
		if c.p.Limits != "" && c.p.User != "" && !holds(unix.CAP_SYS_RESOURCE) {
			_, err := Resolve(c.p)
			require.ErrorContains(t, err, "CAP_SYS_RESOURCE", "root of a container is told before the fork")
			c.p.Limits, c.script, c.want = "", strings.Split(c.script, "; grep")[0], strings.TrimSuffix(c.want, "\n1")
		}
		require.Equal(t, c.want, says(t, c.p, c.script), "%+v", c.p)
	}
}

func TestSupplementaryGroupsAreThoseOfTheUserAndNotTheDaemons(t *testing.T) {
	t.Parallel()
	root(t)
	s, err := Resolve(messages.ProcessPolicy{User: "nobody"})
	require.NoError(t, err)
	for _, g := range s.identity.groups {
		require.NotZero(t, g, "root's group")
	}
	require.NotContains(t, " "+says(t, messages.ProcessPolicy{User: "nobody"}, "id -G")+" ", " 0 ")
	require.Equal(t, map[string]string{"HOME": s.identity.home, "USER": "nobody", "LOGNAME": "nobody"}, s.Environ())
}

// The umask is one of the process, the niceness one of the thread: neither may ever be seen by others.
func TestNothingOfThisProcessChangesWhileOthersAreStarted(t *testing.T) {
	t.Parallel()
	root(t)
	dir := t.TempDir()
	s, err := Resolve(messages.ProcessPolicy{Umask: "777", Nice: 15, Limits: "nofile=64"})
	require.NoError(t, err)
	var before, after unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &before))
	usual, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	require.NoError(t, err)
	stop := make(chan struct{})
	var beside sync.WaitGroup
	for n := range 2 {
		beside.Go(func() {
			path := filepath.Join(dir, string(rune('a'+n)))
			for {
				select {
				case <-stop:
					return
				default:
				}
				if f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600); err == nil {
					info, _ := f.Stat()
					if info.Mode().Perm() != 0o600 {
						t.Errorf("a file of this process has %v", info.Mode())
					}
					_ = f.Close()
				}
				_ = os.Remove(path)
				if p, _ := unix.Getpriority(unix.PRIO_PROCESS, 0); p != usual {
					t.Errorf("a thread of this process has priority %d", p)
				}
			}
		})
	}
	for range 30 {
		cmd := exec.Command("/bin/true")
		require.NoError(t, s.Start(cmd))
		require.NoError(t, cmd.Wait())
	}
	close(stop)
	beside.Wait()
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &after))
	require.Equal(t, before, after)
}

func TestAPolicyThatAsksForNothingIsNothing(t *testing.T) {
	t.Parallel()
	s, err := Resolve(messages.ProcessPolicy{})
	require.NoError(t, err)
	require.Nil(t, s)
	require.Nil(t, s.Environ())
	cmd := exec.Command("/bin/true")
	require.NoError(t, s.Start(cmd))
	require.Nil(t, cmd.SysProcAttr)
	require.NoError(t, cmd.Wait())
}

func TestWhatCannotBeMetSaysWhichKeyBeforeAnythingIsForked(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		p    messages.ProcessPolicy
		want string
	}{
		{messages.ProcessPolicy{User: "no-such-user"}, `process.user: there is no user "no-such-user" on this host`},
		{messages.ProcessPolicy{Group: "no-such-group"},
			`process.group: there is no group "no-such-group" on this host`},
		{messages.ProcessPolicy{User: "54321"}, "name process.group too"},
	} {
		_, err := Resolve(c.p)
		require.ErrorContains(t, err, c.want)
	}
}

func TestAccessIsAskedAsTheUserAndSaysWhichDirectoryIsInTheWay(t *testing.T) {
	t.Parallel()
	root(t)
	dir := t.TempDir()
	for top := dir; top != os.TempDir() && top != "/"; top = filepath.Dir(top) {
		require.NoError(t, os.Chmod(top, 0o755))
	}
	s, err := Resolve(messages.ProcessPolicy{User: "nobody"})
	require.NoError(t, err)
	open, closed := filepath.Join(dir, "open"), filepath.Join(dir, "closed")
	require.NoError(t, os.WriteFile(open, nil, 0o644))
	require.NoError(t, os.Mkdir(closed, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(closed, "x"), nil, 0o644))
	require.NoError(t, s.Access(open, Read))
	require.Error(t, s.Access(open, Execute))
	require.Error(t, s.Access(filepath.Join(closed, "x"), Read))
	require.Equal(t, closed, s.Refused(filepath.Join(closed, "x")))
	require.Empty(t, s.Refused(open))
	require.NoError(t, os.Chown(closed, 65534, 0))
	require.NoError(t, s.Access(filepath.Join(closed, "x"), Read))
	var me *Settings
	require.NoError(t, me.Access(open, Read))
}

// A daemon that is not root: this test run as another user.
func TestADaemonThatIsNotRootIsToldWhatItMayNotDo(t *testing.T) {
	if os.Getenv("RUNAS_TEST_PLAIN") == "" {
		root(t)
		self, err := os.Executable()
		require.NoError(t, err)
		copied := filepath.Join(t.TempDir(), "test")
		text, err := os.ReadFile(self)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(copied, text, 0o755))
		for dir := filepath.Dir(copied); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
			require.NoError(t, os.Chmod(dir, 0o755))
		}
		cmd := exec.Command("/bin/sh", "-c", `ulimit -n 100; exec "$@"`, "sh", copied, "-test.run",
			"^"+t.Name()+"$", "-test.v")
		cmd.Env, cmd.Dir = append(os.Environ(), "RUNAS_TEST_PLAIN=1"), "/"
		out := &strings.Builder{}
		cmd.Stdout, cmd.Stderr = out, out
		s, err := Resolve(messages.ProcessPolicy{User: "nobody"})
		require.NoError(t, err)
		require.NoError(t, s.Start(cmd))
		require.NoError(t, cmd.Wait(), out.String())
		require.Contains(t, out.String(), "--- PASS", out.String())
		return
	}
	for _, c := range []struct {
		p    messages.ProcessPolicy
		want string
	}{
		{messages.ProcessPolicy{User: "root"}, "process.user is root, another user; the daemon has to be root for " +
			"that, and is uid 65534"},
		{messages.ProcessPolicy{Group: "daemon"}, "process.group is daemon, another group"},
		{messages.ProcessPolicy{Nice: -1}, "process.nice is -1"},
		{messages.ProcessPolicy{OOMScoreAdj: -1}, "process.oom_score_adj is -1"},
		{messages.ProcessPolicy{Limits: "nofile=101"}, "process.limits.nofile is beyond the hard limit of 100"},
	} {
		_, err := Resolve(c.p)
		require.ErrorContains(t, err, c.want)
	}
	require.Equal(t, "nobody\n0027\n14\n50", says(t, messages.ProcessPolicy{User: "nobody", Umask: "027", Nice: 14,
		Limits: "nofile=50"}, "id -un; umask; nice; ulimit -n"),
		"what needs nobody's leave works")
}
