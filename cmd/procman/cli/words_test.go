package cli

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// F156: "1 instances", in whatever the program says of one.
func TestOfOneThingNothingIsSaidInThePlural(t *testing.T) {
	t.Parallel()
	s := newSite(t, "restart: {initial: 10ms}", "a: serve")
	d := s.run()
	s.ok("wait")
	var said []string
	call := func(args ...string) {
		// a process for each would take the cores from the daemon
		r := main1(nil, append([]string{"-c", s.config}, args...)...)
		said = append(said, "$ "+strings.Join(args, " ")+"\n"+r.stdout+r.stderr)
	}
	one := func(args ...string) {
		for _, form := range []string{"wide", "json"} {
			call(append(args, "-o", form)...)
		}
	}
	one("validate")
	one("status")
	one("restart", "a", "--wait")
	before := s.instance("a")
	require.NoError(t, syscall.Kill(before.PID, syscall.SIGKILL))
	s.eventually("it is restarted", func() bool { return s.instance("a").Restarts > before.Restarts })
	one("wait")
	one("why", "a")
	one("stop", "a", "--wait")
	one("start", "a", "--wait")
	s.write("log: {level: debug}\nrestart: {initial: 20ms}\nhealth: {path: /new}", "a: serve")
	one("plan")
	s.write("restart: {initial: 20ms}", "a: serve")
	one("plan")
	one("reload")
	doctor := s.call("doctor", "-o", "wide") // which has its own program executed
	said = append(said, doctor.stdout+doctor.stderr)
	call("events")
	one("logs", "a", "-n", "1")
	call("upgrade")
	said = append(said, s.metrics())
	for _, path := range []string{"healthz", "readyz", "v1/instances", "v1/instances/a", "v1/instances/a/why",
		"v1/plan"} {
		said = append(said, path+"\n"+s.get(path))
	}
	call("shutdown")
	d.ends()
	call("status")
	call("why", "a")
	said = append(said, d.log.String())
	things := "instances|processes|probes|files|ports|records|lines|bytes|seconds|minutes|failures|threads|watches|" +
		"keys|entries|others|restarts|attempts|" +
		"requests|descriptors|times|inodes|names|commands|directories"
	wrong := regexp.MustCompile(`(?:^|[^\w.:])1 (?:(?:more|other|included|last|failed|open) )?(?:` + things +
		`|were|are|have)\b`)
	for _, text := range said {
		require.Empty(t, wrong.FindAllString(text, -1), text)
	}
	require.Regexp(t, wrong, "1 instances", "this test can fail")
}

// F156: 900 lines of `wait -q`.
func TestAQuietWaitIsShort(t *testing.T) {
	t.Parallel()
	list := make([]string, perSite-2)
	for n := range list {
		list[n] = fmt.Sprintf("i%d: mute; restart: {mode: never}", n)
	}
	s := newSite(t, "", list...)
	s.run()
	r := s.call("wait", "-q", "--timeout", "6s")
	require.Equal(t, exitTimeout, r.code)
	require.Empty(t, r.stdout)
	require.Equal(t, fewFailures+1, strings.Count(r.stderr, "\n"), r.stderr)
	require.Contains(t, r.stderr, fmt.Sprintf("and %d more like these", len(list)-fewFailures))
}

// F156, as the program says it: each was taken in, or pointed elsewhere.
func TestWhatMisleadsInAConfigurationIsNamed(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	for text, says := range map[string]string{
		"instances: [{id: a, args: [x], work_dir: ~/app}]":         s.config + ":1:42: ",
		"instances:\n  -\u00a0id: a\n    args: [x]\n":              "U+00A0",
		"instances:\n  - id: a\n    args: [x\n    enabled: true\n": "    enabled: true\n    ^",
	} {
		require.NoError(t, os.WriteFile(s.config, []byte(text), 0o600))
		for _, command := range []string{"validate", "run"} {
			r := s.call(command)
			require.Equal(t, exitFailed, r.code)
			require.Contains(t, r.stderr, says, "%s of %s", command, text)
		}
	}
	require.NoError(t, os.WriteFile(s.config, []byte("instances: [{id: a, args: ['{port}']}]"), 0o600))
	require.Contains(t, s.ok("validate"), "ok, 1 instance\n", "what args does not use is not asked for")
	require.NoError(t, os.WriteFile(s.config, []byte("instances: [{id: a, args: ['{wasm_path}']}]"), 0o600))
	require.Contains(t, s.call("validate").stderr, "wasm_path")
}
