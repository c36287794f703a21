package cli

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// serviceManager stands in for systemd: it hears what the daemon says, and keeps the descriptors it is sent.
type serviceManager struct {
	t        *testing.T
	s        *site
	socket   string
	watchdog time.Duration // 0: none

	mu       sync.Mutex
	said     []saying
	kept     []kept
	problems []string
}

// saying is a message of the daemon, and when it came.
type saying struct {
	state string
	at    time.Time
}

type kept struct {
	name string
	file *os.File
}

func newServiceManager(s *site) *serviceManager {
	m := &serviceManager{t: s.t, s: s, socket: filepath.Join(s.dir, "notify")}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.socket, Net: "unixgram"})
	require.NoError(m.t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		state, oob := make([]byte, 4096), make([]byte, 4096)
		for {
			n, o, _, _, err := conn.ReadMsgUnix(state, oob)
			if err != nil {
				return
			}
			m.hear(string(state[:n]), received(oob[:o]))
		}
	}()
	m.t.Cleanup(func() {
		require.NoError(m.t, conn.Close())
		<-done
		for _, k := range m.kept {
			require.NoError(m.t, k.file.Close())
		}
		require.Empty(m.t, m.problems)
	})
	return m
}

// received returns the descriptors that came with a message.
func received(oob []byte) (files []*os.File) {
	messages, err := syscall.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	for _, message := range messages {
		if fds, err := syscall.ParseUnixRights(&message); err == nil {
			for _, fd := range fds {
				unix.CloseOnExec(fd)
				files = append(files, os.NewFile(uintptr(fd), "kept"))
			}
		}
	}
	return files
}

func (m *serviceManager) hear(state string, files []*os.File) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.said = append(m.said, saying{state, time.Now()})
	name := field(state, "FDNAME")
	switch {
	case field(state, "FDSTORE") == "1":
		if field(state, "FDPOLL") != "0" || len(files) != 1 {
			m.problems = append(m.problems, "it would be thrown out when the process ends: "+state)
			return
		}
		for _, k := range m.kept {
			// The same open file is kept once, as systemd does it; another one under the same name is kept beside it.
			if same, err := unix.FcntlInt(k.file.Fd(), unix.F_DUPFD_QUERY, int(files[0].Fd())); err == nil &&
				same == 1 {
				_ = files[0].Close()
				return
			}
		}
		m.kept = append(m.kept, kept{name, files[0]})
	case field(state, "FDSTOREREMOVE") == "1":
		m.kept = slices.DeleteFunc(m.kept, func(k kept) bool {
			if k.name == name {
				_ = k.file.Close()
			}
			return k.name == name
		})
	}
}

// field returns the value of a variable in a message.
func field(state, name string) string {
	for line := range strings.Lines(state) {
		if value, found := strings.CutPrefix(strings.TrimSuffix(line, "\n"), name+"="); found {
			return value
		}
	}
	return ""
}

// keeps returns how many descriptors are kept.
func (m *serviceManager) keeps() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.kept)
}

// heard returns what was said from a certain message on, without what is about descriptors.
func (m *serviceManager) heard(from int) []saying {
	m.mu.Lock()
	defer m.mu.Unlock()
	said := slices.Clone(m.said[min(from, len(m.said)):])
	return slices.DeleteFunc(said, func(s saying) bool { return strings.HasPrefix(s.state, "FDSTORE") })
}

// about returns what was said about descriptors from a certain message on.
func (m *serviceManager) about(from int) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var b strings.Builder
	for _, s := range m.said[min(from, len(m.said)):] {
		if strings.HasPrefix(s.state, "FDSTORE") {
			b.WriteString(s.state + "\n")
		}
	}
	return b.String()
}

// now returns the number of messages until now.
func (m *serviceManager) now() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.said)
}

// await returns the first message after a certain one in which a variable has that value.
func (m *serviceManager) await(from int, variable, value string) saying {
	m.t.Helper()
	var found saying
	m.s.eventually(variable+"="+value+" is said", func() bool {
		for _, s := range m.heard(from) {
			if field(s.state, variable) == value {
				found = s
				return true
			}
		}
		return false
	})
	return found
}

// copied returns a descriptor of its own: the one that is kept may be taken out while the program is being started.
func (m *serviceManager) copied(file *os.File) *os.File {
	fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	require.NoError(m.t, err)
	copied := os.NewFile(uintptr(fd), file.Name())
	m.t.Cleanup(func() { require.NoError(m.t, copied.Close()) })
	return copied
}

// starts starts a program as systemd does, with what is kept. The shell is there to learn the pid before the exec.
func (m *serviceManager) starts(cmd *exec.Cmd) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for _, k := range m.kept {
		names = append(names, k.name)
		cmd.ExtraFiles = append(cmd.ExtraFiles, m.copied(k.file))
	}
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+m.socket, fmt.Sprintf("LISTEN_FDS=%d", len(names)),
		"LISTEN_FDNAMES="+strings.Join(names, ":"))
	if m.watchdog > 0 {
		cmd.Env = append(cmd.Env, fmt.Sprintf("WATCHDOG_USEC=%d", m.watchdog.Microseconds()))
	}
	cmd.Args = append([]string{"/bin/sh", "-c", `LISTEN_PID=$$ WATCHDOG_PID=$$ exec "$0" "$@"`, cmd.Path},
		cmd.Args[1:]...)
	cmd.Path = "/bin/sh"
}

// reloads does what `systemctl reload` does with Type=notify-reload: HUP, a RELOADING that is newer, READY. It returns
// the status at the end.
func (m *serviceManager) reloads(d *running) string {
	m.t.Helper()
	var clock unix.Timespec
	require.NoError(m.t, unix.ClockGettime(unix.CLOCK_MONOTONIC, &clock))
	from := m.now()
	d.signal(syscall.SIGHUP)
	begun := m.await(from, "RELOADING", "1")
	var usec int64
	_, err := fmt.Sscan(field(begun.state, "MONOTONIC_USEC"), &usec)
	require.NoError(m.t, err, begun.state)
	require.GreaterOrEqual(m.t, usec, clock.Nano()/1000)
	require.NoError(m.t, unix.ClockGettime(unix.CLOCK_MONOTONIC, &clock))
	require.LessOrEqual(m.t, usec, clock.Nano()/1000)
	ready := m.await(from, "READY", "1")
	require.False(m.t, ready.at.Before(begun.at))
	return field(ready.state, "STATUS")
}

// outlasted waits until the daemon has given no sign of life for longer than the watchdog allows.
func (m *serviceManager) outlasted() {
	m.t.Helper()
	m.s.eventually("the watchdog bites", func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		last := time.Time{}
		for _, s := range m.said {
			if field(s.state, "WATCHDOG") == "1" {
				last = s.at
			}
		}
		return time.Since(last) > m.watchdog
	})
}
