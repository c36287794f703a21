package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/cmd/procman/daemon"
	"procman/messages"
	"procman/supervisor/api"
	"procman/test/fake"
)

func (s *site) why(id string) api.Why {
	s.t.Helper()
	var w api.Why
	require.NoError(s.t, json.Unmarshal([]byte(s.ok("why", id, "-o", "json")), &w))
	return w
}

func TestWhyLeavesNoQuestionOpen(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "fine: serve", "crashing: fail", "held: serve", "mute: mute",
		"missing: serve; executable: ./nowhere", "off: serve; enabled: false",
		"once: fail; restart: {mode: never}", "sick: serve; health: {kind: command, command: [sh, -c, echo no route; "+
			"exit 7]}")
	s.run()
	s.ok("wait", "fine", "held", "--timeout", "1m")
	s.ok("stop", "held", "--wait")
	s.eventually("a second crash", func() bool { return s.instance("crashing").ConsecutiveFailures >= 2 })

	w := s.why("crashing")
	require.Equal(t, "exited with code 3", w.Instance.LastExit.String())
	require.Equal(t, messages.ReasonExit, w.Instance.LastExit.Reason)
	require.Equal(t, "it ended by itself", w.Exit)
	require.NotEmpty(t, w.Stderr, "what it said before it ended")
	require.Equal(t, "no reason", w.Stderr[len(w.Stderr)-1].Text)
	require.Equal(t, w.Instance.ConsecutiveFailures, w.Attempt)
	require.Contains(t, w.Command, "-port")
	require.NotEmpty(t, w.Events)
	text := s.ok("why", "crashing")
	for _, said := range []string{"crashing is down and waits for restart attempt", "exited with code 3",
		"(exit: it ended by itself)", "it is started again", "`procman start crashing`",
		"last lines of stderr before that exit\n  no reason\n", "last probes\n", "what happened last\n",
		"instance restarting in "} {
		require.Contains(t, text, said)
	}
	require.Less(t, strings.Count(text, "\n"), 50, "one screen")

	for id, said := range map[string]string{
		"fine":    "fine is running and healthy, for ",
		"held":    fmt.Sprintf("held is held down: stopped by uid %d, ", os.Getuid()),
		"mute":    "mute has been started ",
		"missing": "missing is down and waits for restart attempt ",
		"off":     "off is disabled in the configuration",
		"once":    "once was given up: exited with code 3; restart mode is never",
	} {
		require.Contains(t, s.ok("why", id), said)
	}
	s.eventually("a check has failed", func() bool { return strings.Contains(s.ok("why", "sick"), "FAIL") })
	require.Contains(t, s.ok("why", "sick"), "health.command exited with code 7: no route\n",
		"once, and not as what it wrote, too")
	require.Contains(t, s.ok("why", "missing"), "executable missing: ")
	require.Contains(t, s.ok("why", "mute"), "connection refused")
	require.Contains(t, s.ok("why", "fine"), "  ok    200 ")
	require.Contains(t, s.ok("why", "held"), fmt.Sprintf("uid %d: stop", os.Getuid()))

	r := s.call("why", "crashin")
	require.Equal(t, exitUnknown, r.code)
	require.Contains(t, r.stderr, `did you mean "crashing"?`)
}

// eventsOf returns the events that a call of the command gives.
func (s *site) eventsOf(args ...string) []messages.Event {
	s.t.Helper()
	var list []messages.Event
	for d := json.NewDecoder(strings.NewReader(s.ok(append([]string{"events", "-o", "jsonl"},
		args...)...))); d.More(); {
		var e messages.Event
		require.NoError(s.t, d.Decode(&e))
		list = append(list, e)
	}
	return list
}

