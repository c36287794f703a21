package health

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

const short = 200 * time.Millisecond

func drip(c net.Conn, head string) {
	say(head)(c)
	for {
		if _, err := c.Write([]byte("x")); err != nil {
			return
		}
		time.Sleep(short / 4)
	}
}

func flood(c net.Conn, head, part string, bytes int) {
	say(head)(c)
	some := []byte(strings.Repeat(part, 1+4096/len(part)))
	for sent := 0; bytes == 0 || sent < bytes; sent += len(some) {
		if _, err := c.Write(some); err != nil {
			return
		}
	}
}

func TestWhatAnInstanceAnswersIsJudged(t *testing.T) {
	inEveryWay(t, func(t *testing.T, ask asker) {
		const ok = "HTTP/1.1 200 OK\r\n"
		hang := func(c net.Conn) { _, _ = c.Read(make([]byte, 1)) }
		for name, c := range map[string]struct {
			answer func(net.Conn)
			status int
			cause  string // empty: healthy
			body   string
			slow   bool // takes the whole of the timeout
		}{
			"200":                  {say(ok + "Content-Length: 2\r\n\r\nhi"), 200, "", "hi", false},
			"200 without a length": {say(ok + "\r\nhi"), 200, "", "hi", false},
			"200 of HTTP/1.0":      {say("HTTP/1.0 200 OK\r\n\r\nhi"), 200, "", "hi", false},
			"200 in two parts": {func(c net.Conn) {
				say(ok)(c)
				time.Sleep(short / 10)
				say("Content-Length: 2\r\n\r\nhi")(c)
			}, 200, "", "hi", false},
			"200 in many parts": {func(c net.Conn) {
				for _, b := range ok + "Content-Length: 2\r\n\r\nhi" {
					say(string(b))(c)
					time.Sleep(time.Millisecond)
				}
			}, 200, "", "hi", false},
			"200 in parts with a long body": {func(c net.Conn) {
				say(ok + "Content-Length: 40000\r\n\r\n")(c)
				for range 4 {
					time.Sleep(2 * time.Millisecond)
					say(strings.Repeat("x", 10000))(c)
				}
			}, 200, "", "xxx", false},
			"200 in chunks": {say(ok + "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"), 200,
				"", "hi", false},
			"200 after 100": {say("HTTP/1.1 100 Continue\r\n\r\n" + ok + "Content-Length: 0\r\n\r\n"),
				200, "", "", false},
			"200 with invalid UTF-8": {say(ok + "Content-Length: 2\r\n\r\n\xffi"), 200, "", "\uFFFDi", false},
			"200 and kept open": {func(c net.Conn) { say(ok + "Content-Length: 2\r\n\r\nhi")(c); hang(c) },
				200, "", "hi", false},
			"200 and said to close": {func(c net.Conn) {
				say(ok +
					"Connection: close\r\nContent-Length: 2\r\n\r\nhi")(c)
				hang(c)
			}, 200, "", "hi", false},
			"204": {say("HTTP/1.1 204 No Content\r\n\r\n"),
				204, "status 204, only 200 is healthy", "", false},
			"500": {say("HTTP/1.1 500 Oops\r\nContent-Length: 5\r\n\r\nbroke"), 500, "status 500",
				"broke", false},
			"500 with half a chunk": {func(c net.Conn) {
				say("HTTP/1.1 500 Oops\r\nTransfer-Encoding: " +
					"chunked\r\n\r\n5\r\nbro")(c)
				hang(c)
			}, 500, "status 500", "bro", false},
			"404": {say("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
				404, "status 404", "", false},
			"101": {say("HTTP/1.1 101 Switching Protocols\r\n\r\n"), 101, "status 101", "", false},
			"redirect": {say("HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n"),
				302, "redirect to /login", "", false},
			"redirect to nowhere": {say("HTTP/1.1 304 Not Modified\r\n\r\n"), 304, "status 304", "", false},
			"redirect with an escape": {say("HTTP/1.1 302 Found\r\nLocation: /\u202e\r\nContent-Length: 0\r\n\r\n"),
				302, `redirect to "/\u202e"`, "", false},
			"closed at once": {func(net.Conn) {}, 0, "the connection was closed without an answer", "", false},
			"reset": {func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) }, 0,
				"the connection was reset before an answer came", "", false},
			"closed in the head": {say(ok + "A: b\r\n"),
				0, "the connection was closed within the head of the response", "", false},
			"closed in the body": {say(ok + "Content-Length: 9\r\n\r\nhi"), 200,
				"status 200 came, but the connection was closed within its body", "hi", false},
			"broken chunks": {say(ok + "Transfer-Encoding: chunked\r\n\r\nzz\r\n"), 200,
				"status 200 came, but its body is broken: invalid byte in chunk length", "", false},
			"garbage": {say("\x00\x01garbage\n"), 0, `the answer is not HTTP: `, "", false},
			"TLS": {say("\x15\x03\x01\x00\x02\x02\x0a\n"),
				0, `the answer is not HTTP: `, "", false},
			"HTTP/0.9": {say("<html>hello</html>\n"),
				0, `the answer is not HTTP: malformed HTTP response`, "", false},
			"hang":             {hang, 0, "timed out after 200ms", "", true},
			"hang in the head": {func(c net.Conn) { say(ok)(c); hang(c) }, 0, "timed out after 200ms", "", true},
			"drip in the head": {func(c net.Conn) { drip(c, ok+"A: ") }, 0, "timed out after 200ms", "", true},
			"drip in the body": {func(c net.Conn) { drip(c, ok+"Content-Length: 999\r\n\r\n") },
				200, "timed out after 200ms: status 200 came, but not the end of its body", "x", true},
			"64 MiB body": {func(c net.Conn) {
				flood(c, ok+"Content-Length: 67108864\r\n\r\n", "x",
					64<<20)
			}, 200, "", "x", false},
			"endless body": {func(c net.Conn) { flood(c, ok+"\r\n", "x", 0) }, 200, "", "x", false},
			"endless chunks": {func(c net.Conn) {
				flood(c, ok+"Transfer-Encoding: chunked\r\n\r\n",
					"1\r\nx\r\n", 0)
			}, 200, "", "x", false},
			"1xx flood": {func(c net.Conn) { flood(c, "", "HTTP/1.1 100 Continue\r\n\r\n", 0) },
				0, "the response headers are larger than 64 KiB", "", false},
			"10 MiB header": {func(c net.Conn) { flood(c, ok+"A: ", "x", 10<<20) },
				0, "the response headers are larger than 64 KiB", "", false},
			"10 MiB of headers": {func(c net.Conn) { flood(c, ok, "A: b\r\n", 10<<20) }, 0,
				"the response headers are larger than 64 KiB", "", false},
			"10 MiB status line": {func(c net.Conn) { flood(c, "HTTP/1.1 200 ", "x", 10<<20) },
				0, "the response headers are larger than 64 KiB", "", false},
		} {
			t.Run(name, func(t *testing.T) {
				port := serve(t, "127.0.0.1", c.answer)
				before := time.Now()
				timeout := time.Minute
				if c.slow {
					timeout = short
				}
				p := probe(ask, port, timeout)
				took := time.Since(before)
				require.Equal(t, c.status, p.Status)
				require.Equal(t, c.cause == "", p.OK, p.Error)
				require.True(t, strings.HasPrefix(p.Error, c.cause), p.Error)
				require.True(t, strings.HasPrefix(p.Body, c.body), p.Body)
				require.LessOrEqual(t, len(p.Body), 3*keptBody)
				if c.slow {
					require.GreaterOrEqual(t, took, short)
				}
				require.Less(t, took, time.Minute, "it ends by itself")
				require.WithinRange(t, p.At, before, before.Add(took))
				require.Positive(t, p.Latency)
				require.LessOrEqual(t, p.Latency, took)
			})
		}
	})
}

