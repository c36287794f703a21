package cli

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	onDisk "procman/actors/record"
	"procman/messages"
)

// breakIt makes a file that is no YAML any more, and returns what mends it.
func (s *site) breakIt() (mend func()) {
	s.t.Helper()
	text, err := os.ReadFile(s.config)
	require.NoError(s.t, err)
	require.NoError(s.t, os.WriteFile(s.config, []byte("instances:\n  - {id: a\n"), 0o600))
	return func() { require.NoError(s.t, os.WriteFile(s.config, text, 0o600)) }
}

// F110
func TestTheLastGoodConfigurationComesIntoForceLoudlyWhenTheFileIsBrokenAtAStart(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "a: tell; env_file: secrets.env", "b: serve")
	require.NoError(t, os.WriteFile(filepath.Join(s.dir, "secrets.env"), []byte("SECRET=hunter22-hunter22\n"), 0o600))
	d := s.run()
	s.ok("start", "--all", "--wait")
	before := s.status()
	require.Contains(t, s.metrics(), "procman_config_last_reload_successful 1")
	kept := messages.StateDir(s.dir + "/state").LastGood()
	info, err := os.Lstat(kept)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())

	mend := s.breakIt()
	require.NoError(t, os.Rename(filepath.Join(s.dir, "secrets.env"), filepath.Join(s.dir, "moved.env")))
	require.NoError(t, d.cmd.Process.Kill())
	d.ends()
	d = s.run()
	s.eventually("both are adopted", func() bool { return s.call("status", "a", "b").code == 0 })
	after := s.status()
	for n, i := range after.Instances {
		require.Equal(t, before.Instances[n].PID, i.PID, i.ID)
	}
	s.eventually("it is said",
		func() bool { return strings.Contains(s.metrics(), "procman_config_last_reload_successful 0") })
	require.Contains(t, s.status().Manager.ConfigError, s.config+":2:")
	status := s.call("status")
	require.Zero(t, status.code)
	require.Contains(t, status.stderr, "is not in force, the last good one is: "+s.config+":2:")
	require.Contains(t, s.ok("events"), "the last good one")
	require.Contains(t, d.log.String(),
		`"level":"ERROR","msg":"config rejected","consequence":"the configuration cannot be used; the last good one`)
	require.NotContains(t, d.log.String()+s.ok("events")+status.stderr, "hunter22")
	require.NoError(t, syscall.Kill(s.instance("a").PID, syscall.SIGKILL))
	s.eventually("it is supervised, with its secrets",
		func() bool { return s.instance("a").Restarts == 1 && s.call("status", "a").code == 0 })

	require.NoError(t, os.Rename(filepath.Join(s.dir, "moved.env"), filepath.Join(s.dir, "secrets.env")))
	mend()
	s.eventually("the file is in force again", func() bool { return s.status().Manager.ConfigError == "" })
	require.Contains(t, s.metrics(), "procman_config_last_reload_successful 1")

	// It outlives the file itself, and an upgrade.
	require.NoError(t, os.Rename(s.config, s.config+".away"))
	d.signal(syscall.SIGHUP)
	require.NoError(t, d.cmd.Process.Kill())
	d.ends()
	cmd := exec.Command(binary, "-c", s.config, "run")
	cmd.Stderr = d.log
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	socket := filepath.Join(s.dir, "state", "procman.sock")
	s.eventually("missing is broken", func() bool { return s.call("--socket", socket, "status", "a", "b").code == 0 })
	require.NoError(t, os.Rename(s.config+".away", s.config))
}

// F110
func TestWithoutAUsableLastGoodConfigurationABrokenOneStartsNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "a: serve")
	mend := s.breakIt()
	r := s.call("run")
	require.Equal(t, exitFailed, r.code, "a first start")
	require.Contains(t, r.stderr, s.config+":2:")
	mend()
	d := s.run()
	kept := messages.StateDir(s.dir + "/state").LastGood()
	s.eventually("it is kept", func() bool { _, err := os.Stat(kept); return err == nil })
	d.signal(syscall.SIGTERM)
	require.Zero(t, d.ends())
	text, err := os.ReadFile(kept)
	require.NoError(t, err)
	s.breakIt()
	for name, spoilt := range map[string]string{"torn": string(text[:len(text)/2]),
		"changed": strings.Replace(string(text), "procman.yaml", "procman.yamm", 1), "empty": ""} {
		require.NoError(t, os.WriteFile(kept, []byte(spoilt), 0o600))
		r := s.call("run")
		require.Equal(t, exitFailed, r.code, name)
		require.Contains(t, r.stderr, s.config+":2:", name)
		require.Contains(t, r.stderr, "cannot be used", name)
		require.Empty(t, s.living(), name)
	}
	require.NoError(t, os.WriteFile(s.config, []byte(fmt.Sprintf("state_dir: state\nports: {range: "+
		"%d-%d}\ninstances: []\n", s.first, s.first+1)), 0o600))
	require.NoError(t, os.WriteFile(kept, text, 0o600))
	s.run()
	require.Empty(t, s.status().Instances, "an empty list is not a broken one")
}

