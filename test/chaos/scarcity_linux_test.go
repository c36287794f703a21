package chaos

import (
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// limitedDaemon starts the world's daemon under a limit of a resource, as the user given.
func (w *world) limitedDaemon(resource, limit, uid int) *daemon {
	w.Helper()
	self, err := os.Executable()
	require.NoError(w, err)
	cmd := exec.Command(self, w.program, "run", "-c", w.config)
	w.daemon = w.command(cmd, envHelper+"=limited", fmt.Sprintf("%s=%d=%d=%d", envLimit, resource, limit, uid))
	w.watcher.mind(w.daemon.pid())
	return w.daemon
}

// phases counts the instances by phase.
func (d *daemon) phases() map[string]int {
	d.w.Helper()
	doc, err := d.status()
	require.NoError(d.w, err)
	n := map[string]int{}
	for _, s := range doc.Instances {
		n[s.Phase]++
	}
	return n
}

// first returns an instance of the phase.
func (d *daemon) first(phase string) string {
	d.w.Helper()
	doc, err := d.status()
	require.NoError(d.w, err)
	for _, s := range doc.Instances {
		if s.Phase == phase {
			return s.ID
		}
	}
	d.w.Fatalf("none is %s", phase)
	return ""
}

// many declares so many instances.
func (w *world) many(n int) {
	w.apps = nil
	for i := range n {
		w.declare(app{id: fmt.Sprintf("i%02d", i), spec: "1"}, Control{})
	}
	w.write()
}

// F116: control and what is controlled do not compete for the last descriptor.
func TestADaemonThatIsOutOfDescriptorsStaysInControl(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.many(40)
	d := w.limitedDaemon(unix.RLIMIT_NOFILE, 64, os.Geteuid()).up()
	d.said("the limit of open files is too low for the list", `"limit":64`, `"instances":40`)
	var running int
	w.eventually(20*time.Second, "as many run as fit, and the others wait", func() bool {
		n := d.phases()
		running = n["running"]
		return running >= 5 && n["running"]+n["starting"] == 40 &&
			strings.Contains(w.reasonOf(d.first("starting")), "file descriptors")
	})
	// Who follows what happens does not keep others from asking,
	for range 24 {
		conn, err := net.Dial("unix", w.socket)
		require.NoError(t, err)
		defer conn.Close()
		_, err = io.WriteString(conn, "GET /v1/events?follow=true HTTP/1.1\r\nHost: procman\r\n\r\n")
		require.NoError(t, err)
	}
	// and everything can be asked, also by several.
	var callers sync.WaitGroup
	for range 16 {
		callers.Go(func() {
			for _, path := range []string{"/v1/instances", "/v1/instances/i00/why", "/healthz"} {
				if err := d.ask("GET", path, nil); err != nil {
					t.Errorf("GET %s: %v", path, err)
				}
			}
		})
	}
	callers.Wait()
	for _, id := range []string{"i00", "i01"} { // how many fit depends on what else is open in the moment, by one
		out, code := w.cli("stop", id, "--wait", "--timeout", "1m")
		require.Zero(t, code, out)
	}
	w.eventually(20*time.Second, "another has taken their place",
		func() bool { return d.phases()["running"] >= running-1 })
	w.many(running) // the list is made shorter
	out, code := w.cli("reload")
	require.Zero(t, code, out)
	w.eventually(20*time.Second, "the rest runs", func() bool {
		n := d.phases()
		return n["running"] == running-2 && n["stopped"] == 2
	})
	out, code = w.cli("shutdown")
	require.Zero(t, code, out)
	require.Zero(t, d.wait(20*time.Second))
}

// reasonOf returns the reason that is shown of an instance.
func (w *world) reasonOf(id string) string {
	w.Helper()
	out, _ := w.cli("why", id)
	return out
}

// F117: the runtime ends a program to which the kernel refuses a thread.
func TestADaemonAtTheLimitOfProcessesLivesOn(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can be another user, whose processes are counted alone")
	}
	t.Parallel()
	w := newWorld(t)
	uid := 62000 + os.Getpid()%1000
	for _, dir := range []string{filepath.Dir(w.dir), w.dir, bin.dir} {
		require.NoError(t, os.Chmod(dir, 0o755))
	}
	require.NoError(t, os.Chown(w.dir, uid, uid))
	w.socket = filepath.Join(w.dir, "s")
	w.many(30)
	files, err := os.ReadDir(w.dir)
	require.NoError(t, err)
	for _, f := range files {
		require.NoError(t, os.Chown(filepath.Join(w.dir, f.Name()), uid, uid))
	}
	d := w.limitedDaemon(unix.RLIMIT_NPROC, 40, uid).up()
	w.eventually(20*time.Second, "some run, and the others wait", func() bool {
		n := d.phases()
		return n["running"] >= 1 && n["running"]+n["starting"] == 30 &&
			strings.Contains(w.reasonOf("i29"), "processes and threads")
	})
	var callers sync.WaitGroup
	for range 32 { // as many blocking calls at once as may be
		callers.Go(func() {
			for range 5 {
				if _, err := d.status(); err != nil {
					t.Errorf("status: %v", err)
				}
			}
		})
	}
	callers.Wait()
	require.True(t, d.alive())
	d.mustDo("stop", "i29")
	out, code := w.cli("shutdown")
	require.Zero(t, code, out)
	require.Zero(t, d.wait(20*time.Second), "an instance may have failed for want of a thread; the daemon has not")
}

