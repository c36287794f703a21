package spawn

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"procman/actors"
	"procman/actors/kernel"
	"procman/messages"
	"procman/test/fake"
)

// The test binary is also the programs the tests start: which one, this variable says.
const roleVariable = "SPAWN_TEST_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		if err := play(role); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(99)
		}
		return
	}
	// under nohup it is ignored, and what is ignored is inherited
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	fake.Unlogged()
	fake.Crowd()
	goleak.VerifyTestMain(m)
}

func play(role string) error {
	switch role {
	case "manager":
		return manage()
	case "lazy subreaper":
		return reapNothing()
	case "descriptors":
		return listDescriptors()
	case "overwritten environment":
		return overwriteEnvironment()
	case "out of descriptors":
		return spawnWithoutDescriptors()
	case "tracer":
		return traceAndForget()
	case "without sync":
		return spawnWithoutSync()
	}
	return fmt.Errorf("no such role: %s", role)
}

// manage is a manager that does as it is told on its standard input, and lives until it is killed.
func manage() error {
	var order struct {
		Dir      messages.StateDir
		Launches []messages.Launch
		Remember []messages.Memory
		Checks   []messages.Target
	}
	if err := json.NewDecoder(os.Stdin).Decode(&order); err != nil {
		return err
	}
	grouped := os.Getenv("CGROUPS") != ""
	s, err := Open(order.Dir, Options{Cgroups: grouped})
	if err != nil {
		return err
	}
	if after, err := time.ParseDuration(os.Getenv("KILL_AFTER")); err == nil {
		time.AfterFunc(after, func() { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL) })
	}
	for _, l := range order.Launches {
		if grouped {
			if l.Cgroup, err = s.Cgroups().Make(l.App.InstanceID, l.Run, messages.Resources{}); err != nil {
				return err
			}
		}
		p, err := s.Spawn(context.Background(), l)
		if err != nil {
			return err
		}
		fmt.Println(p.PID())
	}
	for _, m := range order.Remember {
		if err := s.Remember(m); err != nil {
			return err
		}
	}
	for _, t := range order.Checks {
		go func() { _, _, _ = s.RunCheck(context.Background(), t) }()
	}
	fmt.Println("done")
	select {}
}

// reapNothing becomes the parent of all orphans below it, and starts a manager.
func reapNothing() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return err
	}
	manager := exec.Command("/proc/self/exe")
	manager.Env = append(os.Environ(), roleVariable+"=manager")
	manager.Stdin, manager.Stdout, manager.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := manager.Start(); err != nil {
		return err
	}
	fmt.Println(manager.Process.Pid)
	if err := manager.Wait(); err == nil {
		return errors.New("the manager ended by itself")
	}
	select {}
}

// traceAndForget is a debugger at its prompt.
func traceAndForget() error {
	pid, err := strconv.Atoi(os.Getenv("TRACED"))
	if err != nil {
		return err
	}
	runtime.LockOSThread() // which is the tracer
	if err := unix.PtraceSeize(pid); err != nil {
		return err
	}
	fmt.Println("traced")
	select {}
}

func listDescriptors() error {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, e := range entries {
		// What Go's runtime opens, and the directory just read, are this program's own.
		target, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err == nil && !strings.HasPrefix(target, "anon_inode:[event") && !strings.HasPrefix(target, "/proc/") &&
			!strings.HasPrefix(target, "/sys/fs/cgroup/") {
			fmt.Println(e.Name(), target)
		}
	}
	return nil
}

// overwriteEnvironment does what programs do that show their state in the list of processes.
func overwriteEnvironment() error {
	line, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return err
	}
	fields := strings.Fields(string(line[bytes.LastIndexByte(line, ')')+2:]))
	from, err1 := strconv.ParseInt(fields[50-3], 10, 64)
	to, err2 := strconv.ParseInt(fields[51-3], 10, 64)
	mem, err3 := os.OpenFile("/proc/self/mem", os.O_RDWR, 0)
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	if _, err := mem.WriteAt(make([]byte, to-from), from); err != nil {
		return err
	}
	fmt.Println("overwritten")
	select {}
}

func spawnWithoutDescriptors() error {
	s, err := Open(messages.StateDir(os.Getenv("DIR")), Options{})
	if err != nil {
		return err
	}
	defer s.Close()
	app := shell("sleep 60")
	for n := uint64(32); n > 3; n-- {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: n, Max: 4096}); err != nil {
			return err
		}
		p, err := s.Spawn(context.Background(), messages.Launch{App: app, Run: 1})
		if err == nil {
			if err := p.Signal(syscall.SIGKILL, messages.LeftoversEnd); err != nil {
				return err
			}
			p.Wait()
			continue
		}
		var start *messages.StartError
		if !errors.As(err, &start) {
			return err
		}
		fmt.Println(start.Fault)
	}
	return nil
}

