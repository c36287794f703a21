package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"procman/cmd/procman/doctor"
)

func TestAReportHasALineForEveryCheckAndSaysWhatToDo(t *testing.T) {
	findings := []doctor.Finding{
		{Check: "open files", Verdict: doctor.OK, What: "1048576, 1203 needed"},
		{Check: "pid 1", Verdict: doctor.Fault, What: "bad\x1b[31m", Means: "worse", Do: "one\ntwo"},
	}
	require.Equal(t, strings.TrimPrefix(`
ok       open files  1048576, 1203 needed
fault    pid 1       bad[31m
         means: worse
         do:    one
                two
`, "\n"), report(findings, false))
	require.Contains(t, report(findings, true), "\x1b[31mfault  \x1b[0m  pid 1")
}

// findings returns what the doctor says, by check. Whether this host has faults of its own is not for a test to say:
// the exit code must agree with what is said.
func (s *site) findings() map[string]doctor.Finding {
	s.t.Helper()
	r := s.call("doctor", "-o", "json")
	var document struct {
		Schema   int
		Findings []doctor.Finding
	}
	require.NoError(s.t, json.Unmarshal([]byte(r.stdout), &document))
	require.Equal(s.t, 1, document.Schema)
	all, code := map[string]doctor.Finding{}, 0
	for _, f := range document.Findings {
		all[f.Check] = f
		if f.Verdict == doctor.Fault {
			code = exitFailed
		}
	}
	require.Equal(s.t, code, r.code, r.stdout+r.stderr)
	require.Len(s.t, all, len(document.Findings))
	return all
}

func TestTheDoctorExaminesTheDaemonOrWhatOneWouldGet(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "a: serve", "b: serve")
	before := s.findings()
	require.Contains(t, before["daemon"].What, "none answers at "+filepath.Join(s.dir, "state", "procman.sock"))
	require.Contains(t, before["state directory"].What, "does not exist yet")
	require.NoDirExists(t, filepath.Join(s.dir, "state"), "it makes nothing")
	require.NotContains(t, before["open files"].What, "open now")

	d := s.run()
	s.ok("start", "--all", "--wait")
	during := s.findings()
	require.Contains(t, during["daemon"].What, "pid "+strconv.Itoa(d.cmd.Process.Pid)+" answers")
	require.Contains(t, during["open files"].What, "open now")
	require.Contains(t, during["processes"].What, "measured")
	require.Equal(t, doctor.OK, during["state directory"].Verdict, during["state directory"].What)
	require.Len(t, during, len(before))
	left, err := filepath.Glob(filepath.Join(s.dir, "state", ".procman-doctor*"))
	require.NoError(t, err)
	require.Empty(t, left)

	require.Equal(t, len(during), strings.Count(s.call("doctor", "-o", "jsonl").stdout, "\n"))
	require.NotRegexp(t, `(?m)^ok`, s.call("doctor", "-q").stdout)
	require.Regexp(t, `(?m)^ok +open files +`, s.call("doctor").stdout)

	r := s.call("doctor", "--socket", filepath.Join(s.dir, "state", "procman.sock"))
	require.Contains(t, r.stdout, "answers at")
}

func TestAFaultIsExitCode1(t *testing.T) {
	t.Parallel()
	s := newSite(t, "socket: "+strings.Repeat("x", 100), "a: serve")
	f := s.findings()["configuration"]
	require.Equal(t, doctor.Fault, f.Verdict)
	require.Contains(t, f.What, "can have 99")

	s.write("nonsense: 1", "a: serve")
	f = s.findings()["configuration"]
	require.Equal(t, doctor.Fault, f.Verdict)
	require.Contains(t, f.What, s.config+":5:1: ")
	require.Equal(t, "procman validate -c "+s.config, f.Do)
}

func TestADaemonWithAnotherStateDirectoryIsAFault(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "a: serve")
	s.run()
	text, err := os.ReadFile(s.config)
	require.NoError(t, err)
	changed := strings.Replace(string(text), "state_dir: state", "socket: state/procman.sock\nstate_dir: elsewhere", 1)
	require.NoError(t, os.WriteFile(s.config, []byte(changed), 0o600))
	r := s.call("doctor")
	require.Equal(t, exitFailed, r.code)
	require.Regexp(t, `(?m)^fault +daemon +.*uses the state directory `+s.dir+`/state; the configuration says `+
		s.dir+`/elsewhere$`, r.stdout)
}

func TestTheDaemonLogsWhatPutsAdoptionAtRisk(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	d := s.run()
	said := func() int { return strings.Count(d.log.String(), `"msg":"adoption is at risk","check":"pid 1"`) }
	if s.findings()["pid 1"].Verdict == doctor.OK {
		s.ok("shutdown")
		require.Zero(t, d.ends())
		require.Zero(t, said())
		return
	}
	s.eventually("it is logged", func() bool { return said() == 1 })
}