// F114
func TestTheDaemonOfAnotherConfigurationIsNotTakenForOnesOwn(t *testing.T) {
	t.Parallel()
	one, two := newSite(t, "", "a: serve"), newSite(t, "", "b: serve", "c: serve")
	d := one.run()
	one.ok("start", "a", "--wait")
	text, err := os.ReadFile(two.config)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(two.config, []byte(strings.Replace(string(text), "state_dir: state",
		"state_dir: "+one.dir+"/state", 1)), 0o600))
	before := one.status()
	for _, command := range []string{"status", "reload", "stop a", "restart --all", "shutdown", "detach", "upgrade",
		"wait a", "logs a", "events", "why a"} {
		r := two.call(strings.Fields(command)...)
		require.Equal(t, exitUnreachable, r.code, command)
		require.Contains(t, r.stderr, "runs by "+one.config+", not by "+two.config, command)
		require.Contains(t, r.stderr, "--socket "+one.dir+"/state/procman.sock", command)
	}
	after := one.status()
	require.Equal(t, before.Manager, after.Manager)
	require.Equal(t, before.Instances[0].PID, after.Instances[0].PID)
	require.False(t, after.Instances[0].Held)
	r := two.call("plan")
	require.Equal(t, exitChanges, r.code, r.stderr)
	require.Contains(t, r.stderr, "runs by "+one.config)
	require.Contains(t, r.stdout, "+ b")

	r = two.call("run")
	require.Equal(t, exitInUse, r.code)
	require.Contains(t, r.stderr, "it runs by "+one.config)
	require.Contains(t, r.stderr, "state_dir")

	require.Zero(t, two.call("--socket", one.dir+"/state/procman.sock", "status", "a").code,
		"a socket says which daemon is meant")
	link := filepath.Join(two.dir, "link.yaml")
	require.NoError(t, os.Symlink(one.config, link))
	same := *one
	same.config = link
	require.Zero(t, same.call("status", "a").code, "links and relative paths name the same file")
	d.signal(syscall.SIGTERM)
	require.Zero(t, d.ends())
}

// F113
func TestASocketThatWasRemovedIsMadeAgain(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "a: serve")
	d := s.run()
	s.ok("start", "a", "--wait")
	pid := s.instance("a").PID
	socket := filepath.Join(s.dir, "state", "procman.sock")

	require.NoError(t, os.Remove(socket))
	require.NotContains(t, s.ok("status"), "no daemon",
		"it has the lock, and makes the socket again: that is waited for")
	require.NoError(t, os.Remove(socket))
	d.signal(syscall.SIGHUP)
	s.eventually("it answers again", func() bool { return s.call("status", "a").code == 0 })
	require.Contains(t, d.log.String(), `"level":"WARN","msg":"the socket was removed or replaced`)

	require.NoError(t, os.Remove(socket))
	l, err := net.Listen("unix", socket)
	require.NoError(t, err)
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	require.NoError(t, l.Close())
	s.eventually("also in the place of a dead one", func() bool { return s.call("status", "a").code == 0 })

	require.NoError(t, os.Remove(socket))
	require.NoError(t, os.WriteFile(socket, nil, 0o600))
	r := s.call("status")
	require.Equal(t, exitUnreachable, r.code)
	require.Contains(t, r.stderr, "what lies at the place of its socket is none; remove that")
	require.NotContains(t, r.stdout, "unsupervised")
	require.NoError(t, os.Remove(socket))
	require.Zero(t, s.call("status", "a").code)

	// while it is written to
	s.eventually("it is deleted", func() bool { return os.RemoveAll(filepath.Join(s.dir, "state")) == nil })
	s.eventually("also with its directory", func() bool { return s.call("status", "a").code == 0 })
	require.Equal(t, pid, s.instance("a").PID)
	require.Equal(t, exitInUse, s.call("run").code, "and nobody else has that")
}

// F110
func TestAMissingEnvFileIsTheStartFaultOfItsInstanceAlone(t *testing.T) {
	t.Parallel()
	s := newSite(t, "restart: {initial: 100ms, max: 200ms}", "a: serve; env_file: secrets.env", "b: serve")
	secrets := filepath.Join(s.dir, "secrets.env")
	d := s.run()
	s.ok("start", "b", "--wait")
	var a messages.Status
	s.eventually("a waits", func() bool { a = s.instance("a"); return a.Phase == messages.Backoff })
	require.Contains(t, a.Reason, `env file unusable: `+s.config)
	require.Contains(t, a.Reason, `env_file "secrets.env": no such file or directory`)
	r := s.call("validate")
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.stderr, `env_file "secrets.env"`)

	require.NoError(t, os.WriteFile(secrets, []byte("SECRET=one-hunter22\n"), 0o600))
	s.eventually("it is started when the file is there", func() bool { return s.call("status", "a").code == 0 })
	pid := s.instance("a").PID
	require.NoError(t, os.Remove(secrets))
	s.ok("reload")
	require.Equal(t, pid, s.instance("a").PID, "what runs is left alone")
	require.NoError(t, d.cmd.Process.Kill())
	d.ends()
	s.run()
	s.eventually("also by the next daemon", func() bool { return s.call("status", "a", "b").code == 0 })
	require.Equal(t, pid, s.instance("a").PID)
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	s.eventually("and not started again",
		func() bool { return strings.Contains(s.instance("a").Reason, "env file unusable") })
	require.NoError(t, os.WriteFile(secrets, []byte("SECRET=one-hunter22\n"), 0o600))
	s.eventually("until the file is back", func() bool { return s.call("status", "a").code == 0 })
}

// keptGood returns of what is kept in a state directory what tests ask for.
func keptGood(dir string) (kept struct {
	At    time.Time
	Draft string
}, err error) {
	text, err := os.ReadFile(messages.StateDir(dir).LastGood())
	if err != nil {
		return kept, err
	}
	return kept, onDisk.Unseal("configuration", text, &kept)
}