func TestAListenerThatTakesNoConnectionIsWaitedFor(t *testing.T) {
	inEveryWay(t, func(t *testing.T, ask asker) {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		require.NoError(t, err)
		defer func() { require.NoError(t, l.Close()) }()
		raw, err := l.(*net.TCPListener).SyscallConn()
		require.NoError(t, err)
		require.NoError(t, raw.Control(func(fd uintptr) { err = syscall.Listen(int(fd), 0) }))
		require.NoError(t, err)
		for range 2 { // those that are not taken fill its queue
			conn, err := net.DialTimeout("tcp4", l.Addr().String(), short)
			if err == nil {
				defer func() { require.NoError(t, conn.Close()) }()
			}
		}
		p := probe(ask, l.Addr().(*net.TCPAddr).Port, short)
		require.Equal(t, "timed out after 200ms", p.Error)
		require.False(t, p.Void)
	})
}

func TestARefusedConnectionIsUnhealthy(t *testing.T) {
	inEveryWay(t, func(t *testing.T, ask asker) {
		port := unusedPort(t)
		p := probe(ask, port, short)
		require.False(t, p.OK)
		require.Equal(t, fmt.Sprintf("connection refused: nothing listens on port %d", port), p.Error)
		require.Positive(t, p.Latency)
	})
}

