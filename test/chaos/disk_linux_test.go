package chaos

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// These tests mount small file systems of their own, which only root can, and let them go full, read-only, broken and
// silent.

// mount makes path the root of a file system of its own.
func (w *world) mount(path, source, kind string, flags uintptr, data string) {
	w.Helper()
	require.NoError(w, os.MkdirAll(path, 0o700))
	if err := unix.Mount(source, path, kind, flags, data); errors.Is(err, unix.EPERM) {
		w.Skipf("a file system cannot be mounted here: %v", err)
	} else {
		require.NoError(w, err)
	}
	w.unmountLater(path)
}

// unmountLater takes the file system away at the end, though what is ended after that still uses it.
func (w *world) unmountLater(path string) {
	w.Helper()
	w.guard(path)
	w.Cleanup(func() {
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
			w.Errorf("%s: %v", path, err)
		}
	})
}

// guard lets nothing stay mounted or frozen when the tests are ended before they clean up: a process of its own sees
// the end of a pipe.
func (w *world) guard(path string) {
	w.Helper()
	if w.guarded == nil {
		cmd := exec.Command("sh", "-c",
			`while read p; do all="$p $all"; done; for p in $all; do fsfreeze -u "$p"; umount -l "$p"; done`)
		cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true}
		in, err := cmd.StdinPipe()
		require.NoError(w, err)
		require.NoError(w, ours.start(cmd))
		w.guarded = in
		w.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = ours.wait(cmd) // killed, as it says
		})
	}
	_, err := fmt.Fprintln(w.guarded, path)
	require.NoError(w, err)
}

// small makes path a file system with so much room, in memory.
func (w *world) small(path, size string) {
	w.Helper()
	w.mount(path, "none", "tmpfs", 0, "mode=700,size="+size)
}

// disk makes path a file system on a disk, which can be frozen and broken.
func (w *world) disk(path string) {
	w.Helper()
	require.NoError(w, os.MkdirAll(path, 0o700))
	image := filepath.Join(w.dir, "image")
	require.NoError(w, os.WriteFile(image, nil, 0o600))
	require.NoError(w, os.Truncate(image, 8<<20))
	for _, line := range [][]string{{"mkfs.ext4", "-q", image}, {"mount", "-o", "loop", image, path}} {
		if _, err := exec.LookPath(line[0]); err != nil {
			w.Skipf("no disk can be made: %v", err)
		}
		if out, err := ours.output(exec.Command(line[0], line[1:]...)); err != nil {
			w.Skipf("no disk can be made: %s: %v: %s", line[0], err, out)
		}
	}
	w.unmountLater(path)
	require.NoError(w, os.Chmod(path, 0o700))
}

// Requests of Linux to file systems, which golang.org/x/sys does not name.
const (
	freezeRequest   = 0xc0045877
	thawRequest     = 0xc0045878
	shutdownRequest = 0x8004587d // from here on everything is an I/O error
	withoutFlush    = 2
)

func (w *world) request(path string, request uint, value int) {
	w.Helper()
	f, err := os.Open(path)
	require.NoError(w, err)
	defer f.Close()
	require.NoError(w, unix.IoctlSetPointerInt(int(f.Fd()), request, value))
}

// freeze lets whoever writes to the file system wait, uninterruptibly, until thaw.
func (w *world) freeze(path string) (thaw func()) {
	w.Helper()
	w.request(path, freezeRequest, 0)
	frozen := true
	thaw = func() {
		if frozen {
			frozen = false
			w.request(path, thawRequest, 0)
		}
	}
	w.Cleanup(thaw)
	return thaw
}

// fill leaves no room in the file system at path.
func (w *world) fill(path string) (empty func()) {
	w.Helper()
	name := filepath.Join(path, "filler")
	f, err := os.Create(name)
	require.NoError(w, err)
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	require.ErrorIs(w, err, unix.ENOSPC)
	return func() { require.NoError(w, os.Remove(name)) }
}

// abc declares instances that do as they should, and starts a daemon on them.
func (w *world) abc(ids ...string) (*daemon, map[string]Process) {
	w.Helper()
	for _, id := range ids {
		w.declare(app{id: id, spec: "1"}, Control{})
	}
	w.write()
	d := w.start().up()
	of := map[string]Process{}
	for _, id := range ids {
		d.healthy(id)
		of[id] = d.process(id)
	}
	return d, of
}

// keeps reports whether the last good configuration, as it is on disk, is the one that is declared.
func (w *world) keeps() bool {
	text, err := os.ReadFile(filepath.Join(w.state, "last-good.json"))
	if err != nil {
		return false
	}
	var kept struct {
		Body struct {
			Snapshot struct{ Files map[string][]byte }
		}
	}
	require.NoError(w, json.Unmarshal(text, &kept))
	return string(kept.Body.Snapshot.Files[w.config]) == w.yaml()
}

// unsaved returns what is shown of an instance that is not on disk.
func (d *daemon) unsaved(id string) string {
	d.w.Helper()
	var shown struct{ Unsaved string }
	require.NoError(d.w, d.ask("GET", "/v1/instances/"+id, &shown))
	return shown.Unsaved
}

