package chaos

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// holdSocket is where the helper sends the listener of its filter.
const holdSocket = 3

// heldExec becomes the command line it was given, under a seccomp filter that asks whoever has the listener before
// every exec: so a process can be held between fork and exec for as long as a test likes.
func heldExec() error {
	runtime.LockOSThread() // a filter is its thread's, and is inherited by what the thread executes
	unix.CloseOnExec(holdSocket)
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}, // the number of the system call
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: unix.SYS_EXECVE},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	listener, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	if err := unix.Sendmsg(holdSocket, []byte{0}, unix.UnixRights(int(listener)), nil, 0); err != nil {
		return err
	}
	return syscall.Exec(os.Args[1], os.Args[1:], append(os.Environ(), envHelper+"="))
}

// execs is the listener's end.
type execs struct{ fd int }

// next waits for the next exec, and returns a number for it and the process.
func (x execs) next(within time.Duration) (id uint64, pid int, err error) {
	for deadline := time.Now().Add(within); ; {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(x.fd), Events: unix.POLLIN}}, 20)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return 0, 0, err
		}
		if n > 0 {
			break
		}
		if time.Now().After(deadline) {
			return 0, 0, errors.New("nobody executed anything")
		}
	}
	var notice struct {
		id         uint64
		pid, flags uint32
		data       [64]byte
	}
	const receive = 0xc0502100 // SECCOMP_IOCTL_NOTIF_RECV
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(x.fd), receive,
		uintptr(unsafe.Pointer(&notice))); errno != 0 {
		return 0, 0, errno
	}
	return notice.id, int(notice.pid), nil
}

// pass lets an exec happen.
func (x execs) pass(id uint64) error {
	answer := struct {
		id           uint64
		value        int64
		errno, flags int32
	}{id: id, flags: 1} // SECCOMP_USER_NOTIF_FLAG_CONTINUE
	const send = 0xc0182101 // SECCOMP_IOCTL_NOTIF_SEND
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(x.fd), send, uintptr(unsafe.Pointer(&answer))); errno != 0 {
		return errno
	}
	return nil
}

// startHeld starts the daemon, which then asks before every exec.
func (w *world) startHeld() execs {
	w.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(w, err)
	theirs := os.NewFile(uintptr(pair[1]), "listener")
	self, err := os.Executable()
	require.NoError(w, err)
	cmd := exec.Command(self, w.program, "run", "-c", w.config)
	cmd.ExtraFiles = []*os.File{theirs}
	// A Go program waits for its fork without giving its processor away, so that a collection of garbage waits too, and
	// everything with it. What is held here for long takes microseconds in life.
	w.daemon = w.command(cmd, envHelper+"=held", "GOGC=off")
	require.NoError(w, theirs.Close())
	defer unix.Close(pair[0])
	oob := make([]byte, unix.CmsgSpace(4))
	require.NoError(w, unix.SetsockoptTimeval(pair[0], unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 10}))
	_, n, _, _, err := unix.Recvmsg(pair[0], make([]byte, 1), oob, 0)
	for errors.Is(err, unix.EINTR) {
		_, n, _, _, err = unix.Recvmsg(pair[0], make([]byte, 1), oob, 0)
	}
	require.NoError(w, err)
	if n == 0 {
		w.Skipf("this machine does not let us install a seccomp listener: %s", w.daemon.log())
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	require.NoError(w, err)
	rights, err := unix.ParseUnixRights(&messages[0])
	require.NoError(w, err)
	x := execs{rights[0]}
	w.Cleanup(func() { _ = unix.Close(x.fd) })
	for {
		id, pid, err := x.next(10 * time.Second)
		require.NoError(w, err)
		// What is told is the thread, and a Go program executes in any of its own.
		require.DirExists(w, fmt.Sprintf("/proc/%d/task/%d", w.daemon.pid(), pid),
			"the first to execute anything is the daemon itself")
		// A signal, of Go's scheduler, may have taken it out of the call: then it asks again. A child has its signals
		// blocked.
		if err = x.pass(id); !errors.Is(err, unix.ENOENT) {
			require.NoError(w, err)
			return x
		}
	}
}

// TestAManagerKilledBetweenForkAndExecLeavesAProcessThatIsFound: until its exec the child has the lock of the state
// directory, and shows no environment of its own.
func TestAManagerKilledBetweenForkAndExecLeavesAProcessThatIsFound(t *testing.T) { // 4
	t.Parallel()
	for name, after := range map[string]time.Duration{"at once": 0,
		"while the next manager waits": 300 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.declare(app{id: "a"}, Control{})
			w.write()
			x := w.startHeld()
			id, pid, err := x.next(10 * time.Second)
			require.NoError(t, err)
			st, err := readStat(pid)
			require.NoError(t, err)
			w.daemon.kill()
			if after > 0 {
				w.start()
				time.Sleep(after)
				require.True(t, w.daemon.alive(), "it gave up: %s", w.daemon.log())
				require.NotContains(t, w.daemon.log(), "instance started")
				require.NoError(t, x.pass(id))
			} else {
				require.NoError(t, x.pass(id))
				w.start()
			}
			w.daemon.up()
			w.judge(w.converge(nil))
			require.Equal(t, map[string]Process{"a": {pid, st.Start}}, w.processes(),
				"the process that was held is the instance's")
			require.Len(t, Of(w.lives(), "a"), 1)
			s, _ := w.daemon.shown("a")
			require.True(t, s.Adopted)
		})
	}
}

// TestAManagerWaitsForAHeldChildOfItsPredecessorForASecondOnly: then it says 75, and touches nothing.
func TestAManagerWaitsForAHeldChildOfItsPredecessorForASecondOnly(t *testing.T) { // 4
	t.Parallel()
	w := newWorld(t)
	w.declare(app{id: "a"}, Control{})
	w.write()
	x := w.startHeld()
	id, _, err := x.next(10 * time.Second)
	require.NoError(t, err)
	w.daemon.kill()
	w.start()
	require.Equal(t, 75, w.daemon.wait(3*time.Second))
	require.NoError(t, x.pass(id))
	w.start().up()
	w.judge(w.converge(nil))
	require.Len(t, Of(w.lives(), "a"), 1)
}

// TestAStopBetweenForkAndExecIsObeyed: the process has no handler for TERM yet.
func TestAStopBetweenForkAndExecIsObeyed(t *testing.T) { // 28, 46
	t.Parallel()
	w := newWorld(t)
	w.declare(app{id: "a"}, Control{})
	w.write()
	x := w.startHeld()
	id, pid, err := x.next(10 * time.Second)
	require.NoError(t, err)
	st, err := readStat(pid)
	require.NoError(t, err)
	w.daemon.up()
	w.daemon.mustDo("stop", "a")
	w.daemon.await("a", "stopping", func(s shown) bool { return s.Phase == "stopping" })
	require.NoError(t, x.pass(id))
	w.converge(map[string]bool{"a": true})
	w.gone(Process{pid, st.Start})
	w.judge(nil)
}