func TestAServerOnIPv6AloneIsFound(t *testing.T) {
	inEveryWay(t, func(t *testing.T, ask asker) {
		p := probe(ask, serve(t, "::1", say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")), short)
		require.True(t, p.OK, p.Error)
	})
}

func TestAProxyInTheEnvironmentIsNotUsed(t *testing.T) {
	inEveryWay(t, func(t *testing.T, ask asker) {
		var asked atomic.Bool
		proxy := serveHTTP(t, func(http.ResponseWriter, *http.Request) { asked.Store(true) })
		for _, name := range []string{"HTTP_PROXY", "http_proxy", "ALL_PROXY"} {
			t.Setenv(name, fmt.Sprintf("http://127.0.0.1:%d", proxy))
		}
		p := probe(ask, serveHTTP(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(418) }), short)
		require.Equal(t, 418, p.Status)
		require.False(t, asked.Load())
	})
}

func TestARedirectIsNotFollowed(t *testing.T) {
	inEveryWay(t, func(t *testing.T, ask asker) {
		var followed atomic.Bool
		other := serveHTTP(t, func(http.ResponseWriter, *http.Request) { followed.Store(true) })
		to := fmt.Sprintf("http://127.0.0.1:%d/", other)
		p := probe(ask, serveHTTP(t, func(w http.ResponseWriter,
			r *http.Request) {
			http.Redirect(w, r, to, http.StatusFound)
		}), short)
		require.Equal(t, "redirect to "+to, p.Error)
		require.False(t, followed.Load())
	})
}

func TestTheRequestIsWhatTheSpecificationAsksFor(t *testing.T) { // 5.3
	inEveryWay(t, func(t *testing.T, ask asker) {
		for path, target := range map[string]string{
			"/api/status": "/api/status", "": "/api/status", "/": "/", "/a?b=c&d": "/a?b=c&d", "//x/y": "//x/y",
			"/ä#b": "/%C3%A4%23b",
		} {
			t.Run(path, func(t *testing.T) {
				requests := make(chan *http.Request, 1)
				port := serveHTTP(t, func(_ http.ResponseWriter,
					r *http.Request) {
					requests <- r.Clone(context.Background())
				})
				p := ask(New(Options{}), messages.Target{Port: port,
					Policy: messages.HealthPolicy{Path: path, Timeout: short}})
				require.True(t, p.OK, p.Error)
				got := <-requests
				require.Equal(t, http.MethodGet, got.Method)
				require.Equal(t, target, got.RequestURI)
				require.Equal(t, fmt.Sprintf("localhost:%d", port), got.Host)
				require.Equal(t, "procman", got.UserAgent())
				require.Empty(t, got.Header.Get("Accept-Encoding"))
			})
		}
	})
}

func TestAPathThatNoRequestCanCarryIsNotSent(t *testing.T) {
	inEveryWay(t, func(t *testing.T, ask asker) {
		var asked atomic.Bool
		port := serveHTTP(t, func(http.ResponseWriter, *http.Request) { asked.Store(true) })
		for _, path := range []string{"status", "/a b", "/a\r\nX: y", "/\x00", "/%zz", "http://example.org/", "*"} {
			p := ask(New(Options{}), messages.Target{Port: port,
				Policy: messages.HealthPolicy{Path: path, Timeout: short}})
			require.False(t, p.OK)
			require.Contains(t, p.Error, "health.path", path)
		}
		require.False(t, asked.Load())
	})
}

func TestAnImpossiblePortIsUnhealthy(t *testing.T) {
	inEveryWay(t, func(t *testing.T, ask asker) {
		for _, port := range []int{-1, 0, 65536, 1 << 40} {
			p := probe(ask, port, short)
			require.False(t, p.OK)
			require.NotEmpty(t, p.Error)
		}
	})
}

func TestAGzipBombIsNotUnpacked(t *testing.T) {
	inEveryWay(t, func(t *testing.T, ask asker) {
		var bomb strings.Builder
		z := gzip.NewWriter(&bomb)
		_, err := io.CopyN(z, zeros{}, 4<<20)
		require.NoError(t, err)
		require.NoError(t, z.Close())
		p := probe(ask, serveHTTP(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = io.WriteString(w, bomb.String())
		}), time.Second)
		require.True(t, p.OK, p.Error)
		require.Equal(t, text([]byte(bomb.String()[:keptBody])), p.Body)
	})
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func TestOfALongBodyNoMoreThanTheLimitIsRead(t *testing.T) {
	inEveryWay(t, func(t *testing.T, ask asker) {
		port := serve(t, "127.0.0.1", func(c net.Conn) { flood(c, "HTTP/1.1 200 OK\r\n\r\n", "x", 64<<20) })
		c := New(Options{})
		check := func() {
			p := ask(c, messages.Target{Port: port, Policy: messages.HealthPolicy{Timeout: 5 * time.Second}})
			require.True(t, p.OK, p.Error)
			require.Len(t, p.Body, keptBody)
		}
		check()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		check()
		runtime.ReadMemStats(&after)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(128<<10))
	})
}