// control has everything done that a person does, while nothing can be written for the reason given: status, a stop,
// and a shorter and a longer list.
func (w *world) underControl(d *daemon, of map[string]Process, why string) {
	w.Helper()
	out, code := w.cli("status")
	require.Zero(w, code, out)
	out, code = w.cli("stop", "b", "--wait", "--timeout", "1m")
	require.Zero(w, code, out)
	require.Contains(w, out, "stopped, but this could not be written ("+why)
	require.Contains(w, out, "a crash of the daemon would forget it")
	require.NotContains(w, w.everyone(), of["b"])
	w.undeclare("c")
	w.declare(app{id: "d", spec: "1"}, Control{})
	w.write()
	out, code = w.cli("reload")
	require.Zero(w, code, out)
	w.eventually(10*time.Second, "what left the list has ended",
		func() bool { _, lives := w.everyone()[of["c"]]; return !lives })
	s, known := d.shown("a")
	require.True(w, known)
	require.Equal(w, of["a"].PID, s.PID, "nothing else is touched")
	require.Equal(w, "running", s.Phase)
	_, known = d.shown("d")
	require.True(w, known, "the list is in force")
}

// durable waits until everything that was done meanwhile is on disk, without a new daemon; then it kills this one, and
// the next one knows all of it, also the list, which it cannot read any more.
func (w *world) durable(d *daemon, of map[string]Process) {
	w.Helper()
	d.healthy("d")
	of["d"] = d.process("d")
	w.eventually(20*time.Second, "all is on disk", func() bool { return d.unsaved("b") == "" && w.keeps() })
	d.kill()
	w.replace(w.config, []byte("state_dir: "+w.state+"\nsocket: "+w.socket+"\ninstances: [\n"))
	d = w.start().up()
	d.said("the last good one", "is in force")
	s, _ := d.shown("b")
	require.True(w, s.Held, "a hold outlives the daemon")
	require.Zero(w, s.PID)
	for _, id := range []string{"a", "d"} {
		require.Equal(w, of[id], d.process(id), "%s is taken over", id)
	}
	_, known := d.shown("c")
	require.False(w, known)
	out, code := w.cli("shutdown")
	require.Zero(w, code, out)
	require.Zero(w, d.wait(10*time.Second))
	require.Empty(w, w.managed())
	require.Empty(w, NeverTwo(w.lives()))
}

// FAULTS 90: nothing can be written into the state directory.
func TestAFullStateDiskKeepsNobodyFromControlAndAllIsWrittenOnceThereIsRoom(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.small(w.state, "1m")
	d, of := w.abc("a", "b", "c")
	empty := w.fill(w.state)
	w.underControl(d, of, "no space left on device")
	signalProcess(of["a"], unix.SIGKILL)
	w.eventually(10*time.Second, "what dies is started again", func() bool {
		s, _ := d.shown("a")
		return s.PID != 0 && s.PID != of["a"].PID && s.Health == "healthy"
	})
	of["a"] = d.process("a")
	empty()
	w.durable(d, of)
}

// FAULTS 90: a disk turned read-only.
func TestAReadOnlyStateDiskKeepsNobodyFromControlAndWhatDiesWaitsForIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.small(w.state, "1m")
	d, of := w.abc("a", "b", "c")
	// Over itself: what is opened now is read-only, what was open stays as it was, as with a disk that fails.
	w.mount(w.state, w.state, "", unix.MS_BIND, "")
	require.NoError(t, unix.Mount("", w.state, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	w.underControl(d, of, "read-only file system")
	signalProcess(of["a"], unix.SIGKILL)
	waits := d.await("a", "said to wait", func(s shown) bool {
		return s.Phase == "starting" && s.PID == 0 && strings.Contains(s.Reason, "read-only file system")
	})
	require.LessOrEqual(t, waits.ConsecutiveFailures, 1, "that is no failure of its own")
	require.NoError(t, unix.Unmount(w.state, unix.MNT_DETACH))
	d.healthy("a")
	of["a"] = d.process("a")
	w.durable(d, of)
}

// FAULTS 89: a disk that answers everything with an I/O error, for good.
func TestABrokenStateDiskKeepsNobodyFromControlNorFromTheEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.disk(w.state)
	d, of := w.abc("a", "b", "c")
	w.request(w.state, shutdownRequest, withoutFlush)
	w.underControl(d, of, "input/output error")
	signalProcess(of["a"], unix.SIGKILL)
	d.await("a", "said to wait", func(s shown) bool {
		return s.Phase == "starting" && s.PID == 0 && strings.Contains(s.Reason, "input/output error")
	})
	out, code := w.cli("stop", "a")
	require.Zero(t, code, out)
	out, code = w.cli("shutdown")
	require.Zero(t, code, out)
	d.wait(20 * time.Second)
	require.Empty(t, w.managed())
}

