package cli

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/cmd/procman/daemon"
	"procman/messages"
	"procman/supervisor/api"
)

func TestWithoutADaemonStatusShowsWhatRunsOn(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "guestbook: serve", "counter: serve", "held: serve")
	d := s.run()
	s.ok("start", "--all", "--wait")
	s.ok("stop", "held", "--wait")
	before := s.status().Instances
	d.signal(syscall.SIGKILL)
	d.ends()

	r := s.call("status")
	require.Equal(t, exitUnreachable, r.code)
	require.Contains(t, r.stderr, filepath.Join(s.dir, "state", "procman.sock"))
	require.Contains(t, r.stderr, "`procman run -c "+s.config+"` starts one")
	require.Regexp(t,
		`(?m)^guestbook +running +unknown +\d+ +\d+ +0 +\d+s +unsupervised: no daemon; the process runs on$`, r.stdout)
	require.Regexp(t, `(?m)^held +stopped +unknown +- +- .*held: stopped by .+ at `, r.stdout)

	for n, after := range s.unsupervised(t).Instances {
		b := before[n]
		require.Equal(t, []any{b.ID, b.Phase, b.PID, b.Port, b.Run, b.Restarts, b.Held, b.WasmPath, b.DbName},
			[]any{after.ID, after.Phase, after.PID, after.Port, after.Run, after.Restarts, after.Held, after.WasmPath,
				after.DbName})
		require.Equal(t, messages.HealthUnknown, after.Health)
	}
	counter := s.unsupervised(t, "counter").Instances
	require.Len(t, counter, 1)
	require.NoError(t, syscall.Kill(counter[0].PID, syscall.SIGKILL))
	s.eventually("it is gone", func() bool { return !slices.Contains(s.living(), counter[0].PID) })
	counter = s.unsupervised(t, "counter").Instances
	require.Equal(t, messages.Stopped, counter[0].Phase)
	require.Zero(t, counter[0].PID)
	require.Contains(t, counter[0].Reason, "while nobody watched")
	require.NotNil(t, counter[0].LastExit)

	r = s.call("status", "guestbok", "counter")
	require.Equal(t, exitUnreachable, r.code, "the daemon is what is missing")
	require.Contains(t, r.stderr, `no such instance: "guestbok"; did you mean "guestbook"?`)
	require.Contains(t, r.stdout, "counter")
	require.Equal(t, exitUnreachable, s.call("status", "--watch").code)

	s.run()
	require.Equal(t, before[1].PID, s.instance("guestbook").PID, "the look has disturbed nothing")
}

// unsupervised returns the document of a status without a daemon.
func (s *site) unsupervised(t *testing.T, ids ...string) (d unsupervised) {
	t.Helper()
	r := s.call(append([]string{"status", "-o", "json"}, ids...)...)
	require.Equal(t, exitUnreachable, r.code)
	var keys map[string]any
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &keys))
	require.Contains(t, keys, "manager")
	require.Nil(t, keys["manager"])
	require.Equal(t, false, keys["supervised"])
	require.EqualValues(t, 1, keys["schema"])
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &d))
	return d
}

func TestADaemonThatHasTheDirectoryAndDoesNotAnswerIsNamed(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "a: serve")
	d := s.run()
	s.ok("start", "a", "--wait")
	require.NoError(t, d.cmd.Process.Signal(syscall.SIGSTOP)) // it would make the socket again
	defer func() { _ = d.cmd.Process.Signal(syscall.SIGCONT) }()
	require.NoError(t, os.Remove(filepath.Join(s.dir, "state", "procman.sock")))
	r := s.call("status")
	require.Equal(t, exitUnreachable, r.code)
	require.Regexp(t, `process `+strconv.Itoa(d.cmd.Process.Pid)+` has the state directory `, r.stderr)
	require.NotContains(t, r.stderr, "starts one", "a second daemon could not have it")
}

func TestASocketByItsUsualNameTellsTheStateDirectory(t *testing.T) {
	at, err := (&app{Options: daemon.Options{Socket: "/x/y/procman.sock", Env: os.Getenv}}).place()
	require.NoError(t, err)
	require.Equal(t, place{socket: "/x/y/procman.sock", dir: "/x/y", found: true}, at)
	at, err = (&app{Options: daemon.Options{Socket: "/x/y/other.sock", Env: os.Getenv}}).place()
	require.NoError(t, err)
	require.Empty(t, at.dir, "a socket of another name may lie anywhere")
}

func TestADaemonThatDoesNotAnswerInTimeCannotBeReached(t *testing.T) {
	dir, err := os.MkdirTemp("", "pm")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path) // it accepts in the backlog, and never answers
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	a := &app{Options: daemon.Options{Socket: path, Env: os.Getenv}}
	c := api.NewClient(path)
	defer c.Close()
	_, err = a.instances(t.Context(), c, 20*time.Millisecond)
	require.Equal(t, exitUnreachable, codeOf(err))
	require.ErrorContains(t, err, path+": it did not answer within 20ms")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = a.instances(ctx, c, time.Minute)
	require.Equal(t, exitTimeout, codeOf(err), "the caller's own time has run out")
}