func TestACancelledProbeEndsAtOnce(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	port := serve(t, "127.0.0.1", func(c net.Conn) {
		cancel()
		_, _ = c.Read(make([]byte, 1))
	})
	p := New(Options{}).Check(ctx, messages.Target{Port: port, Policy: messages.HealthPolicy{Timeout: time.Minute}})
	require.Equal(t, "the probe was broken off", p.Error)
	p = New(Options{}).Check(ctx, messages.Target{Port: port, Policy: messages.HealthPolicy{Timeout: time.Minute}})
	require.Equal(t, "the probe was broken off", p.Error)
}

func TestTheContextsDeadlineCountsIfItIsSooner(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), short)
	defer cancel()
	port := serve(t, "127.0.0.1", func(c net.Conn) { _, _ = c.Read(make([]byte, 1)) })
	p := New(Options{}).Check(ctx, messages.Target{Port: port, Policy: messages.HealthPolicy{Timeout: time.Minute}})
	// How much of the 200ms was left when the probe began is the machine's affair.
	said, is := strings.CutPrefix(p.Error, "timed out after ")
	require.True(t, is, p.Error)
	waited, err := time.ParseDuration(said)
	require.NoError(t, err)
	require.LessOrEqual(t, waited, short)
}

func TestNoMoreProbesRunAtATimeThanAllowed(t *testing.T) {
	inEveryWay(t, func(t *testing.T, ask asker) {
		var now, most atomic.Int32
		port := serveHTTP(t, func(http.ResponseWriter, *http.Request) {
			most.Store(max(most.Load(), now.Add(1)))
			defer now.Add(-1)
			time.Sleep(2 * time.Millisecond)
		})
		c := New(Options{Concurrency: 2})
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if p := ask(c, messages.Target{Port: port,
					Policy: messages.HealthPolicy{Timeout: 5 * time.Second}}); !p.OK {
					t.Error(p.Error)
				}
			})
		}
		wg.Wait()
		require.LessOrEqual(t, most.Load(), int32(2))
	})
}

