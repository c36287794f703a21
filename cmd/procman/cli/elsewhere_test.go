package cli

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

// serveElsewhere serves for those that ask for it, until some moments after their end, and returns where to ask and
// which ports were asked for.
func serveElsewhere(t *testing.T) (address string, asked func() []int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var ports []int
	var mu sync.Mutex
	var all sync.WaitGroup
	all.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer client.Close()
				port := 0
				if _, err := fmt.Fscanln(client, &port); err != nil {
					return
				}
				mu.Lock()
				ports = append(ports, port)
				mu.Unlock()
				own, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
				if err != nil {
					return
				}
				server := http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
				all.Go(func() { _ = server.Serve(own) })
				_, _ = io.Copy(io.Discard, client)
				time.Sleep(30 * time.Millisecond) // it is not the first to know
				_ = server.Close()
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); all.Wait() })
	return l.Addr().String(), func() []int {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(ports)
	}
}

// F155: 200s of a server elsewhere were refused for ever, by another port each time, and nobody said what to do.
func TestAServerElsewhereIsNamedWithTheKeyThatTakesItAndThePortIsKept(t *testing.T) {
	t.Parallel()
	address, asked := serveElsewhere(t)
	s := newSite(t, "restart: {initial: 50ms, max: 100ms}\nstart: {deadline: 1s}", "a: elsewhere")
	text, err := os.ReadFile(s.config)
	require.NoError(t, err)
	told := strings.Replace(string(text), "TEST_CHILD: elsewhere", "TEST_CHILD: elsewhere, ELSEWHERE: '"+address+"'", 1)
	require.NoError(t, os.WriteFile(s.config, []byte(told), 0o600))
	d := s.run()
	s.eventually("it is tried", func() bool { return len(asked()) > 0 })
	port := asked()[0]
	name, err := os.ReadFile("/proc/self/comm")
	require.NoError(t, err)
	said := fmt.Sprintf("port %d is answered by another process (pid %d, %s); if it serves for this instance, as the "+
		"daemon behind `docker run` does, "+
		"set health.owner: any", port, os.Getpid(), strings.TrimSpace(string(name)))
	s.eventually("it is said", func() bool { return strings.Contains(s.ok("why", "a"), said) })
	s.eventually("it is tried again and again", func() bool {
		return len(asked()) >= 3 && strings.Contains(d.log.String(), strings.ReplaceAll(said, `"`, `\"`))
	})
	require.NotEqual(t, messages.Healthy, s.instance("a").Health)

	// What is said is done.
	require.NoError(t, os.WriteFile(s.config, []byte(strings.Replace(told, "health: {", "health: {owner: any, ", 1)),
		0o600))
	s.ok("reload")
	s.ok("start", "a", "--wait", "--timeout", "1m")
	require.Equal(t, port, s.instance("a").Port)
	for _, p := range asked() {
		require.Equal(t, port, p, "nobody else held it")
	}
	pid := s.instance("a").PID
	require.Equal(t, []int{pid}, s.living())
	s.ok("stop", "a", "--wait")
	require.Empty(t, s.living())
}

// F160: what a crash leaves of a run is killed, and has the port for as long as it dies: it is no stranger.
func TestADyingGrandchildIsNotTakenForAStrangerOnThePort(t *testing.T) {
	t.Parallel()
	s := newSite(t, "restart: {initial: 10ms, max: 20ms}", "a: forsaken")
	d := s.run()
	s.eventually("it has crashed some times", func() bool { return s.instance("a").Restarts >= 3 })
	s.ok("stop", "a", "--wait")
	require.Empty(t, s.living())
	log := d.log.String()
	require.Contains(t, log, "1 other process of it was killed")
	require.NotContains(t, log, `"msg":"port conflict"`)
	require.NotContains(t, s.ok("events"), "port changed")
}
