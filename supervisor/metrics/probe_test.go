package metrics

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
	"procman/supervisor"
	"procman/test/fake"
)

// script is a checker that gives one probe after the other, and the last one for ever.
type script struct{ left []messages.Probe }

func answering(probes ...messages.Probe) *script { return &script{probes} }

func (s *script) Check(context.Context, messages.Target) messages.Probe {
	p := s.left[0]
	if len(s.left) > 1 {
		s.left = s.left[1:]
	}
	return p
}

func TestAProbeIsMeasuredAndHandedOnAsItIs(t *testing.T) {
	c := New(Options{})
	c.Watch(many(1))
	want := messages.Probe{Status: 500, Latency: 40 * time.Millisecond, Error: "status 500", Body: "x", Conflict: true}
	got := c.Checker(answering(want)).Check(t.Context(), messages.Target{ID: "instance-00000"})
	require.Equal(t, want, got)
	s := scrape(t, c)
	require.EqualValues(t, 0, s[`procman_probe_duration_seconds_bucket{le="0.025"}`])
	require.EqualValues(t, 1, s[`procman_probe_duration_seconds_bucket{le="0.05"}`])
	require.EqualValues(t, 1, s[`procman_probe_failures_total{instance="instance-00000"}`])
}

func TestAProbeThatSaysNothingOfItsInstanceCountsNowhere(t *testing.T) {
	c := New(Options{})
	c.Watch(many(1))
	c.Checker(answering(messages.Probe{Void: true, Error: "no slot"})).Check(t.Context(),
		messages.Target{ID: "instance-00000"})
	over, cancel := context.WithCancel(t.Context())
	cancel() // the instance was stopped meanwhile
	c.Checker(answering(messages.Probe{Error: "context canceled"})).Check(over, messages.Target{ID: "instance-00000"})
	s := scrape(t, c)
	require.Zero(t, s["procman_probe_duration_seconds_count"])
	require.Zero(t, s[`procman_probe_failures_total{instance="instance-00000"}`])
}

// begun is a checker that makes many probes at a time.
type begun struct {
	*script
	done func(messages.Probe) // of the newest
}

func (b *begun) Begin(_ messages.Target, done func(messages.Probe)) (cancel func()) {
	b.done = done
	return func() {}
}

func TestProbesThatAreMadeManyAtATimeAreMeasuredLikeOthers(t *testing.T) {
	c := New(Options{})
	c.Watch(many(1))
	_, is := c.Checker(answering(messages.Probe{})).(supervisor.BatchChecker)
	require.False(t, is, "what the inner one cannot do is not promised")
	inner := &begun{}
	outer := c.Checker(inner).(supervisor.BatchChecker)
	var got []messages.Probe
	begin := func() (cancel func()) {
		return outer.Begin(messages.Target{ID: "instance-00000"}, func(p messages.Probe) { got = append(got, p) })
	}
	told := []messages.Probe{
		{OK: true, Latency: 40 * time.Millisecond}, {Error: "status 500", Latency: 40 * time.Millisecond},
		{Void: true, Error: "no slot"}, {Error: "broken off"},
	}
	for n, p := range told {
		cancel := begin()
		if n == 3 {
			cancel()
		}
		inner.done(p)
	}
	require.Equal(t, told, got, "they are handed on as they are")
	s := scrape(t, c)
	require.EqualValues(t, 2, s["procman_probe_duration_seconds_count"])
	require.EqualValues(t, 1, s[`procman_probe_failures_total{instance="instance-00000"}`])
}

func TestWhatAProcessUsesIsReadFromTheKernel(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("there is no /proc")
	}
	ballast := make([]byte, 8<<20)
	for n := range ballast {
		ballast[n] = byte(n)
	}
	for until := time.Now().Add(30 * time.Millisecond); time.Now().Before(until); { // burn some CPU time
		ballast[0]++
	}
	c := New(Options{})
	c.Watch(snapshot{"self": {ID: "self", PID: os.Getpid()}})
	s := scrape(t, c)
	runtime.KeepAlive(ballast)
	require.InDelta(t, s["process_cpu_seconds_total"], s[`procman_instance_cpu_seconds_total{instance="self"}`], 0.5)
	require.Positive(t, s[`procman_instance_cpu_seconds_total{instance="self"}`])
	require.Greater(t, s[`procman_instance_memory_bytes{instance="self"}`], float64(8<<20))
}

func TestAProcessThatCannotBeReadCostsItsOwnValuesOnlyAndIsLogged(t *testing.T) {
	proc := kernel(t, map[int][2]int{7: {100, 1}, 8: {1, 1}})
	require.NoError(t, os.WriteFile(filepath.Join(proc, "8", "stat"), []byte("nonsense"), 0o600))
	var log fake.Journal
	c := New(Options{proc: proc, Logger: textLog(&log)})
	c.Watch(snapshot{"a": {ID: "a", PID: 7}, "b": {ID: "b", PID: 8}, "c": {ID: "c", PID: 9}})
	s := scrape(t, c)
	require.EqualValues(t, 1, s[`procman_instance_cpu_seconds_total{instance="a"}`])
	for _, id := range []string{"b", "c"} {
		require.NotContains(t, s, `procman_instance_cpu_seconds_total{instance="`+id+`"}`)
		require.Contains(t, s, `procman_instance_up{instance="`+id+`"}`)
	}
	require.Contains(t, log.String(), "pid=8")
	require.NotContains(t, log.String(), "pid=9", "to be gone is no trouble")
}

func TestWhereTheKernelTellsNothingTheRestIsTold(t *testing.T) {
	c := New(Options{proc: "/nonexistent"})
	c.Watch(many(1))
	s := scrape(t, c)
	require.NotContains(t, s, `procman_instance_cpu_seconds_total{instance="instance-00000"}`)
	require.EqualValues(t, 1, s[`procman_instance_up{instance="instance-00000"}`])
}
