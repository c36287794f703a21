package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestASoakLeavesNothingBehind: instances that crash again and again, edits, reloads, readers that come and go; first
// with upgrades, which inherit what is not closed, then under one program, whose memory counts. PROCMAN_SOAK says for
// how long.
func TestASoakLeavesNothingBehind(t *testing.T) { // FAULTS 98
	t.Parallel()
	last := 2 * time.Second
	if text := os.Getenv("PROCMAN_SOAK"); text != "" {
		var err error
		last, err = time.ParseDuration(text)
		require.NoError(t, err)
	}
	s := soak{newWorld(t), 0, map[string]int{}}
	for n := range 6 {
		s.declare(app{id: fmt.Sprintf("i%d", n), spec: "0"}, Control{Rate: 20})
	}
	s.write()
	s.start().up()
	s.converge(nil)
	s.round(true)
	s.round(false)
	first := s.quiet()
	for began := time.Now(); time.Since(began) < last/2; {
		s.round(true)
	}
	upgraded := s.quiet()
	s.round(false)
	before := s.quiet()
	for began := time.Now(); time.Since(began) < last/2; {
		s.round(false)
	}
	after := s.quiet()
	t.Logf("%d rounds, %v: first %+v, after the upgrades %+v, then %+v, and at the end %+v", s.rounds, s.did,
		first, upgraded, before, after)
	same := Allowance{Threads: 6, Goroutines: 3, Resident: 24 << 20}
	if v := append(Settled(first, upgraded, same), Settled(before, after, same)...); len(v) > 0 {
		s.fail(v)
	}
	lives := s.lives() // not for zombies: who ends during an upgrade is reaped by the successor
	if v := append(NeverTwo(lives), PortsApart(lives)...); len(v) > 0 {
		s.fail(v)
	}
	require.NotContains(t, s.daemon.log(), `"msg":"bug:`)
	s.judgeOutput()
}

type soak struct {
	*world
	rounds int
	did    map[string]int
}

// round makes a little of everything, and waits for what should come of it.
func (s *soak) round(upgrade bool) {
	s.Helper()
	s.rounds++
	ctx, leave := context.WithCancel(context.Background())
	var readers sync.WaitGroup
	for _, path := range []string{"/v1/instances/i0/logs?follow=true", "/v1/instances/i1/logs?follow=true",
		"/v1/events"} {
		readers.Go(func() { s.follow(ctx, path) })
		s.did["readers"]++
	}
	for n, a := range s.apps {
		switch (n + s.rounds) % 6 {
		case 0:
			s.daemon.mustDo("restart", a.id)
			s.did["restarts"]++
		case 1, 2:
			if l, any := s.newest(a.id); any && l.Ended == 0 {
				signalProcess(l.Process, []unix.Signal{unix.SIGKILL, unix.SIGSEGV, unix.SIGTERM}[s.rounds%3])
				s.did["crashes"]++
			}
		case 3:
			s.apps[n].spec = strconv.Itoa(s.rounds)
		}
	}
	guest := fmt.Sprintf("guest%d", s.rounds)
	s.declare(app{id: guest}, Control{End: &End{Code: 3, After: Duration(20 * time.Millisecond)}})
	s.write()
	require.NoError(s, s.daemon.reload())
	s.eventually(10*time.Second, "the guest crashes", func() bool {
		g, known := s.daemon.shown(guest)
		return known && g.ConsecutiveFailures > 1
	})
	s.undeclare(guest)
	s.write()
	require.NoError(s, s.daemon.reload())
	s.did["edits"] += 2
	if upgrade {
		out, code := s.cli("upgrade")
		require.Zero(s, code, out)
		s.daemon.up()
		s.did["upgrades"]++
	}
	s.converge(nil)
	leave()
	readers.Wait()
}

// follow reads until ctx ends, or the daemon is replaced.
func (s *soak) follow(ctx context.Context, path string) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://procman"+path, nil)
	if err != nil {
		s.Error(err)
		return
	}
	response, err := (&http.Client{Transport: s.daemon.http.Transport}).Do(request)
	if err != nil {
		if ctx.Err() == nil && !errors.Is(err, io.EOF) {
			s.Error(err)
		}
		return
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body) // it is cut off
}

// quiet returns the least that the daemon uses within a moment, all being quiet and each instance having been started
// by this very program: the port of one that it has adopted is not held before that one ends.
func (s *soak) quiet() Usage {
	s.Helper()
	for _, a := range s.apps {
		s.daemon.mustDo("restart", a.id)
	}
	s.converge(nil)
	least := Usage{math.MaxInt, math.MaxInt, math.MaxInt, math.MaxInt64}
	for range 10 {
		u, err := usage(s.daemon.pid())
		require.NoError(s, err)
		u.Goroutines = s.goroutines()
		least = Usage{min(least.Descriptors, u.Descriptors), min(least.Threads, u.Threads),
			min(least.Goroutines, u.Goroutines), min(least.Resident, u.Resident)}
		time.Sleep(50 * time.Millisecond)
	}
	return least
}

// goroutines returns how many the daemon says it has.
func (s *soak) goroutines() int {
	s.Helper()
	response, err := s.daemon.http.Get("http://procman/metrics")
	require.NoError(s, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(s, err)
	for line := range strings.Lines(string(text)) {
		if value, is := strings.CutPrefix(line, "go_goroutines "); is {
			n, err := strconv.Atoi(strings.TrimSpace(value))
			require.NoError(s, err)
			return n
		}
	}
	s.Fatal("the daemon does not say how many goroutines it has")
	return 0
}
