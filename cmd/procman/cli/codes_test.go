package cli

import (
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEveryExitCodeIsGivenByTheRealProgram(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "a: serve", "mute: mute")
	require.Equal(t, 5, s.call("status").code, "the daemon cannot be reached")
	s.run()
	s.ok("wait", "a", "--timeout", "1m")

	second := exec.Command(binary, "-c", s.config, "run")
	require.Error(t, second.Run())
	require.Equal(t, 75, second.ProcessState.ExitCode(), "another daemon holds the state directory")

	next := *s
	next.config += ".next"
	next.write("", "a: serve")
	broken := *s
	broken.config = s.dir
	for _, c := range []struct {
		code int
		of   *site
		args []string
		says string
	}{
		{0, s, []string{"status", "a"}, "done"},
		{1, &broken, []string{"validate"}, "failed"},
		{2, s, []string{"status", "--bogus"}, "usage"},
		{2, s, []string{"sttaus"}, "usage"},
		{2, s, []string{"stop"}, "usage"},
		{3, s, []string{"status", "mute"}, "an asked-for instance is not running or not healthy"},
		{4, s, []string{"why", "aa"}, "no such instance"},
		{4, s, []string{"logs", "aa"}, "no such instance"},
		{0, s, []string{"plan"}, "nothing would change"},
		{6, &next, []string{"plan"}, "plan found changes"},
		{124, s, []string{"wait", "mute", "--timeout", "50ms"}, "timed out"},
	} {
		r := c.of.call(c.args...)
		require.Equal(t, c.code, r.code, "%s: procman %v: %s", c.says, c.args, r.stderr)
		if c.code != 0 && c.code != 6 && c.code != 3 {
			require.NotEmpty(t, r.stderr, "%v says what went wrong", c.args)
		}
	}
}
