package health

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"procman/actors/kernel"
	"procman/messages"
)

func checkOwner(ask asker, pid, port int) messages.Probe {
	return ask(New(Options{Owner: true}), messages.Target{PID: pid, Port: port,
		Policy: messages.HealthPolicy{Timeout: 5 * time.Second}})
}

// sleeper is a process of its own session that does nothing.
func sleeper(t *testing.T) (pid int) {
	t.Helper()
	cmd := exec.Command("sleep", "60")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd.Process.Pid
}

func TestAnInstanceThatAnswersItselfIsHealthy(t *testing.T) {
	inEveryWay(t, func(t *testing.T, ask asker) {
		for _, address := range []string{"127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"} {
			for _, fork := range []string{"", "group", "setsid"} {
				t.Run(address+" "+fork, func(t *testing.T) {
					pid, port := startServer(t, address, fork)
					c := New(Options{Owner: true})
					for range 2 { // the second time from memory
						p := ask(c, messages.Target{PID: pid, Port: port,
							Policy: messages.HealthPolicy{Timeout: 5 * time.Second}})
						require.True(t, p.OK, p.Error)
						require.Equal(t, "other", p.Body)
					}
					require.Equal(t, []int{port}, ListensOn(pid))
				})
			}
		}
	})
}

func TestWhatBelongsToTheRunByItsTagAloneAnswersForItAndIsRemembered(t *testing.T) {
	inEveryWay(t, func(t *testing.T, ask asker) {
		t.Setenv(kernel.EnvTag, "T")
		for _, fork := range []string{"", "setsid"} {
			// setsid: the tag is that of its parent, its own environment shows none
			t.Run(fork, func(t *testing.T) {
				_, port := startServer(t, "127.0.0.1:0", fork)
				c, leader := New(Options{Owner: true}), sleeper(t)
				check := func(tag string) messages.Probe {
					return ask(c, messages.Target{PID: leader, Tag: tag, Port: port,
						Policy: messages.HealthPolicy{Timeout: 5 * time.Second}})
				}
				require.True(t, check("U").Conflict)
				p := check("T")
				require.True(t, p.OK, p.Error)
				looked := c.owners.at
				require.True(t, check("T").OK)
				require.Equal(t, looked, c.owners.at, "no probe in the steady state reads the process table")
			})
		}
	})
}

func TestAnImpostorsAnswerIsAConflict(t *testing.T) {
	inEveryWay(t, func(t *testing.T, ask asker) {
		for _, address := range []string{"127.0.0.1:0", "[::1]:0", "[::]:0"} {
			t.Run(address, func(t *testing.T) {
				impostor, port := startServer(t, address, "")
				p := checkOwner(ask, sleeper(t), port)
				require.False(t, p.OK)
				require.True(t, p.Conflict)
				require.Equal(t, 200, p.Status)
				require.Equal(t, fmt.Sprintf("port %d is answered by another process (pid %d, health.test); "+
					"if it serves for this instance, as the daemon behind `docker run` does, set health.owner: any",
					port, impostor), p.Error)
				any := ask(New(Options{Owner: true}),
					messages.Target{PID: sleeper(t), Port: port,
						Policy: messages.HealthPolicy{Owner: messages.OwnerAny, Timeout: 5 * time.Second}})
				require.True(t, any.OK, "F155: health.owner: any asks nobody")
			})
		}
	})
}

// A process that was killed and hangs in the kernel keeps its listener, and shows it nowhere: that is no stranger's.
func TestOfAnInstanceThatIsEndingNobodyIsProvedAStranger(t *testing.T) {
	inEveryWay(t, func(t *testing.T, ask asker) {
		_, port := startServer(t, "127.0.0.1:0", "")
		leader := sleeper(t)
		require.True(t, checkOwner(ask, leader, port).Conflict)
		require.NoError(t, syscall.Kill(leader, syscall.SIGKILL)) // it is reaped at the end of the test
		require.Eventually(t, func() bool {
			st, err := proc.Stat(leader)
			return err == nil && st.Zombie()
		}, 10*time.Second, 5*time.Millisecond)
		require.False(t, checkOwner(ask, leader, port).Conflict)
	})
}

