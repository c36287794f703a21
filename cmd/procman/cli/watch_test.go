package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/cmd/procman/daemon"
	"procman/messages"
	"procman/supervisor/api"
	"procman/test/fake"
)

// gallery is a viewer and what it wrote since it was asked last.
type gallery struct {
	viewer
	out, errs bytes.Buffer
}

func newGallery(f format, terminal bool) *gallery {
	g := &gallery{}
	g.viewer = viewer{app: &app{output: f, Options: daemon.Options{Stdout: &g.out, Stderr: &g.errs,
		Env: func(string) string { return "" }}}, terminal: terminal, to: &g.out}
	return g
}

func (g *gallery) shows(t *testing.T, why error, statuses ...messages.Status) string {
	t.Helper()
	g.out.Reset()
	require.NoError(t, g.see(picture{Document: api.Document{Schema: 1, Instances: statuses}, why: why}))
	return g.out.String()
}

func moment(ago time.Duration) *time.Time { t := time.Now().Add(-ago); return &t }

func watched(id messages.InstanceID, ago time.Duration) messages.Status {
	return messages.Status{ID: id, Phase: messages.Running, Health: messages.Healthy, PID: 812, StartedAt: moment(ago),
		HealthySince: moment(ago),
		LastExit:     &messages.Exit{Code: 1, Known: true, At: *moment(ago)},
		LastProbe:    &messages.Probe{OK: true, Status: 200, Latency: ago, At: *moment(ago)}}
}

func TestATimeThatPassesIsNoChange(t *testing.T) {
	for _, f := range []format{formatTable, formatWide, formatJSON, formatLines} {
		g := newGallery(f, false)
		require.Contains(t, g.shows(t, nil, watched("a", time.Hour)), "running", f)
		require.Empty(t, g.shows(t, nil, watched("a", time.Minute)), f)
		sick := watched("a", time.Minute)
		sick.LastProbe.Error = "refused"
		require.NotEmpty(t, g.shows(t, nil, sick), f)
		sick.Health = messages.NotHealthy
		require.Contains(t, g.shows(t, nil, sick), "unhealthy", f)
	}
}

func TestLinesTellOnlyOfWhatHasChanged(t *testing.T) {
	g := newGallery(formatLines, true)
	require.Equal(t, 3, strings.Count(g.shows(t, nil, watched("a", 0), watched("b", 0), watched("c", 0)), "\n"))
	b := watched("b", 0)
	b.Phase = messages.Stopping
	var said messages.Status
	require.NoError(t, json.Unmarshal([]byte(g.shows(t, nil, watched("a", 0), b, watched("c", 0))), &said))
	require.Equal(t, messages.InstanceID("b"), said.ID)
	require.NoError(t, json.Unmarshal([]byte(g.shows(t, nil, watched("a", 0), b)), &said))
	require.Equal(t, []any{messages.InstanceID("c"), messages.Stopped, 0, "no longer known"},
		[]any{said.ID, said.Phase, said.PID, said.Reason})
	require.Empty(t, g.shows(t, nil, watched("a", 0), b), "that is said once")
	require.Equal(t, 1, strings.Count(g.shows(t, nil, watched("a", 0), b, watched("c", 0)), "\n"))
}

func TestATableOnATerminalIsDrawnInPlace(t *testing.T) {
	g := newGallery(formatTable, true)
	first := g.shows(t, nil, watched("a", time.Hour))
	require.True(t, strings.HasPrefix(first, "\x1b[H\x1b[2JID "), first)
	again := g.shows(t, nil, watched("a", time.Minute))
	require.True(t, strings.HasPrefix(again, "\x1b[HID "), "the time up goes on")
	require.True(t, strings.HasSuffix(again, "\x1b[K\n\x1b[J"))
	require.Contains(t, g.shows(t, errors.New("nobody there"), watched("a", 0)), "nobody there; from the records")
	require.Empty(t, g.errs.String(), "nothing is written across the table")
}

func TestTheEndOfTheDaemonIsSaidOnceAndItsReturnToo(t *testing.T) {
	g := newGallery(formatTable, false)
	g.shows(t, nil, watched("a", 0))
	for range 2 {
		g.shows(t, errors.New("nobody there"), watched("a", 0))
	}
	require.Equal(t, 1, strings.Count(g.errs.String(), "nobody there"))
	require.Contains(t, g.shows(t, nil, watched("a", 0)), "running", "who supervises is a change")
	require.Equal(t, 1, strings.Count(g.errs.String(), "answers again"))
	g = newGallery(formatJSON, false)
	g.shows(t, nil)
	require.Contains(t, g.shows(t, errors.New("nobody there")), `"supervised": false`)
}

func TestAWatchOutlivesTheDaemon(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "a: serve", "b: serve")
	d := s.run()
	s.ok("start", "--all", "--wait")
	cmd := exec.Command(binary, "-c", s.config, "status", "--watch", "-o", "jsonl", "a")
	var out, diagnostics fake.Journal
	cmd.Stdout, cmd.Stderr = &out, &diagnostics
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	says := func(what string) { s.eventually(what, func() bool { return strings.Contains(out.String(), what) }) }
	says(`"health":"healthy"`)
	d.signal(syscall.SIGKILL)
	d.ends()
	says(`"reason":"unsupervised: no daemon; the process runs on"`)
	s.run()
	says(`"adopted":true`)
	require.Contains(t, diagnostics.String(), "until a daemon answers")
	require.NotContains(t, out.String(), `"id":"b"`)
}
