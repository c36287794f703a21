package cli

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"procman/cmd/procman/daemon"
	"procman/messages"
	"procman/supervisor/api"
	"procman/test/fake"
)

// binary is the real program, and childBinary what it runs, see testdata/child. They are built once for all tests,
// without the race detector also when the tests have it: a process that takes a second to begin makes every deadline a
// matter of luck.
var binary, childBinary string

func TestMain(m *testing.M) {
	flag.Parse()
	if flag.NArg() > 0 {
		// it is taken for the program that it tests, as the doctor does in its process: that must not begin all of them
		// anew
		os.Exit(0)
	}
	fake.Crowd()
	dir, err := os.MkdirTemp("", "procman")
	if err == nil {
		_ = os.Setenv("XDG_RUNTIME_DIR", filepath.Join(dir, "run")) // the name is one; the daemon makes the directory
		binary, childBinary = filepath.Join(dir, "procman"), filepath.Join(dir, "child")
	}
	if err == nil && !testing.Short() {
		for file, pkg := range map[string]string{binary: "procman/cmd/procman",
			childBinary: "procman/cmd/procman/cli/testdata/child"} {
			build := fake.Program(file, pkg)
			build.Stderr = os.Stderr
			err = errors.Join(err, build.Run())
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "the program cannot be built:", err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if err := os.RemoveAll(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(code)
	}))
}

// real passes over a test of the real programs under -short, which is for the race detector: it would find nothing in
// them.
func real(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("takes real programs, which are built without the race detector")
	}
}

// counted is a line of a child that counts. All have the same length.
func counted(i int) string { return fmt.Sprintf("line %08d ..........", i) }

// ports gives each daemon a range of its own, above those of outgoing connections.
var ports atomic.Int32

// site is a directory with a configuration, and the daemon that runs by it.
type site struct {
	t      *testing.T
	dir    string
	config string
	first  int
}

// So many ports each, and so many ranges before the first is used again: by then its site is gone.
const perSite, sites = 30, (65535 - 61100) / 30

// newSite writes a configuration: head is put in front of the instances, each given as "id: how" with more keys after
// a semicolon.
func newSite(t *testing.T, head string, instances ...string) *site {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("processes are kept running on Linux only")
	}
	real(t)
	dir, err := os.MkdirTemp("", "pm")
	require.NoError(t, err)
	s := &site{t: t, dir: dir, config: filepath.Join(dir, "procman.yaml"),
		first: 61100 + perSite*(int(ports.Add(1))%sites)}
	// no child reads it; it has to be there
	require.NoError(t, os.WriteFile(filepath.Join(dir, "app.wasm"), nil, 0o600))
	s.write(head, instances...)
	t.Cleanup(func() {
		s.bury()
		require.NoError(t, os.RemoveAll(dir))
	})
	return s
}

func (s *site) write(head string, instances ...string) {
	s.t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "executable: %s\nstate_dir: state\nports: {range: %d-%d}\nhealth: {interval: "+
		"200ms}\n%s\ninstances:\n", childBinary, s.first, s.first+perSite-1, head)
	for _, instance := range instances {
		id, how, _ := strings.Cut(instance, ": ")
		how, more, _ := strings.Cut(how, "; ")
		fmt.Fprintf(&b, "  - id: %s\n    wasm_path: app.wasm\n    db_name: %s.db\n    env: {TEST_CHILD: %s}\n",
			id, id, how)
		if more != "" {
			fmt.Fprintf(&b, "    %s\n", more)
		}
	}
	if len(instances) == 0 {
		b.WriteString("  []\n")
	}
	// As an editor does it: the daemon never sees half a file.
	require.NoError(s.t, os.WriteFile(s.config+".new", []byte(b.String()), 0o600))
	require.NoError(s.t, os.Rename(s.config+".new", s.config))
}

// bury ends what is left of the children, by their pids, once the daemon is gone.
func (s *site) bury() {
	for _, pid := range s.living() {
		require.NoError(s.t, syscall.Kill(pid, syscall.SIGKILL))
	}
}

