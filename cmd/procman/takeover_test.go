package main

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

	"procman/supervisor/api"
	"procman/supervisor/config"
	"procman/test/fake"
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
	for _, dir := range runtimeDirs(os.Getenv) {
		for _, name := range pointerNames(s.config) {
			_ = os.Remove(filepath.Join(dir, name)) // it lies in one of them
		}
	}
	require.Nil(t, pointed(s.config, os.Getenv))
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

func TestADaemonThatStandsInGoesOnWithoutASocketUntilItCanHaveOne(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	socket := filepath.Join(s.dir, "state", "procman.sock")
	require.NoError(t, os.MkdirAll(socket, 0o700))
	file, err := config.Load(s.config)
	require.NoError(t, err)
	var records fake.Journal
	log := newLog(&records, file.Log, false, false)
	_, err = open(s.config, file, log, heritage{})
	require.ErrorContains(t, err, "not a socket", "one that is started by somebody tells him")
	d, err := open(s.config, file, log, heritage{standsIn: true})
	require.NoError(t, err)
	require.NoError(t, os.Remove(socket))
	s.eventually("it answers", func() bool { _, err := s.look(); return err == nil })
	d.endAs(api.ModeLeave, "the test")
	require.NoError(t, d.live(nil))
	require.NoError(t, d.close())
	log.Close()
}

// FAULTS 18: the first time as on_shutdown says, the second time at once and in order, the third time at once.
func TestAThirdTermDoesNotEvenCloseTheParts(t *testing.T) {
	t.Parallel()
	s := newSite(t, "stop: {grace: 1h}", "a: deaf")
	file, err := config.Load(s.config)
	require.NoError(t, err)
	var records fake.Journal
	log := newLog(&records, file.Log, false, false)
	d, err := open(s.config, file, log, heritage{})
	require.NoError(t, err)
	s.eventually("it runs", func() bool { return s.instance("a").Phase == "running" })
	told := make(chan os.Signal, maxTerms)
	for range maxTerms {
		told <- syscall.SIGTERM
	}
	err = d.live(told)
	require.ErrorIs(t, err, errAbandoned)
	require.Equal(t, exitFailed, codeOf(err))
	require.Zero(t, lastWords(err), "it waits for nobody")
	require.Len(t, s.living(), 1)
	<-d.supervisor.Done()
	d.end.Wait()
	require.NoError(t, d.close())
	log.Close()
	require.Contains(t, records.String(), "told to end a second time")
}
