package main

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

	"procman/actors/spawn"
	"procman/messages"
	"procman/supervisor/api"
)

func TestWhatNobodySupervisesIsToldAsItIs(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	exited := messages.Exit{Code: 1, Known: true, Reason: messages.ReasonExit}
	alive := &messages.Survivor{Run: 4, PID: 812, Port: 30001, Alive: true}
	dead := &messages.Survivor{Run: 4, PID: 812, Port: 30001, Exit: exited}
	for name, c := range map[string]struct {
		trace  spawn.Trace
		phase  messages.Phase
		reason string
	}{
		"alive": {spawn.Trace{Survivor: alive, Memory: &messages.Memory{Run: 4, Phase: messages.Running}},
			messages.Running, "unsupervised: no daemon; the process runs on"},
		"alive and nothing remembered": {spawn.Trace{Survivor: alive}, messages.Starting, "unsupervised: no daemon; the process runs on"},
		"alive in a newer run": {spawn.Trace{Survivor: alive, Memory: &messages.Memory{Run: 3, Exited: true, Phase: messages.Backoff, Reason: "old"}},
			messages.Starting, "unsupervised: no daemon; the process runs on"},
		"alive and being stopped": {spawn.Trace{Survivor: alive, Memory: &messages.Memory{Run: 4, Phase: messages.Stopping, Reason: "not wanted"}},
			messages.Stopping, "unsupervised: no daemon; the process runs on; it was told to stop (not wanted)"},
		"alive and held": {spawn.Trace{Survivor: alive, Memory: &messages.Memory{Run: 4, Phase: messages.Stopping, Held: true, HeldBy: "uid 0"}},
			messages.Stopping, "unsupervised: no daemon; held: stopped by uid 0, but the process runs on"},
		"ended unseen": {spawn.Trace{Survivor: dead, Memory: &messages.Memory{Run: 4, Phase: messages.Running}},
			messages.Stopped, "unsupervised: exited with code 1 while nobody watched"},
		"ended unseen after what is remembered": {spawn.Trace{Survivor: dead, Memory: &messages.Memory{Run: 3, Exited: true, Phase: messages.Backoff}},
			messages.Stopped, "unsupervised: exited with code 1 while nobody watched"},
		"ended with the host": {spawn.Trace{Survivor: &messages.Survivor{Run: 4}, Memory: &messages.Memory{Run: 4, Phase: messages.Running, Rebooted: true}},
			messages.Stopped, "unsupervised: ended when the host was restarted"},
		"backoff, late": {spawn.Trace{Survivor: dead, Memory: &messages.Memory{Run: 4, Exited: true, Phase: messages.Backoff, Reason: "exited with code 1", DueAt: now.Add(-time.Minute)}},
			messages.Backoff, "unsupervised: was in backoff, next start was due 2026-01-02T03:03:05Z; exited with code 1"},
		"backoff": {spawn.Trace{Survivor: dead, Memory: &messages.Memory{Run: 4, Exited: true, Phase: messages.Backoff, DueAt: now.Add(time.Minute)}},
			messages.Backoff, "unsupervised: was in backoff, next start is due 2026-01-02T03:05:05Z"},
		"failed": {spawn.Trace{Memory: &messages.Memory{Run: 4, Exited: true, Phase: messages.Failed, Reason: "too often"}}, messages.Failed, "unsupervised: no daemon; too often"},
		"held": {spawn.Trace{ID: "a", Survivor: dead, Memory: &messages.Memory{Run: 4, Exited: true, Phase: messages.Stopped, Held: true, HeldBy: "uid 0", HeldAt: now}},
			messages.Stopped, "held: stopped by uid 0 at 2026-01-02T03:04:05Z; `procman start a` ends that, once a daemon runs"},
	} {
		t.Run(name, func(t *testing.T) {
			s := unwatched(c.trace, now)
			require.Equal(t, []any{c.phase, c.reason, messages.HealthUnknown}, []any{s.Phase, s.Reason, s.Health})
			v := c.trace.Survivor
			require.Equal(t, v != nil && v.Alive, s.PID == 812 && s.Port == 30001 && s.StartedAt != nil)
			require.Nil(t, s.NextStartAt, "nobody will start it")
		})
	}
	require.Equal(t, exited, *unwatched(spawn.Trace{Survivor: dead}, now).LastExit)
	require.Equal(t, 3, unwatched(spawn.Trace{Survivor: alive, Memory: &messages.Memory{Run: 4, Starts: 4, Counted: true}}, now).Restarts)
	require.Equal(t, 3, unwatched(spawn.Trace{Survivor: alive, Memory: &messages.Memory{Run: 3, Starts: 3, Counted: true}}, now).Restarts)
}

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
	require.Regexp(t, `(?m)^guestbook +running +unknown +\d+ +\d+ +0 +\d+s +unsupervised: no daemon; the process runs on$`, r.stdout)
	require.Regexp(t, `(?m)^held +stopped +unknown +- +- .*held: stopped by .+ at `, r.stdout)

	for n, after := range s.unsupervised(t).Instances {
		b := before[n]
		require.Equal(t, []any{b.ID, b.Phase, b.PID, b.Port, b.Run, b.Restarts, b.Held, b.WasmPath, b.DbName},
			[]any{after.ID, after.Phase, after.PID, after.Port, after.Run, after.Restarts, after.Held, after.WasmPath, after.DbName})
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
	at, err := (&app{socket: "/x/y/procman.sock"}).place()
	require.NoError(t, err)
	require.Equal(t, place{socket: "/x/y/procman.sock", dir: "/x/y", found: true}, at)
	at, err = (&app{socket: "/x/y/other.sock"}).place()
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
	a := &app{socket: path}
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