// FAULTS 89: the disk of one instance's output is full.
func TestAFullOutputDiskHarmsNoInstanceAndIsCaughtUpWith(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	noisy := filepath.Join(w.state, "instances", "noisy")
	w.small(noisy, "256k")
	w.declare(app{id: "noisy", spec: "1"}, Control{Rate: 500})
	w.declare(app{id: "quiet", spec: "1"}, Control{})
	w.write()
	d := w.start().up()
	d.healthy("noisy")
	d.healthy("quiet")
	before := d.process("noisy")
	empty := w.fill(noisy)
	d.said("the place in the output cannot be saved", "no space left on device")
	out, code := w.cli("restart", "quiet", "--wait", "--timeout", "10s")
	require.Zero(t, code, out)
	require.Equal(t, before, d.process("noisy"))
	require.Equal(t, "healthy", d.healthy("noisy").Health)
	empty()
	d.said("well again: the place in the output cannot be saved")
	last := d.forwarded("noisy")
	w.eventually(5*time.Second, "what it writes is forwarded again", func() bool { return d.forwarded("noisy") > last })
	d.kill()
	d = w.start().up()
	d.healthy("noisy")
	require.Equal(t, before, d.process("noisy"))
	w.eventually(5*time.Second, "and by the next daemon", func() bool { return d.forwarded("noisy") > 0 })
}

// forwarded counts the lines of an instance in the log of the daemon.
func (d *daemon) forwarded(id string) (n int) {
	for line := range strings.SplitSeq(d.log(), "\n") {
		var r struct{ Msg, Instance, Stream string }
		if json.Unmarshal([]byte(line), &r) == nil && r.Instance == id && r.Stream == "stdout" && r.Msg == "output" {
			n++
		}
	}
	return n
}

// A disk that does not answer harms those on it only: the output of the others goes on, and so do their stops and
// starts.
func TestADiskThatStallsUnderTheOutputOfSomeHarmsNobodyElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	slow := filepath.Join(w.dir, "slow")
	w.disk(slow)
	const stalled = 3 // more than there are workers for output on two processors
	for n := range stalled {
		id := fmt.Sprintf("s%d", n)
		require.NoError(t, os.Mkdir(filepath.Join(slow, id), 0o700))
		w.mount(filepath.Join(w.state, "instances", id), filepath.Join(slow, id), "", unix.MS_BIND, "")
		rate := 20
		if n == 0 {
			rate = 0 // or it would hang in the kernel itself, and not die
		}
		w.declare(app{id: id, spec: "1"}, Control{Rate: rate})
	}
	w.declare(app{id: "quiet", spec: "1"}, Control{Rate: 50})
	w.write()
	d := w.start("GOMAXPROCS=2").up()
	for n := range stalled {
		d.healthy(fmt.Sprintf("s%d", n))
	}
	d.healthy("quiet")
	before := d.process("s0")
	thaw := w.freeze(slow)
	time.Sleep(1500 * time.Millisecond) // all of them have a place to be saved by then
	out, code := w.cli("restart", "quiet", "--wait", "--timeout", "10s")
	require.Zero(t, code, out)
	last := d.forwarded("quiet")
	w.eventually(15*time.Second, "the output of others is forwarded",
		func() bool { return d.forwarded("quiet") > last+50 })
	signalProcess(before, unix.SIGKILL)
	d.await("s0", "started again, for which nothing must be written", func(s shown) bool {
		return s.PID != 0 && s.PID != before.PID && s.Health == "healthy"
	})
	thaw()
	last = d.forwarded("s1")
	w.eventually(5*time.Second, "what waited goes on", func() bool { return d.forwarded("s1") > last })
}

// dead makes path the root of a file system that answers nothing, as one of a server that is gone.
func (w *world) dead(path string) {
	w.Helper()
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		w.Skipf("no file system can be had that does not answer: %v", err)
	}
	w.Cleanup(func() { _ = unix.Close(fd) }) // who waits for it is told that it is gone
	w.mount(path, "dead", "fuse", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fd))
}

// A daemon whose configuration or state directory does not answer says so, and can be told to end; a command gives up.
func TestWhoWaitsForADiskThatDoesNotAnswerSaysForWhichOne(t *testing.T) {
	t.Parallel()
	for _, dead := range []string{"configuration", "state directory"} {
		t.Run(dead, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.declare(app{id: "a", spec: "1"}, Control{})
			mount := w.state
			if dead == "configuration" {
				mount = filepath.Join(w.dir, "etc")
				w.config = filepath.Join(mount, "procman.yaml")
			} else {
				w.write()
			}
			w.dead(mount)
			d := w.start()
			d.said("waits", dead, mount, "does not answer since")
			d.signal(unix.SIGTERM)
			out, err := ours.output(exec.Command(w.program, "-c", w.config, "status"))
			require.Error(t, err, "it gives up, for the disk never answers")
			require.Contains(t, string(out), "the "+dead+" "+mount)
			require.Contains(t, string(out), "does not answer since")
			d.wait(20 * time.Second)
		})
	}
}