func TestEventsSayWhoDidWhatAndOutliveTheDaemon(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "a: serve", "b: serve")
	r := s.run()
	s.ok("wait")
	s.ok("restart", "a", "--wait")
	s.ok("stop", "b", "--wait")
	me := fmt.Sprintf("uid %d", os.Getuid())
	var did []string
	first := s.eventsOf()
	for _, e := range first {
		if e.By == me {
			did = append(did, fmt.Sprintf("%s %s %s", e.What, e.Command, e.ID))
		}
	}
	require.Equal(t, []string{"operator restart a", "instance stopping  a", "operator stop b", "instance stopping  b"},
		did)
	require.Equal(t, messages.ManagerStarted, first[0].What)
	require.Equal(t, messages.ByConfiguration, first[1].By)
	require.Equal(t, messages.ConfigApplied, first[1].What)

	// Somebody follows, and the daemon is killed and started again.
	follow := exec.Command(binary, "-c", s.config, "events", "-f", "-o", "jsonl", "--since",
		fmt.Sprint(first[2].Cursor))
	out, err := follow.StdoutPipe()
	require.NoError(t, err)
	stderr := &fake.Journal{}
	follow.Stderr = stderr
	require.NoError(t, follow.Start())
	d := json.NewDecoder(out)
	next := func() (e messages.Event) {
		t.Helper()
		require.NoError(t, d.Decode(&e), stderr.String())
		return e
	}
	for _, want := range first[3:] {
		require.Equal(t, want, next())
	}
	require.NoError(t, r.cmd.Process.Kill())
	<-r.done
	s.eventually("it is said", func() bool {
		return strings.Contains(stderr.String(), "the daemon does not answer; "+
			"waiting for it")
	})
	r = s.run()
	last := first[len(first)-1].Cursor
	seen := map[messages.EventType]int{}
	for seen[messages.InstanceAdopted] == 0 || seen[messages.ConfigApplied] == 0 {
		e := next()
		require.Greater(t, e.Cursor, last, "nothing twice")
		last = e.Cursor
		seen[e.What]++
	}
	require.Equal(t, map[messages.EventType]int{messages.ManagerStarted: 1, messages.InstanceAdopted: 1,
		messages.ConfigApplied: 1}, seen)
	require.NoError(t, follow.Process.Signal(os.Interrupt))
	_ = follow.Wait() // how it ends on an interrupt is not the point
	require.Contains(t, stderr.String(), "the daemon does not answer; waiting for it")

	held := s.instance("b")
	require.True(t, held.Held)
	require.Contains(t, held.Reason, "stopped by "+me, "who held it is remembered")

	s.ok("shutdown")
	require.Zero(t, r.ends())
	s.run()
	var ended []string
	for _, e := range s.eventsOf("-n", "12") {
		if e.ID == "" {
			ended = append(ended, strings.TrimSpace(fmt.Sprintf("%s %s", e.What, e.Command)))
		}
	}
	require.Contains(t, strings.Join(ended, ", "),
		"operator shutdown, manager stopped, manager started, config applied")
}

func TestEventsOfSomeInstances(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "a: serve", "b: serve", "c: serve")
	s.run()
	s.ok("wait")
	for _, e := range s.eventsOf("a") {
		require.Equal(t, messages.InstanceID("a"), e.ID)
	}
	ids := map[messages.InstanceID]bool{}
	for _, e := range s.eventsOf("a", "b") {
		ids[e.ID] = true
	}
	require.Equal(t, map[messages.InstanceID]bool{"a": true, "b": true}, ids)
	require.Len(t, s.eventsOf("-n", "2"), 2)
	require.Empty(t, s.eventsOf("-n", "0"))
	require.Empty(t, s.eventsOf("--since", "1ns"))
	require.Regexp(t, `(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  a  instance ready \(run 1, pid \d+, port \d+\)$`,
		s.ok("events", "a"))
	var d struct {
		Schema int
		Events []messages.Event
	}
	require.NoError(t, json.Unmarshal([]byte(s.ok("events", "-o", "json")), &d))
	require.Equal(t, api.Schema, d.Schema)
	require.NotEmpty(t, d.Events)
	require.Equal(t, exitUsage, s.call("events", "--since", "yesterday").code)
}

func TestWaitReturnsWhenAllAreThere(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "a: serve", "b: serve", "off: serve; enabled: false")
	s.run()
	s.ok("wait", "--timeout", "1m")
	require.Equal(t, messages.Healthy, s.instance("a").Health)
	require.Equal(t, exitTimeout, s.call("wait", "a", "--for", "stopped", "--timeout", "100ms").code)
	s.ok("stop", "a")
	s.ok("wait", "a", "--for", "stopped", "--timeout", "1m")
	require.Equal(t, exitNotHealthy, s.call("wait", "a", "--timeout", "1m").code,
		"held: it will not get there by itself")
	s.ok("wait", "--timeout", "1m")
	require.Equal(t, exitUnknown, s.call("wait", "c").code)
	require.Equal(t, exitUsage, s.call("wait", "--for", "lunch").code)
	done := make(chan int, 1)
	go func() { done <- s.call("wait", "a", "--for", "running", "--timeout", "1m").code }()
	s.ok("start", "a")
	select {
	case <-done: // 3 if it asked before the start, 0 if after; either way it returns
	case <-time.After(time.Minute):
		require.Fail(t, "wait does not return")
	}
}

// F150: the reason was on stdout, and `why` showed stderr only, and lines of earlier runs.
func TestWhyShowsWhatTheRunThatEndedSaidOnEitherStreamAndNoOtherRun(t *testing.T) {
	t.Parallel()
	s := newSite(t, "restart: {initial: 100ms, max: 100ms, jitter: 0, max_attempts: 3}", "a: grumble")
	s.run()
	s.eventually("it is given up", func() bool { return s.instance("a").Phase == messages.Failed })
	said := s.ok("why", "a")
	require.Contains(t, said, "last lines of stdout before that exit\n")
	require.Contains(t, said, "address already in use")
	require.NotContains(t, said, "last lines of stderr", "there are none")
	require.Equal(t, 1, strings.Count(said, "starting, run"), said)
	require.Contains(t, said, fmt.Sprintf("starting, run %d\n", s.instance("a").Run))
}