// `ulimit -f`: the kernel ends a program that writes beyond it, unless that says otherwise.
func TestADaemonWhoseFilesMayNotGrowLivesOn(t *testing.T) {
	t.Parallel()
	const limit = 16 << 10
	w := newWorld(t)
	w.many(2)
	d := w.limitedDaemon(unix.RLIMIT_FSIZE, limit, os.Geteuid()).up()
	d.healthy("i00")
	w.eventually(20*time.Second, "its log can grow no more", func() bool {
		d.mustDo("restart", "i00")
		info, err := os.Stat(w.logOf(d.number))
		require.NoError(t, err)
		return info.Size() == limit
	})
	for range 5 {
		d.mustDo("restart", "i00")
	}
	d.healthy("i00")
	out, code := w.cli("shutdown")
	require.Zero(t, code, out)
	require.Zero(t, d.wait(20*time.Second))
}

// F130: both ports of a range of two are taken by a stranger for a while.
func TestAStartWithoutAFreePortWaitsForOneWhateverItsMode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ports[1] = w.ports[0] + 1
	var taken []net.Listener
	for port := w.ports[0]; port <= w.ports[1]; port++ {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		require.NoError(t, err)
		taken = append(taken, l)
	}
	w.declare(app{id: "once", spec: "1", policy: "restart: {mode: never}"}, Control{})
	w.declare(app{id: "thrice", spec: "1", policy: "restart: {max_attempts: 1, initial: 10ms, max: 10ms}"}, Control{})
	w.write()
	d := w.start().up()
	for _, id := range []string{"once", "thrice"} {
		d.said("start failed", id, "no free port")
		d.await(id, "waiting", func(s shown) bool { return s.Phase == "starting" })
		require.Contains(t, w.reasonOf(id), "2 are taken by other programs")
	}
	for _, l := range taken {
		require.NoError(t, l.Close())
	}
	for _, id := range []string{"once", "thrice"} {
		d.healthy(id)
	}
	require.Equal(t, 2, strings.Count(d.log(), "start failed"), "it was said once each")
}

