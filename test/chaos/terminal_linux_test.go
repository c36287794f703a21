package chaos

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// terminal opens a pseudo terminal.
func terminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("this machine has no pseudo terminals: %v", err)
	}
	require.NoError(t, unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	return person, program
}

// startOn starts the daemon as a shell does that has only this to do: in the foreground of a terminal.
func (w *world) startOn(t *testing.T) (person *os.File) {
	t.Helper()
	person, program := terminal(t)
	t.Cleanup(func() { _ = person.Close() }) // a second time, it may be
	cmd := exec.Command(w.program, "run", "-c", w.config)
	cmd.Stdin = program
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	w.daemon = w.command(cmd)
	require.NoError(t, program.Close())
	w.daemon.up()
	return person
}

func TestWhatHappensToTheTerminalDoesNotReachTheChildren(t *testing.T) { // 22
	t.Parallel()
	w := newWorld(t)
	w.global = "on_shutdown: leave"
	w.declare(app{id: "a"}, Control{})
	w.declare(app{id: "b"}, Control{})
	w.write()

	person := w.startOn(t)
	w.converge(nil)
	before := w.processes()
	for _, p := range before {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID))
		require.NoError(t, err)
		require.Equal(t, "0", strings.Fields(string(text[strings.LastIndexByte(string(text), ')'):]))[5],
			"it has a terminal")
	}
	_, err := person.WriteString("\x03") // Ctrl-C
	require.NoError(t, err)
	require.Equal(t, 0, w.daemon.wait(5*time.Second), "%s", w.daemon.log())
	require.NoError(t, person.Close())

	person = w.startOn(t)
	w.converge(nil)
	require.NoError(t, person.Close()) // the window is closed: HUP
	w.daemon.said("HUP")
	w.judge(w.converge(nil))
	require.Equal(t, before, w.processes())
	for _, l := range w.lives() {
		require.Empty(t, l.Signals, "process %d", l.PID)
		require.Zero(t, l.Terms)
	}
}
