package cli

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
	"procman/supervisor/api"
)

// resident returns the resident memory of a process in MiB.
func resident(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(text), "VmRSS:")
	require.True(t, found)
	var kib int
	_, err = fmt.Sscan(rest, &kib)
	require.NoError(t, err)
	return kib >> 10
}

// 100 who follow output, 100 who follow events, and one that reads neither.
func TestHundredsOfReadersDisturbNobody(t *testing.T) {
	s := newSite(t, "output: {max_size: 256KiB}", "loud: chatter", "fine: serve", "other: serve")
	d := s.run()
	s.ok("wait")
	socket := s.dir + "/state/procman.sock"
	before := resident(t, d.cmd.Process.Pid)
	pid := s.instance("fine").PID

	ctx, cancel := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	var lines, events, broken atomic.Int64
	var heard sync.WaitGroup // each reader has heard something
	const each = 100
	heard.Add(2 * each)
	for range each {
		readers.Go(func() {
			c := api.NewClient(socket)
			defer c.Close()
			first := sync.OnceFunc(heard.Done)
			defer first() // who hears nothing is broken, and waited for by nobody
			last := 0
			for line, err := range c.Logs(ctx, messages.OutputQuery{ID: "loud", Stream: messages.Stdout, Lines: 1,
				Follow: true}) {
				var n int
				if err != nil {
					broken.Add(1)
					continue
				}
				if _, err := fmt.Sscanf(line.Text, "line %d", &n); err == nil {
					if last != 0 && n != last+1 {
						broken.Add(1)
					}
					last = n
					lines.Add(1)
					first()
				}
			}
		})
		readers.Go(func() {
			c := api.NewClient(socket)
			defer c.Close()
			first := sync.OnceFunc(heard.Done)
			defer first()
			for _, err := range c.Events(ctx, messages.EventQuery{Last: 1, Follow: true}) {
				if err != nil {
					broken.Add(1)
					continue
				}
				events.Add(1)
				first()
			}
		})
	}
	for _, path := range []string{"/v1/instances/loud/logs?follow=true", "/v1/events"} {
		conn, err := net.Dial("unix", socket)
		require.NoError(t, err)
		_, err = io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: procman\r\n\r\n")
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() }) // it may have been dropped
	}
	heard.Wait()
	from := lines.Load()
	began := time.Now()
	for range 5 {
		s.ok("restart", "other", "--wait")
	}
	took := time.Since(began)
	s.eventually("lines go on coming", func() bool { return lines.Load() > from+each*20 })
	s.eventually("each has heard of every restart", func() bool { return events.Load() >= each*5*4 })
	during := resident(t, d.cmd.Process.Pid)
	fine := s.instance("fine")
	require.Equal(t, pid, fine.PID)
	require.Zero(t, fine.ConsecutiveFailures)
	require.True(t, fine.LastProbe.OK)
	require.Less(t, fine.LastProbe.Latency, time.Second)
	cancel()
	readers.Wait()
	require.Zero(t, broken.Load(), "no gap, no error")
	t.Logf("%d lines and %d events read; 5 restarts took %v; the daemon's memory: %d MiB before, %d MiB with 200 "+
		"readers, %d MiB after",
		lines.Load(), events.Load(), took, before, during, resident(t, d.cmd.Process.Pid))
	require.Less(t, during, before+100)
}