// hungMount mounts a file system that answers nothing, until the test ends.
func hungMount(t *testing.T) (dir string) {
	dir = t.TempDir()
	device, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no FUSE here: %v", err)
	}
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=%d,group_id=0", device.Fd(), os.Getuid())
	if err := unix.Mount("hung", dir, "fuse.hung", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		_ = device.Close()
		t.Skipf("a file system cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		_ = unix.Unmount(dir, unix.MNT_DETACH)
		_ = device.Close() // ends what still waits for an answer
	})
	return dir
}

// FAULTS 61: a program on a file system that does not answer keeps its own instances waiting, and nobody else.
func TestAProgramOnAHungMountKeepsOnlyItsOwnInstancesWaiting(t *testing.T) {
	t.Parallel()
	hung := hungMount(t)
	w := newWorld(t)
	for n := range 12 { // more than may start at once
		w.declare(app{id: fmt.Sprintf("h%d", n), spec: "1", policy: "executable: " + hung + "/server"}, Control{})
	}
	w.declare(app{id: "web", spec: "1"}, Control{})
	w.write()
	d := w.start().up()
	d.healthy("web")
	w.eventually(20*time.Second, "it is said what they wait for", func() bool {
		out, _ := w.cli("why", "h0")
		return strings.Contains(out, "does not answer")
	})
	w.declare(app{id: "later", spec: "1"}, Control{})
	w.write()
	require.NoError(t, d.reload())
	d.healthy("later")
	out, code := w.cli("stop", "h0", "h1", "--wait", "--timeout", "1m")
	require.Zero(t, code, out)
	out, code = w.cli("shutdown")
	require.Zero(t, code, out)
	require.Zero(t, d.wait(20*time.Second))
}

// FAULTS 97: what the daemon was started under is not what its children get, but for what a parent means them to have.
func TestAChildIsCleanHoweverTheDaemonWasStarted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.declare(app{id: "a", spec: "1", policy: "executable: /bin/sleep\nargs: ['600']"}, Control{})
	w.write()
	self, err := os.Executable()
	require.NoError(t, err)
	w.daemon = w.command(exec.Command(self, w.program, "run", "-c", w.config), envHelper+"=unclean")
	d := w.daemon.up()
	look := func() (status map[string]string, files string) {
		t.Helper()
		pid := d.await("a", "started", func(s shown) bool { return s.PID != 0 }).PID
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		require.NoError(t, err)
		status = map[string]string{}
		for line := range strings.Lines(string(text)) {
			name, value, _ := strings.Cut(line, ":")
			status[name] = strings.TrimSpace(value)
		}
		text, err = os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
		require.NoError(t, err)
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, "Max open files") {
				files = strings.Join(strings.Fields(line)[3:5], " of ")
			}
		}
		return status, files
	}
	clean := func() {
		t.Helper()
		status, files := look()
		for _, mask := range []string{"SigBlk", "SigIgn"} {
			require.Equal(t, "0000000000000000", status[mask], mask)
		}
		require.Equal(t, "0000", status["Umask"], "what a parent means them to have they have")
		pid, _ := strconv.Atoi(status["Pid"])
		nice, err := unix.Getpriority(unix.PRIO_PROCESS, pid)
		require.NoError(t, err)
		require.Equal(t, 20-5, nice, "nice, as the system call returns it")
		require.Equal(t, "300 of 2000", files, "the soft limit is not that to which the daemon has raised its own")
	}
	clean()
	out, code := w.cli("upgrade")
	require.Zero(t, code, out)
	d.up().mustDo("restart", "a")
	d.await("a", "restarted", func(s shown) bool { return s.Run == 2 && s.PID != 0 })
	clean()
	require.NoError(t, filepath.WalkDir(w.state, func(path string, e fs.DirEntry, err error) error {
		require.NoError(t, err)
		info, err := e.Info()
		require.NoError(t, err)
		require.Zero(t, info.Mode().Perm()&0o077, "%s: others than the user can come at it, under a umask of 0", path)
		return nil
	}))
	out, code = w.cli("shutdown")
	require.Zero(t, code, out)
}