func TestAnImpostorOnIPv4IsFoundBesideTheInstanceOnIPv6(t *testing.T) {
	inEveryWay(t, func(t *testing.T, ask asker) {
		pid, port := startServer(t, "[::1]:0", "")
		require.True(t, checkOwner(ask, pid, port).OK)
		l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
		require.NoError(t, err)
		s := &http.Server{Handler: http.NotFoundHandler()}
		done := make(chan error, 1)
		go func() { done <- s.Serve(l) }()
		p := checkOwner(ask, pid, port)
		require.NoError(t, s.Close())
		require.ErrorIs(t, <-done, http.ErrServerClosed)
		require.True(t, p.Conflict)
		require.Equal(t, 404, p.Status)
		require.Contains(t, p.Error, fmt.Sprintf("pid %d", os.Getpid()))
	})
}

func TestARememberedListenerIsAskedForAgain(t *testing.T) {
	inEveryWay(t, func(t *testing.T, ask asker) {
		// The same port, once the instance's and then the impostor's.
		c := New(Options{Owner: true})
		port := serve(t, "127.0.0.1", say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
		check := func(pid int) messages.Probe {
			return ask(c, messages.Target{PID: pid, Port: port, Policy: messages.HealthPolicy{Timeout: time.Second}})
		}
		require.False(t, check(os.Getpid()).Conflict)
		require.True(t, check(sleeper(t)).Conflict)
		require.False(t, check(os.Getpid()).Conflict)
	})
}

func TestAnInstanceThatIsGoneDoesNotOwnAnything(t *testing.T) {
	inEveryWay(t, func(t *testing.T, ask asker) {
		_, port := startServer(t, "127.0.0.1:0", "")
		cmd := exec.Command("true")
		require.NoError(t, cmd.Run())
		require.True(t, checkOwner(ask, cmd.Process.Pid, port).Conflict)
	})
}

func TestTheOwnerIsNotAskedForWithoutAPIDOrTheOption(t *testing.T) {
	inEveryWay(t, func(t *testing.T, ask asker) {
		_, port := startServer(t, "127.0.0.1:0", "")
		require.True(t, checkOwner(ask, 0, port).OK)
		p := ask(New(Options{}), messages.Target{PID: sleeper(t), Port: port,
			Policy: messages.HealthPolicy{Timeout: time.Second}})
		require.True(t, p.OK, p.Error)
	})
}

func TestAnInstanceOnAnotherPortIsToldOf(t *testing.T) {
	inEveryWay(t, func(t *testing.T, ask asker) {
		pid, port := startServer(t, "127.0.0.1:0", "")
		unused := unusedPort(t)
		p := checkOwner(ask, pid, unused)
		require.False(t, p.OK)
		require.Equal(t, fmt.Sprintf("connection refused: the process listens on port %d, expected %d", port, unused),
			p.Error)
	})
}

func TestAnInstanceOnAnotherAddressIsToldOf(t *testing.T) {
	inEveryWay(t, func(t *testing.T, ask asker) {
		pid, port := startServer(t, "127.0.0.2:0", "")
		p := checkOwner(ask, pid, port)
		require.Equal(t, fmt.Sprintf("connection refused: the process listens on 127.0.0.2:%d, which neither "+
			"127.0.0.1 nor ::1 reaches", port), p.Error)
	})
}

func TestAnInstanceThatListensNowhereIsRefused(t *testing.T) {
	inEveryWay(t, func(t *testing.T, ask asker) {
		port := unusedPort(t)
		pid := sleeper(t)
		require.Equal(t, fmt.Sprintf("connection refused: nothing listens on port %d", port),
			checkOwner(ask, pid, port).Error)
		require.Empty(t, ListensOn(pid))
		require.Empty(t, ListensOn(1<<30))
	})
}

func TestALoopInTheProcessTableEnds(t *testing.T) {
	table := map[int]kernel.Process{}
	for pid, parent := range map[int]int{5: 6, 6: 5, 7: 8, 8: 9} {
		table[pid] = kernel.Process{PID: pid, Stat: kernel.Stat{Parent: parent}}
	}
	require.Empty(t, relatives(table, kernel.Run{PID: 100}))
	require.ElementsMatch(t, []int{7, 8}, relatives(table, kernel.Run{PID: 9}))
}

// inTimeWait counts the connections in TIME_WAIT that have the port on either side.
func inTimeWait(t testing.TB, port int) (n int) {
	t.Helper()
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := os.ReadFile(table)
		require.NoError(t, err)
		at := fmt.Sprintf(":%04X", port)
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line) // number, this side, the other side, state
			if f[3] == "06" && (strings.HasSuffix(f[1], at) || strings.HasSuffix(f[2], at)) {
				n++
			}
		}
	}
	return n
}

