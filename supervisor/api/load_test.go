package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/actors/output"
	"procman/messages"
)

// flood writes numbered lines to stdout until the context ends, as fast as all readers of them take them: on no machine
// has one of those more before it than its socket holds, so that none has to wait for room. Nobody is waited for with
// stderr.
func flood(ctx context.Context, t *testing.T, stdout, stderr *os.File, seen []atomic.Int64) {
	const batch, ahead = 50, 50
	noise := bytes.Repeat([]byte("something that only one asked for, who does not read it\n"), 1000)
	var lines []byte
	for i := 1; ctx.Err() == nil; i++ {
		if lines = fmt.Appendf(lines, "line %08d of a flood that nobody asked for\n", i); i%batch != 0 {
			continue
		}
		_, err1 := stdout.Write(lines)
		_, err2 := stderr.Write(noise)
		if err := errors.Join(err1, err2); err != nil {
			t.Error(err)
			return
		}
		lines = lines[:0]
		for n := range seen {
			for ctx.Err() == nil && seen[n].Load() < int64(i-ahead) {
				time.Sleep(time.Millisecond)
			}
		}
	}
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what pools gave up in the first one
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestAHundredReadersOfAFloodAreServedBesideOneWhoDoesNotRead holds a real flood, whose file loses its head all the
// time, against many readers.
func TestAHundredReadersOfAFloodAreServedBesideOneWhoDoesNotRead(t *testing.T) {
	readers, enough := 100, 300
	if testing.Short() {
		readers = 20
	}
	w := newWorld("web")
	dir := messages.StateDir(shortDir(t))
	require.NoError(t, os.MkdirAll(dir.Instance("web"), 0o700))
	stdout, err := os.OpenFile(dir.Stdout("web"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	require.NoError(t, err)
	stderr, err := os.OpenFile(dir.Stderr("web"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	require.NoError(t, err)
	outputs, err := output.New(dir, output.Options{MaxSize: 64 << 10})
	require.NoError(t, err)
	outputs.Follow("web", 1, os.Getpid())
	w.logs = outputs.Read
	socket, s, c := w.serve(t, func(o *Options) { o.streams, o.Connections, o.writeTimeout = 512, 1024, 5*time.Second })
	require.NoError(t, c.Healthy(t.Context()))
	before := heap()

	flooding, stop := context.WithCancel(t.Context())
	var work sync.WaitGroup
	seen := make([]atomic.Int64, readers)
	work.Go(func() { flood(flooding, t, stdout, stderr, seen) })
	dead, err := net.Dial("unix", socket)
	require.NoError(t, err)
	_, err = io.WriteString(dead, "GET /v1/instances/web/logs?follow=true HTTP/1.1\r\nHost: procman\r\n\r\n")
	require.NoError(t, err)

	ctx, leave := context.WithTimeout(t.Context(), 2*time.Minute)
	defer leave()
	var served sync.WaitGroup
	var mu sync.Mutex
	lines, skips, slowest := 0, 0, time.Duration(0)
	began := time.Now()
	for r := range readers {
		served.Add(1)
		work.Go(func() {
			got, skipped, last := 0, 0, 0
			for line, err := range c.Logs(ctx, messages.OutputQuery{ID: "web", Lines: 10, Stream: messages.Stdout,
				Follow: true}) {
				if err != nil {
					t.Error(err)
					break
				}
				if line.Skipped != 0 {
					skipped++
					last = 0
					continue
				}
				var n int
				if _, err := fmt.Sscanf(line.Text, "line %d of a flood", &n); err != nil || last != 0 && n != last+1 {
					t.Errorf("%q after line %d", line.Text, last)
					break
				}
				seen[r].Store(int64(n))
				if last, got = n, got+1; got == enough {
					mu.Lock()
					slowest = max(slowest, time.Since(began))
					mu.Unlock()
					served.Done()
				}
			}
			if got < enough {
				served.Done()
			}
			mu.Lock()
			lines, skips = lines+got, skips+skipped
			mu.Unlock()
		})
	}
	served.Wait()
	require.NoError(t, ctx.Err(), "not all were served")
	stop()
	require.Eventually(t, func() bool { return len(s.streams) == readers }, time.Minute, 10*time.Millisecond,
		"the one who does not read goes")
	meanwhile := heap()
	leave()
	work.Wait()
	require.Eventually(t, func() bool { return len(s.streams) == 0 }, time.Minute, time.Millisecond)
	require.NoError(t, dead.Close())
	c.Close()
	require.NoError(t, outputs.Close())
	require.NoError(t, errors.Join(stdout.Close(), stderr.Close()))
	var after uint64
	require.Eventually(t, func() bool { after = heap(); return after < before+2<<20 }, time.Minute, 50*time.Millisecond,
		"the memory comes back")
	t.Logf("%d readers: %d lines, %d skips; each had %d lines after %v; heap in KiB: %d before, %d with all, %d after",
		readers, lines, skips, enough, slowest.Round(time.Millisecond), before>>10, meanwhile>>10, after>>10)
}