func TestAProbeThatFindsNoSlotSaysSo(t *testing.T) {
	c := New(Options{Concurrency: 1})
	c.slots <- struct{}{}
	p := c.Check(context.Background(), messages.Target{Port: 1,
		Policy: messages.HealthPolicy{Timeout: 10 * time.Millisecond}})
	require.Contains(t, p.Error, "not probed")
	require.True(t, p.Void)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.Contains(t, c.Check(ctx, messages.Target{Port: 1,
		Policy: messages.HealthPolicy{Timeout: time.Minute}}).Error, "not probed")
	<-c.slots
}

func TestAServerThatClosesWhenToldIsTheFirstToClose(t *testing.T) {
	inEveryWay(t, func(t *testing.T, ask asker) {
		seen := make(chan error, 1)
		port := serve(t, "127.0.0.1", func(c net.Conn) {
			say("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi")(c)
			_ = c.SetReadDeadline(time.Now().Add(closingTime / 5))
			_, err := c.Read(make([]byte, 1))
			seen <- err
		})
		p := probe(ask, port, time.Second)
		require.True(t, p.OK, p.Error)
		require.ErrorIs(t, <-seen, os.ErrDeadlineExceeded, "neither a reset nor an end before the server closes")
		require.Less(t, p.Latency, closingTime/5, "the wait is not the instance's")
	})
}

func TestAProbeLeavesNothingOpen(t *testing.T) {
	inEveryWay(t, func(t *testing.T, ask asker) {
		if runtime.GOOS != "linux" {
			t.Skip("counts descriptors in /proc")
		}
		port := serve(t, "127.0.0.1", say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
		c := New(Options{Owner: true})
		check := func() {
			require.True(t, ask(c, messages.Target{Port: port, PID: os.Getpid(),
				Policy: messages.HealthPolicy{Timeout: time.Second}}).OK)
		}
		check()
		fds, err := os.ReadDir("/proc/self/fd")
		require.NoError(t, err)
		for range 100 {
			check()
		}
		now, err := os.ReadDir("/proc/self/fd")
		require.NoError(t, err)
		require.InDelta(t, len(fds), len(now), 2) // the server may not have closed its last connection yet
	})
}

func TestAnyAnswerIsJudgedWithoutAPanic(t *testing.T) {
	inEveryWay(t, func(t *testing.T, ask asker) {
		for _, s := range []string{
			"", "\n", "\r\n\r\n", "HTTP/1.1", "HTTP/1.1 ", "HTTP/1.1 -12 x\r\n\r\n", "HTTP/1.1 000 x\r\n\r\n",
			"HTTP/1.1 999 x\r\n\r\n",
			"HTTP/9.9 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
			"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
			"HTTP/1.1 200 OK\r\n: x\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
		} {
			p := probe(ask, serve(t, "127.0.0.1", say(s)), short)
			require.Equal(t, p.OK, p.Error == "", "%q", s)
		}
	})
}

func TestAProbeTakesNoGoroutineBesideItsCallers(t *testing.T) {
	const probes = 50
	// one hangs, the others are not accepted
	port := serve(t, "127.0.0.1", func(c net.Conn) { _, _ = c.Read(make([]byte, 1)) })
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	before := runtime.NumGoroutine()
	var wg sync.WaitGroup
	for range probes {
		wg.Go(func() {
			New(Options{Owner: true}).Check(ctx, messages.Target{Port: port, PID: os.Getpid(),
				Policy: messages.HealthPolicy{Timeout: 2 * short}})
		})
	}
	time.Sleep(short) // connected, and waiting
	require.LessOrEqual(t, runtime.NumGoroutine()-before, probes)
	wg.Wait()
	// A goroutine that has said it is done is gone a moment later.
	// +1: Eventually's own
	require.Eventually(t, func() bool { return runtime.NumGoroutine() <= before+1 }, time.Minute, time.Millisecond)
}