// stateDir returns the name of a state directory, whose processes are killed after the test.
func stateDir(t testing.TB) messages.StateDir {
	t.Helper()
	dir := messages.StateDir(t.TempDir() + "/state")
	t.Cleanup(func() { killAll(t, dir) })
	return dir
}

func killAll(t testing.TB, dir messages.StateDir) {
	s := Spawner{proc: "/proc"}
	unseen := 0
	eventually(t, "all processes are gone", func() bool {
		for _, x := range tagged(t, dir) {
			unseen = 0
			if err := s.signalOne(x, syscall.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
				t.Error(err)
			}
		}
		unseen++
		return unseen > 2 // one that executes a program just now cannot be seen
	})
}

// tagged returns all processes of a state directory.
func tagged(t testing.TB, dir messages.StateDir) []kernel.Process {
	seen, err := (&Spawner{proc: "/proc", dir: dir}).scan(context.Background(), nil)
	require.NoError(t, err)
	var all []kernel.Process
	for _, list := range seen {
		all = append(all, list...)
	}
	return all
}

func opened(t testing.TB, dir messages.StateDir) *Spawner { return openedWith(t, dir, Options{}) }

func openedWith(t testing.TB, dir messages.StateDir, o Options) *Spawner {
	t.Helper()
	s, err := Open(dir, o)
	require.NoError(t, err)
	s.patience = 300 * time.Millisecond
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// shell is an instance that runs a script.
func shell(script string) messages.AppInstance {
	return messages.AppInstance{InstanceID: "a", Executable: "/bin/sh", Args: []string{"-c", script}}
}

func sleeper(id messages.InstanceID) messages.AppInstance {
	return messages.AppInstance{InstanceID: id, Executable: "sleep", Args: []string{"300"}}
}

func player(t testing.TB, role string) messages.AppInstance {
	self, err := os.Executable()
	require.NoError(t, err)
	return messages.AppInstance{InstanceID: "a", Executable: self,
		Env: map[string]string{roleVariable: role, "GORACE": "atexit_sleep_ms=0"}}
}

func spawned(t testing.TB, s *Spawner, app messages.AppInstance) actors.Process {
	t.Helper()
	p, err := s.Spawn(t.Context(), messages.Launch{App: app, Run: 1, Port: 30001})
	require.NoError(t, err)
	return p
}

// output returns what the instance "a" wrote to its standard output.
func output(t testing.TB, s *Spawner) string {
	text, err := os.ReadFile(s.dir.Stdout("a"))
	require.NoError(t, err)
	return string(text)
}

// eventually polls where no event can be had: what other processes do.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in vain waited for: %s", what)
		}
	}
}

func alive(pid int) bool {
	st, err := kernel.Procfs("/proc").Stat(pid)
	return err == nil && !st.Zombie()
}

// manager is a manager in a process of its own.
type manager struct {
	t    testing.TB
	cmd  *exec.Cmd
	pids []int // of what it started
}

// order is what a manager is to do.
type order struct {
	Dir      messages.StateDir
	Launches []messages.Launch
	Remember []messages.Memory
	Checks   []messages.Target
}

// predecessor returns a manager that has carried out the order and lives.
func predecessor(t testing.TB, role string, o order, env ...string) *manager {
	t.Helper()
	m := &manager{t: t, cmd: exec.Command("/proc/self/exe")}
	m.cmd.Env = append(append(os.Environ(), roleVariable+"="+role), env...)
	m.cmd.Stderr = os.Stderr
	input, err := json.Marshal(o)
	require.NoError(t, err)
	m.cmd.Stdin = bytes.NewReader(input)
	out, err := m.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, m.cmd.Start())
	t.Cleanup(m.kill)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if lines.Text() == "done" {
			return m
		}
		pid, err := strconv.Atoi(lines.Text())
		require.NoError(t, err)
		m.pids = append(m.pids, pid)
	}
	if len(env) == 0 {
		t.Fatal("the manager has died")
	}
	m.kill()
	return m
}

// kill ends the manager as nothing else does.
func (m *manager) kill() {
	if m.cmd.ProcessState == nil {
		_ = m.cmd.Process.Kill()
		_ = m.cmd.Wait()
	}
}

// orphaned returns the pid of a process whose manager was killed.
func orphaned(t testing.TB, dir messages.StateDir, app messages.AppInstance) int {
	t.Helper()
	m := predecessor(t, "manager", order{Dir: dir, Launches: []messages.Launch{{App: app, Run: 7, Port: 30007}}})
	m.kill()
	require.True(t, alive(m.pids[0]))
	return m.pids[0]
}

// journal is a log to look into.
type journal struct{ fake.Journal }

func (j *journal) logger() *slog.Logger { return slog.New(slog.NewTextHandler(j, nil)) }
