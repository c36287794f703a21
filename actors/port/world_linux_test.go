package port

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"procman/messages"
)

// otherManager makes this test binary lease ports in a process of its own, until its standard input ends.
const otherManager = "PORT_TEST_OTHER_MANAGER"

func TestMain(m *testing.M) {
	if ports := os.Getenv(otherManager); ports != "" {
		os.Exit(leaseForOthers(ports))
	}
	goleak.VerifyTestMain(m)
}

func leaseForOthers(ports string) int {
	var first, last, want int
	if _, err := fmt.Sscan(ports, &first, &last, &want); err != nil {
		return 2
	}
	p, err := New(Options{First: first, Last: last, Hold: true})
	if err != nil {
		return 2
	}
	for i := range want {
		l, err := p.Acquire(messages.InstanceID(fmt.Sprint("other", i)))
		if err != nil {
			fmt.Println("0")
			continue
		}
		fmt.Println(l.Port())
	}
	fmt.Println("done")
	_, _ = bufio.NewReader(os.Stdin).ReadByte()
	return 0
}

// startOtherManager returns the ports that a manager in another process leased, and a function that ends it.
func startOtherManager(t *testing.T, first, last, want int) (ports []int, end func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	// The race detector makes a program wait for a second at its end.
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %d %d", otherManager, first, last, want),
		"GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	ended := false
	end = func() {
		if !ended {
			ended = true
			_ = stdin.Close()
			require.NoError(t, cmd.Wait())
		}
	}
	t.Cleanup(end)
	lines := bufio.NewScanner(stdout)
	for lines.Scan() && lines.Text() != "done" {
		n, err := strconv.Atoi(lines.Text())
		require.NoError(t, err)
		ports = append(ports, n)
	}
	return ports, end
}

// freeRange returns the first of so many consecutive ports that nobody has, outside the ephemeral range.
func freeRange(t testing.TB, size int) int {
	t.Helper()
	for first := 10000 + os.Getpid()%15000; first < 32000; first += size {
		free := true
		for n := first; n < first+size && free; n++ {
			s, err := bind(n)
			if free = err == nil; free {
				require.NoError(t, s.close())
			}
		}
		if free {
			return first
		}
	}
	t.Fatal("no free ports on this machine")
	return 0
}

func newPorts(t testing.TB, first, size int, hold bool) *Ports {
	t.Helper()
	p, err := New(Options{First: first, Last: first + size - 1, Hold: hold})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

func listen(t testing.TB, address string, port int) net.Listener {
	t.Helper()
	network := "tcp4"
	if strings.Contains(address, ":") {
		network = "tcp6"
		if address == "::" {
			network = "tcp" // dual stack
		}
	}
	l, err := net.Listen(network, net.JoinHostPort(address, strconv.Itoa(port)))
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// stranger takes the port as another program would.
func stranger(t testing.TB, address string, port int, reuse, listening bool) {
	t.Helper()
	ip := net.ParseIP(address)
	family, to := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: port, Addr: [16]byte(ip.To16())})
	if v4 := ip.To4(); v4 != nil {
		family, to = unix.AF_INET, &unix.SockaddrInet4{Port: port, Addr: [4]byte(v4)}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = unix.Close(fd) })
	if reuse {
		require.NoError(t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1))
	}
	require.NoError(t, unix.Bind(fd, to))
	if listening {
		require.NoError(t, unix.Listen(fd, 1))
	}
}

// leaveTimeWait makes a server end while a client is connected, so that a connection in TIME_WAIT has the port.
func leaveTimeWait(t testing.TB, port int) {
	t.Helper()
	l := listen(t, "127.0.0.1", port)
	client, err := net.Dial("tcp4", l.Addr().String())
	require.NoError(t, err)
	served, err := l.Accept()
	require.NoError(t, err)
	require.NoError(t, served.Close()) // first to close: TIME_WAIT is the server's
	_, err = client.Read(make([]byte, 1))
	require.Error(t, err)
	require.NoError(t, client.Close())
	require.NoError(t, l.Close())
}

func openFiles(t testing.TB) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(fds)
}