// living returns the pids of the children that live.
func (s *site) living() []int {
	var pids []int
	all, err := os.ReadDir("/proc")
	require.NoError(s.t, err)
	for _, entry := range all {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		env, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "environ"))
		if err == nil && bytes.Contains(env, []byte("PROCMAN_STATE_DIR="+s.dir+"/state\x00")) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// result is what came of a command.
type result struct {
	code           int
	stdout, stderr string
}

// call runs the real program.
func (s *site) call(args ...string) result {
	s.t.Helper()
	cmd := exec.Command(binary, append([]string{"-c", s.config}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if cmd.ProcessState == nil {
		require.NoError(s.t, err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// ok runs a command that must succeed, and returns its answer.
func (s *site) ok(args ...string) string {
	s.t.Helper()
	r := s.call(args...)
	require.Zero(s.t, r.code, "procman %v: %s", args, r.stderr)
	return r.stdout
}

// look asks the daemon what `procman status` asks it. It is done again and again, and a process for each look would
// take the cores from those that are looked at.
func (s *site) look() (api.Document, error) {
	a := &app{Options: daemon.Options{Config: s.config, Stderr: io.Discard, Env: os.Getenv}}
	c, err := a.client()
	if err != nil {
		return api.Document{}, err
	}
	defer c.Close()
	d, err := a.instances(context.Background(), c, answerTime)
	return d, a.reach(err)
}

func (s *site) status() api.Document {
	s.t.Helper()
	d, err := s.look()
	require.NoError(s.t, err)
	return d
}

func (s *site) instance(id string) messages.Status {
	s.t.Helper()
	for _, i := range s.status().Instances {
		if string(i.ID) == id {
			return i
		}
	}
	require.Fail(s.t, "there is no instance "+id)
	return messages.Status{}
}

// running is a daemon.
type running struct {
	*site
	cmd  *exec.Cmd
	log  *fake.Journal
	done chan struct{}
}

// run starts the daemon and waits until it answers.
func (s *site) run(change ...func(*exec.Cmd)) *running {
	s.t.Helper()
	r := &running{site: s, cmd: exec.Command(binary, "-c", s.config, "run"), log: &fake.Journal{},
		done: make(chan struct{})}
	r.cmd.Stderr = r.log
	for _, f := range change {
		f(r.cmd)
	}
	require.NoError(s.t, r.cmd.Start())
	go func() {
		_ = r.cmd.Wait() // its code is what counts
		close(r.done)
	}()
	s.t.Cleanup(func() {
		select {
		case <-r.done:
		default:
			_ = r.cmd.Process.Kill() // it may end this instant
			<-r.done
		}
		if s.t.Failed() {
			s.t.Log("the daemon's log:\n" + r.log.String())
		}
	})
	s.eventually("the daemon answers", func() bool {
		select {
		case <-r.done:
			require.Fail(s.t, "the daemon has ended", r.log.String())
		default:
		}
		_, err := s.look()
		return err == nil
	})
	return r
}

func (s *site) eventually(what string, is func() bool) {
	s.t.Helper()
	require.Eventually(s.t, is, time.Minute, 10*time.Millisecond, what)
}

func (r *running) signal(sig os.Signal) {
	r.t.Helper()
	require.NoError(r.t, r.cmd.Process.Signal(sig))
}

// ends returns the exit code of the daemon.
func (r *running) ends() int {
	r.t.Helper()
	select {
	case <-r.done:
		return r.cmd.ProcessState.ExitCode()
	case <-time.After(time.Minute):
		require.Fail(r.t, "the daemon does not end", r.log.String())
		return -1
	}
}

// metrics scrapes the daemon over its socket.
func (s *site) metrics() string { s.t.Helper(); return s.get("metrics") }

// get asks the daemon over its socket.
func (s *site) get(path string) string {
	s.t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", s.dir+"/state/procman.sock")
		}}}
	response, err := client.Get("http://procman/" + path)
	require.NoError(s.t, err)
	text, err := io.ReadAll(response.Body)
	require.NoError(s.t, err)
	require.NoError(s.t, response.Body.Close())
	return string(text)
}