func TestProbesLeaveNoConnectionInTimeWait(t *testing.T) {
	inEveryWay(t, func(t *testing.T, ask asker) {
		for name, h := range map[string]http.HandlerFunc{
			"200": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") },
			"500": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		} {
			t.Run(name, func(t *testing.T) {
				port := serveHTTP(t, h)
				for range 200 {
					probe(ask, port, time.Second)
				}
				require.Zero(t, inTimeWait(t, port))
			})
		}
	})
}

func TestTheCountOfTimeWaitCanFail(t *testing.T) {
	port := serve(t, "127.0.0.1", func(net.Conn) {})
	conn, err := net.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	require.NoError(t, err)
	_, err = io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n")
	require.NoError(t, err)
	_, err = conn.Read(make([]byte, 1))
	require.Error(t, err)
	require.NoError(t, conn.Close())
	require.Equal(t, 1, inTimeWait(t, port))
}

func TestAnOwnerThatCannotBeLearnedIsNoFailure(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to become somebody who may not look")
	}
	_, port := startServer(t, "127.0.0.1:0", "")
	pid := sleeper(t)
	type verdict struct {
		errno    syscall.Errno
		stranger string
	}
	got := make(chan verdict)
	go func() {
		// Another user on this thread alone; it ends with the goroutine.
		runtime.LockOSThread()
		const nobody = 65534
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, nobody, nobody, nobody); errno != 0 {
			got <- verdict{errno: errno}
			return
		}
		got <- verdict{stranger: newOwners().stranger(pid, "",
			false, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})}
	}()
	require.Equal(t, verdict{}, <-got)
	require.NotEmpty(t, newOwners().stranger(pid, "", false, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}))
}

func TestWhoIsInTheCgroupOfItsRunIsNoStrangerWhateverElseItShows(t *testing.T) {
	if text, err := os.ReadFile("/proc/self/cgroup"); err != nil || !strings.Contains(string(text), "0::") {
		t.Skip("this host has no cgroups v2")
	}
	// in our cgroup, as the other one, whose session, group and descent it has not
	_, port := startServer(t, "127.0.0.1:0", "")
	pid, at := sleeper(t), &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}
	require.NotEmpty(t, newOwners().stranger(pid, "run", false, at), "a cgroup that many have proves nothing")
	require.Empty(t, newOwners().stranger(pid, "run", true, at))
}

func BenchmarkCheck(b *testing.B) {
	for _, owner := range []bool{false, true} {
		b.Run(fmt.Sprintf("owner %v", owner), func(b *testing.B) {
			port := serveHTTP(b, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })
			c := New(Options{Owner: owner})
			b.ReportAllocs()
			for b.Loop() {
				if p := c.Check(context.Background(), messages.Target{Port: port, PID: os.Getpid(),
					Policy: messages.HealthPolicy{Timeout: time.Second}}); !p.OK {
					b.Fatal(p.Error)
				}
			}
			b.ReportMetric(float64(inTimeWait(b, port)), "TIME_WAIT")
		})
	}
	b.Run("client alone", func(b *testing.B) {
		// Without a connection: what judging costs.
		r, conn := newReader(), &canned{text: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"}
		b.ReportAllocs()
		for b.Loop() {
			conn.read = false
			var p messages.Probe
			if _, err := r.response(conn, defaultMaxBody, time.Now(), &p); err != nil {
				b.Fatal(err)
			}
		}
	})
}

type canned struct {
	net.Conn
	text string
	read bool
}

func (c *canned) Read(b []byte) (int, error) {
	if c.read {
		return 0, io.EOF
	}
	c.read = true
	return copy(b, c.text), nil
}
