package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"procman/messages"
	"procman/supervisor/api"
)

// F157: without a daemon one needs them most.
func TestWithoutADaemonTheFilesAreRead(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "a: tell; env_file: a.env", "b: fail")
	env := filepath.Join(s.dir, "a.env")
	require.NoError(t, os.WriteFile(env, []byte("SECRET=correct-horse\n"), 0o600))
	for _, args := range [][]string{{"logs"}, {"events"}, {"why", "a"}} {
		r := s.call(args...)
		require.Equal(t, exitUnreachable, r.code, "there never was one")
		require.Empty(t, r.stdout)
	}
	d := s.run()
	s.ok("start", "a", "--wait")
	s.eventually("b has failed", func() bool { return s.instance("b").ConsecutiveFailures > 0 })
	s.eventually("that is on record", func() bool { return len(s.events(messages.InstanceExited)) > 0 })
	s.eventually("traces are kept",
		func() bool { _, err := os.Stat(filepath.Join(s.dir, "state", "traces.json")); return err == nil })
	require.NoError(t, d.cmd.Process.Kill())
	<-d.done
	require.NoError(t, os.Remove(env)) // the secret is nowhere but in the output

	offline := func(args ...string) string {
		t.Helper()
		r := s.call(args...)
		require.Equal(t, exitUnreachable, r.code, "%v: %s", args, r.stderr)
		require.Contains(t, r.stderr, "no daemon answers; what is shown is from the files in "+
			filepath.Join(s.dir, "state"))
		require.Contains(t, r.stderr, "the daemon cannot be reached")
		require.NotContains(t, r.stdout, "correct-horse")
		return r.stdout
	}
	require.Contains(t, offline("logs", "a"), "the secret is ***\n")
	require.Contains(t, offline("logs"), "b | no reason\n")
	require.Contains(t, offline("logs", "a", "-f"), "hello from stdout\n")
	require.Contains(t, offline("events"), "  a  instance ready")
	require.NotContains(t, offline("events", "b"), "  a  ")
	require.Contains(t, offline("events", "-o", "json"), `"event": "instance started"`)
	said := offline("why", "a")
	require.Contains(t, said, "and no daemon supervises it")
	require.Contains(t, said, "last lines of stdout of the process that runs\n")
	said = offline("why", "b")
	require.Contains(t, said, "last lines of stderr before that exit\n")
	require.Contains(t, said, "instance exited")
	var w api.Why
	require.NoError(t, json.Unmarshal([]byte(offline("why", "b", "-o", "json")), &w))
	require.NotEmpty(t, w.Events)
	r := s.call("why", "zzz")
	require.Equal(t, exitUnreachable, r.code)
	require.Contains(t, r.stderr, "no such instance")
}
