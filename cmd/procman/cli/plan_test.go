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

func TestPlanSaysWhatAReloadWouldDoAndDoesNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "a: serve", "b: serve", "c: serve", "d: serve")
	s.run()
	s.ok("restart", "--all", "--wait")
	before := s.status()
	require.Equal(t, "nothing to do: the file and what runs agree\n", s.ok("plan"))

	// Another file, so that the daemon does not apply it by itself.
	next := *s
	next.config = filepath.Join(s.dir, "next.yaml")
	secret := filepath.Join(s.dir, "c.env")
	require.NoError(t, os.WriteFile(secret, []byte("TOKEN=correct-horse\n"), 0o600))
	next.write("log: {level: debug}\nstop: {grace: 3s}", "a: serve", "c: serve; env_file: c.env", "d: fail", "e: serve")
	r := next.call("plan")
	require.Equal(t, exitChanges, r.code, r.stderr)
	require.Equal(t, `= a          apply: no process is touched: stop.grace has changed
    stop.grace: 10s -> 3s
- b          stop: no longer in the file
~ c          restart: env.TOKEN has changed
    env.TOKEN: set to ***
    stop.grace: 10s -> 3s
~ d          restart: env.TEST_CHILD has changed
    env.TEST_CHILD: serve -> fail
    stop.grace: 10s -> 3s
+ e          start: new in the file
! log.level  has changed; it takes effect in a new daemon only (`+"`procman upgrade`"+`: no instance restarts)
1 to start, 1 to stop, 2 to restart, 1 applied live
`, r.stdout)

	var p api.Plan
	r = next.call("plan", "-o", "json")
	require.Equal(t, exitChanges, r.code)
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &p))
	require.Equal(t, next.config, p.Config)
	require.Equal(t, []string{"log.level"}, p.Daemon)
	require.Len(t, p.Changes, 5)
	require.Equal(t, messages.Change{ID: "b", Kind: messages.ChangeStop, Why: "no longer in the file",
		Fields: []messages.FieldChange{}}, p.Changes[1])
	require.NotContains(t, r.stdout, "correct-horse")

	require.NoError(t, os.WriteFile(next.config, []byte("state_dir: state\nbogus: 1\ninstances: []\n"), 0o600))
	r = next.call("plan")
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.stderr, next.config+":2:1: unknown key \"bogus\"")

	after := s.status()
	for n := range before.Instances {
		require.Equal(t, before.Instances[n].PID, after.Instances[n].PID, "nothing was changed")
	}
}
