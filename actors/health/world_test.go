package health

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"procman/actors"
	"procman/messages"
)

var _ actors.BatchChecker = (*Checker)(nil)

// server makes this test binary answer 200 in a process of its own, until its standard input ends. Its value is an
// address. With forker set, it is a child of that process which does.
const (
	server = "HEALTH_TEST_SERVER"
	forker = "HEALTH_TEST_FORKER"
)

func TestMain(m *testing.M) {
	if address := os.Getenv(server); address != "" {
		os.Exit(serveForOthers(address))
	}
	goleak.VerifyTestMain(m)
}

func serveForOthers(address string) int {
	if how := os.Getenv(forker); how != "" {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), forker+"=", "PROCMAN_RUN_TAG=")
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: how == "setsid"}
		if cmd.Run() != nil {
			return 1
		}
		return 0
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return 2
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter,
		_ *http.Request) {
		_, _ = io.WriteString(w, "other")
	})}
	go func() { _ = s.Serve(l) }()
	fmt.Println(l.Addr().(*net.TCPAddr).Port)
	_, _ = io.Copy(io.Discard, os.Stdin)
	_ = s.Close()
	return 0
}

// startServer runs a server in a session of its own. It returns the pid that the instance would have, and its port.
func startServer(t testing.TB, address, fork string) (pid, port int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	// The race detector makes a program wait for a second at its end.
	cmd.Env = append(os.Environ(), server+"="+address, forker+"="+fork, "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	port, err = strconv.Atoi(line[:len(line)-1])
	require.NoError(t, err)
	return cmd.Process.Pid, port
}

// serve answers every connection with what answer does, after it has read a request.
func serve(t testing.TB, address string, answer func(net.Conn)) (port int) {
	t.Helper()
	network := "tcp4"
	if address == "::1" {
		network = "tcp6"
	}
	l, err := net.Listen(network, net.JoinHostPort(address, "0"))
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			func() {
				defer func() { _ = conn.Close() }()
				_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
				if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
					answer(conn)
				}
			}()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return l.Addr().(*net.TCPAddr).Port
}

func serveHTTP(t testing.TB, h http.HandlerFunc) (port int) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	s := &http.Server{Handler: h}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l)
	}()
	t.Cleanup(func() {
		_ = s.Close()
		<-done
	})
	return l.Addr().(*net.TCPAddr).Port
}

func say(s string) func(net.Conn) {
	return func(c net.Conn) { _, _ = io.WriteString(c, s) }
}

// asker makes a probe in one of the ways in which one is made.
type asker func(*Checker, messages.Target) messages.Probe

func alone(c *Checker, t messages.Target) messages.Probe { return c.Check(context.Background(), t) }

func together(c *Checker, t messages.Target) messages.Probe {
	told := make(chan messages.Probe, 2)
	c.Begin(t, func(p messages.Probe) { told <- p })
	return <-told
}

// inEveryWay runs a test in every way: what comes of a probe must not depend on that, to the word.
func inEveryWay(t *testing.T, test func(*testing.T, asker)) {
	t.Helper()
	t.Run("alone", func(t *testing.T) { test(t, alone) })
	t.Run("together", func(t *testing.T) { test(t, together) })
}

func probe(ask asker, port int, timeout time.Duration) messages.Probe {
	return ask(New(Options{}), messages.Target{ID: "a", Port: port,
		Policy: messages.HealthPolicy{Path: "/api/status", Timeout: timeout}})
}

// unusedPort returns a port that nothing listens on, and that nothing else gets while the test runs.
func unusedPort(t testing.TB) int {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET6, syscall.SOCK_STREAM, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = syscall.Close(fd) })
	require.NoError(t, syscall.Bind(fd, &syscall.SockaddrInet6{}))
	at, err := syscall.Getsockname(fd)
	require.NoError(t, err)
	return at.(*syscall.SockaddrInet6).Port
}
