package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// serviceManager stands in for systemd: it keeps the descriptors it is sent.
type serviceManager struct {
	t      *testing.T
	socket string
	heard  chan notice
	kept   map[string]*os.File
}

type notice struct {
	state string
	file  *os.File
}

func newServiceManager(t *testing.T, dir string) *serviceManager {
	m := &serviceManager{t: t, socket: filepath.Join(dir, "notify"), heard: make(chan notice, 100), kept: map[string]*os.File{}}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.socket, Net: "unixgram"})
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			state, oob := make([]byte, 4096), make([]byte, 4096)
			n, o, _, _, err := conn.ReadMsgUnix(state, oob)
			if err != nil {
				return
			}
			heard := notice{state: string(state[:n])}
			if messages, err := syscall.ParseSocketControlMessage(oob[:o]); err == nil && len(messages) == 1 {
				if fds, err := syscall.ParseUnixRights(&messages[0]); err == nil && len(fds) == 1 {
					heard.file = os.NewFile(uintptr(fds[0]), "kept")
				}
			}
			m.heard <- heard
		}
	}()
	t.Cleanup(func() {
		require.NoError(t, conn.Close())
		<-done
		for _, f := range m.kept {
			_ = f.Close()
		}
	})
	return m
}

// listen takes in what was said, and returns how many descriptors are kept.
func (m *serviceManager) listen() int {
	for {
		select {
		case n := <-m.heard:
			name := ""
			for line := range strings.Lines(n.state) {
				if value, found := strings.CutPrefix(strings.TrimSpace(line), "FDNAME="); found {
					name = value
				}
			}
			switch {
			case strings.HasPrefix(n.state, "FDSTORE=1\n"):
				require.Contains(m.t, n.state, "FDPOLL=0", "or it is thrown out when the process ends")
				require.NotNil(m.t, n.file)
				m.kept[name] = n.file
			case strings.HasPrefix(n.state, "FDSTOREREMOVE=1\n"):
				require.Contains(m.t, m.kept, name)
				_ = m.kept[name].Close()
				delete(m.kept, name)
			}
		default:
			return len(m.kept)
		}
	}
}

// hears waits for a message that begins so, and returns it; what else is said meanwhile is taken in by skip, if it is not nil.
func (m *serviceManager) hears(begin string, skip func(state string)) string {
	m.t.Helper()
	late := time.After(10 * time.Second)
	for {
		select {
		case n := <-m.heard:
			if n.file != nil {
				_ = n.file.Close()
			}
			if strings.HasPrefix(n.state, begin) {
				return n.state
			}
			if skip != nil {
				skip(n.state)
			}
		case <-late:
			require.Fail(m.t, "the service manager is not told "+begin)
		}
	}
}

// starts starts a program as systemd does, with what it keeps. The shell is there to learn the pid before the exec.
func (m *serviceManager) starts(cmd *exec.Cmd) {
	var names []string
	for name, f := range m.kept {
		names = append(names, name)
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	}
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+m.socket, fmt.Sprintf("LISTEN_FDS=%d", len(names)), "LISTEN_FDNAMES="+strings.Join(names, ":"))
	cmd.Args = append([]string{"/bin/sh", "-c", `LISTEN_PID=$$ WATCHDOG_PID=$$ exec "$0" "$@"`, cmd.Path}, cmd.Args[1:]...)
	cmd.Path = "/bin/sh"
}

func TestTheStatusOfAChildThatDiedWhileNoDaemonLivedIsKnownByTheDescriptorStore(t *testing.T) {
	s := newSite(t, "restart: {initial: 50ms}", "a: serve", "b: serve")
	m := newServiceManager(t, s.dir)
	r := s.run(m.starts)
	s.ok("start", "--all", "--wait")
	s.eventually("both are kept", func() bool { return m.listen() == 2 })
	a, b := s.instance("a"), s.instance("b")

	r.signal(syscall.SIGKILL)
	r.ends()
	require.NoError(t, syscall.Kill(a.PID, syscall.SIGTERM)) // it has no handler: the signal ends it, and init reaps it
	s.eventually("it is gone", func() bool { return syscall.Kill(a.PID, 0) == syscall.ESRCH })

	r = s.run(m.starts)
	s.eventually("a is back", func() bool { return s.instance("a").Restarts == 1 && s.instance("a").PID != 0 })
	last := s.instance("a").LastExit
	require.True(t, last.Known)
	require.Equal(t, "TERM", last.Signal)
	require.Equal(t, b.PID, s.instance("b").PID)
	s.eventually("the dead one is taken out, the new one is kept", func() bool { return m.listen() == 2 })
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", s.instance("a").PID))
	require.NoError(t, err)
	require.NotContains(t, string(environ), "LISTEN_")
	require.NotContains(t, string(environ), "NOTIFY_SOCKET", "a child must not speak for the daemon")

	r.signal(syscall.SIGTERM)
	require.Zero(t, r.ends())
	s.eventually("nothing is kept of what has ended", func() bool { return m.listen() == 0 })
}