func TestTheStreamThatTellsMoreComesFirst(t *testing.T) {
	text := func(stderr, stdout string) string {
		var s sheet
		s.streams("now", []messages.OutputLine{{Text: stderr}}, []messages.OutputLine{{Text: stdout}})
		return s.String()
	}
	require.Less(t, strings.Index(text("a warning", "panic: x"), "panic"),
		strings.Index(text("a warning", "panic: x"), "warning"))
	require.Less(t, strings.Index(text("a warning", "hello"), "warning"),
		strings.Index(text("a warning", "hello"), "hello"))
}

// F151
func TestAMovedOutputFileIsReadOnAndSaid(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "a: chatter")
	s.run()
	s.ok("start", "a", "--wait")
	log := filepath.Join(s.dir, "state", "instances", "a", "stdout.log")
	require.NoError(t, os.Rename(log, log+".1"))
	s.eventually("it is said", func() bool {
		return strings.Contains(s.ok("why", "a"), "output moved: stdout.log was moved or removed")
	})
	before := s.ok("logs", "a", "-n", "1", "--stream", "stdout")
	require.Contains(t, before, "line ")
	s.eventually("it goes on", func() bool { return s.ok("logs", "a", "-n", "1", "--stream", "stdout") != before })
	s.ok("restart", "a", "--wait")
	_, err := os.Stat(log)
	require.NoError(t, err)
	require.Contains(t, s.ok("logs", "a"), "line 1\n")
}

// F154: a server without SO_REUSEADDR loops on EADDRINUSE, and nobody said that procman holds the port.
func TestAnInstanceThatCannotBindTheHeldPortIsToldSo(t *testing.T) {
	t.Parallel()
	s := newSite(t, "restart: {initial: 100ms, max: 100ms}", "a: grumble")
	d := s.run()
	s.eventually("it is logged", func() bool {
		return strings.Contains(d.log.String(), `"msg":"an instance finds its address in use","instance":"a"`)
	})
	require.Equal(t, 1, strings.Count(d.log.String(), "an instance finds its address in use"), "once")
	require.Contains(t, s.ok("why", "a"), "procman keeps that bound for it (ports.hold)")
	require.Contains(t, s.ok("why", "a"), "`ports: {hold: false}`")
	text, err := os.ReadFile(s.config)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(s.config, []byte(strings.Replace(string(text), "ports: {", "ports: {hold: false, ",
		1)), 0o600))
	s.ok("reload")
	require.NotContains(t, s.ok("why", "a"), "ports.hold", "it is not held any more")
}

// F156: validate takes <(...), and run refused it without the reason.
func TestADaemonDoesNotRunByAPipeAndSaysWhy(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	text, err := os.ReadFile(s.config)
	require.NoError(t, err)
	for _, c := range []struct {
		command, says string
		code          int
	}{{"validate", "ok, 0 instances", 0}, {"run", "/dev/fd/3 can be read once only", 1}} {
		read, write, err := os.Pipe()
		require.NoError(t, err)
		_, err = write.Write(text) // there is room for it
		require.NoError(t, errors.Join(err, write.Close()))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		cmd := exec.CommandContext(ctx, binary, "-c", "/dev/fd/3", c.command)
		cmd.ExtraFiles = []*os.File{read}
		said, _ := cmd.CombinedOutput()
		cancel()
		require.NoError(t, read.Close())
		require.Contains(t, string(said), c.says)
		require.Equal(t, c.code, cmd.ProcessState.ExitCode())
	}
}

func TestOfVeryManyFailuresSomeAreShown(t *testing.T) {
	outcomes := make([]outcome, 900)
	for n := range outcomes {
		outcomes[n] = outcome{status: messages.Status{ID: messages.InstanceID(fmt.Sprint("i", n))},
			err: exit{exitTimeout, errors.New("not healthy")}}
	}
	for quiet, lines := range map[bool]int{false: mostFailures + 1, true: fewFailures + 1} {
		var stderr strings.Builder
		c := control{app: &app{Options: daemon.Options{Stderr: &stderr, Quiet: quiet}}}
		require.Equal(t, exitTimeout, codeOf(c.sum(outcomes)))
		require.Equal(t, lines, strings.Count(stderr.String(), "\n"))
		require.Contains(t, stderr.String(), fmt.Sprintf("and %d more like these", 900-lines+1))
	}
}
