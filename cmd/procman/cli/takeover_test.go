package cli

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/actors/record"
)

// A name is not a possession: the link by which the state directory is named is moved under the daemon.
func TestAStateDirectoryWhoseNameHasComeToMeanAnotherStartsNoSecondDaemon(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "a: serve")
	link := filepath.Join(s.dir, "state")
	mean := func(name string) {
		require.NoError(t, os.Symlink(name, link+".new"))
		require.NoError(t, os.Rename(link+".new", link))
	}
	for _, name := range []string{"one", "two"} {
		require.NoError(t, os.Mkdir(filepath.Join(s.dir, name), 0o700))
	}
	mean("one")
	d := s.run()
	s.ok("start", "a", "--wait")
	pid := s.instance("a").PID
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) }) // it has ended, if all went well
	holder := fmt.Sprintf("process %d", d.cmd.Process.Pid)

	mean("two")
	r := s.call("run") // the daemon has not seen it yet
	require.Equal(t, exitInUse, r.code, r.stderr)
	require.Contains(t, r.stderr, holder)
	require.Contains(t, r.stderr, filepath.Join(s.dir, "one"))
	s.eventually("its socket is where it is looked for", func() bool { return s.call("status", "a").code == 0 })
	require.Equal(t, exitInUse, s.call("run").code)
	pointers, err := filepath.Glob(filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "procman", "*.json"))
	require.NoError(t, err)
	removed := 0
	for _, name := range pointers {
		var to struct{ Config string }
		if record.Read(name, "pointer", &to) == nil && to.Config == s.config {
			require.NoError(t, os.Remove(name))
			removed++
		}
	}
	require.NotZero(t, removed)
	r = s.call("run") // nothing tells of the daemon but its socket
	require.Equal(t, exitInUse, r.code, r.stderr)
	require.Contains(t, r.stderr, holder)

	r = s.call("upgrade")
	require.Equal(t, exitFailed, r.code, "the successor would find no record")
	require.Contains(t, r.stderr, "state_dir means "+filepath.Join(s.dir, "two")+" now")
	mean("one")
	s.eventually("it answers there again", func() bool { return s.call("upgrade").code == 0 })
	require.Equal(t, pid, s.instance("a").PID)
	s.ok("shutdown")
	require.Zero(t, d.ends())
}

// Between the check of a successor and its first instant somebody may take an address.
func TestAnAddressThatIsTakenDuringAnUpgradeEndsNoDaemon(t *testing.T) {
	t.Parallel()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := free.Addr().String()
	require.NoError(t, free.Close())
	s := newSite(t, "metrics: {listen: '"+address+"'}", "a: serve")
	d := s.run()
	s.ok("start", "a", "--wait")
	pid := s.instance("a").PID
	got, stop := make(chan net.Listener), make(chan struct{})
	go func() {
		defer close(got)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if l, err := net.Listen("tcp", address); err == nil {
				got <- l
				return
			}
			time.Sleep(50 * time.Microsecond)
		}
	}()
	var thief net.Listener
	for tries := 0; thief == nil && tries < 10; tries++ {
		s.ok("upgrade")
		select {
		case thief = <-got:
		default:
		}
	}
	close(stop)
	require.NotNil(t, thief, "nobody got the address in between")
	require.Contains(t, d.log.String(), "an address cannot be had")
	require.Equal(t, pid, s.instance("a").PID)
	require.NoError(t, thief.Close())
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	s.eventually("it is had again", func() bool {
		response, err := client.Get("http://" + address + "/metrics")
		return err == nil && response.Body.Close() == nil && response.StatusCode == http.StatusOK
	})
	s.ok("upgrade")
	s.ok("shutdown")
	require.Zero(t, d.ends())
}
