package cli

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

// advised returns what a message gives between backquotes that begins so, and does it in the directory.
func (s *site) advised(text, begins string, env ...string) *exec.Cmd {
	s.t.Helper()
	for n, part := range strings.Split(text, "`") {
		if n%2 == 1 && strings.HasPrefix(part, "procman "+begins) {
			cmd := exec.Command("/bin/sh", "-c", part)
			cmd.Dir, cmd.Env = s.dir, append(append(os.Environ(), "PATH="+filepath.Dir(binary)+":"+os.Getenv("PATH")),
				env...)
			return cmd
		}
	}
	require.Fail(s.t, "there is no such advice", "%s in %s", begins, text)
	return nil
}

// Without a daemon it is said what starts one. It was said of every place, also where nothing could start.
func TestWhatStartsADaemonIsSaidOnlyWhereItDoes(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "a: serve")
	socket := filepath.Join(s.dir, "state", "procman.sock")
	r := s.call("status")
	require.Equal(t, exitUnreachable, r.code)
	require.Contains(t, r.stderr, "`procman run -c "+s.config+"` starts one")
	odd := *s
	odd.config = filepath.Join(s.dir, "it's odd.yaml")
	require.NoError(t, os.Link(s.config, odd.config))
	r = odd.call("status")
	require.Equal(t, exitUnreachable, r.code)
	run := s.advised(r.stderr, "run")
	require.NoError(t, run.Start())
	defer func() { _ = run.Process.Kill(); _ = run.Wait() }()
	odd.eventually("it is started", func() bool { return odd.call("status").code == 0 })
	require.Zero(t, s.call("shutdown").code, "two names of one file are one configuration")

	require.NoError(t, os.MkdirAll(socket, 0o700))
	r = s.call("status")
	require.Equal(t, exitUnreachable, r.code)
	require.Contains(t, r.stderr, "none would start: "+socket+" is not a socket")
	require.NotContains(t, r.stderr, "starts one")
	require.NoError(t, os.Remove(socket))

	l, err := net.Listen("unix", socket)
	require.NoError(t, err)
	stranger := http.Server{Handler: http.NotFoundHandler()}
	go func() { _ = stranger.Serve(l) }()
	r = s.call("status")
	require.NotZero(t, r.code)
	require.NotContains(t, r.stderr, "starts one")
	r = s.call("run")
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.stderr, "no daemon of procman has answered there")
	require.NoError(t, stranger.Close())

	s.breakIt()
	require.NoError(t, os.Remove(filepath.Join(s.dir, "state", filepath.Base(messages.StateDir("x").LastGood()))))
	r = s.call("status")
	require.Equal(t, exitUnreachable, r.code)
	require.Contains(t, r.stderr, "none would start, for want of a configuration that can be used: "+s.config+":2:")
	require.Error(t, s.advised(r.stderr, "validate").Run(), "it says where")
	require.NotContains(t, r.stderr, "starts one")

	require.NoError(t, os.WriteFile(s.config, []byte("state_dir: "+strings.Repeat("x", 120)+"\ninstances: []\n"),
		0o600))
	r = s.call("status")
	require.Equal(t, exitUnreachable, r.code)
	require.Contains(t, r.stderr, "none would start: the path of the socket has ")

	cmd := exec.Command(binary, "status")
	cmd.Dir, cmd.Env = s.dir+"/state", []string{"HOME=/nonexistent", "STATE_DIRECTORY=" + s.dir}
	text, err := cmd.CombinedOutput()
	require.Error(t, err)
	require.Equal(t, exitUnreachable, cmd.ProcessState.ExitCode(), string(text))
	require.NotContains(t, string(text), "starts one", "it would have no configuration")
}

func TestTwoConfigurationsThatShareASocketAloneAreToldSo(t *testing.T) {
	t.Parallel()
	one, two := newSite(t, "", "a: serve"), newSite(t, "", "b: serve")
	socket := filepath.Join(one.dir, "s")
	one.write("socket: " + socket)
	two.write("socket: " + socket)
	d := one.run()
	r := two.call("status")
	require.Equal(t, exitUnreachable, r.code)
	require.Contains(t, r.stderr, "Set socket in one of the two")
	r = two.call("run")
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.stderr, "runs by "+one.config+". Set socket in "+two.config+" to a path of its own")
	found := two.findings()["daemon"]
	require.Contains(t, found.What, "runs by another configuration, "+one.config)
	two.write("")
	two.run()
	d.signal(syscall.SIGTERM)
	require.Zero(t, d.ends())
}

func TestAConfigurationThatIsNotThereIsMadeWhereItIsSaid(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	missing := *s
	missing.config = filepath.Join(s.dir, "no such dir", "p.yaml")
	r := missing.call("status")
	require.Equal(t, exitFailed, r.code)
	require.NoError(t, s.advised(r.stderr, "init").Run())
	require.Zero(t, missing.call("validate").code)

	missing.config = filepath.Join(s.dir, "link.yaml")
	require.NoError(t, os.Symlink("gone", missing.config))
	r = missing.call("run")
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.stderr, "is a link to gone, which does not exist")
	require.NotContains(t, r.stderr, "init")
}

func TestTheDoctorSaysByWhatTheNextDaemonRunsWhenTheFileIsBroken(t *testing.T) {
	t.Parallel()
	s := newSite(t, "on_shutdown: stop", "a: serve")
	s.breakIt()
	require.Contains(t, s.findings()["configuration"].Means, "the next daemon will not start with it")
	s.write("on_shutdown: stop", "a: serve")
	d := s.run()
	s.ok("wait")
	s.breakIt()
	require.Contains(t, s.findings()["configuration"].Means, "it is not in force: the last good one is, of ")
	// As `systemctl restart` does it.
	d.signal(syscall.SIGTERM)
	require.Zero(t, d.ends())
	require.Empty(t, s.living())
	d = s.run()
	s.eventually("it runs by the last good one", func() bool { return s.call("status", "a").code == 0 })
	require.Contains(t, s.findings()["configuration"].Means, "for the daemon that runs and for the next one")
	require.Contains(t, d.log.String(), "is in force")
}

func TestAWordIsOneForAShell(t *testing.T) {
	for _, text := range []string{"", "a", "/a b/c", "it's", "$HOME", "ä", "a\nb", "~", "*", "-"} {
		said, err := exec.Command("/bin/sh", "-c", "printf %s "+"x"+messages.ShellWord(text)).Output()
		require.NoError(t, err)
		require.Equal(t, "x"+text, string(said))
	}
	require.Equal(t, "/etc/procman.yaml", messages.ShellWord("/etc/procman.yaml"))
}
