package cli

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/actors/health"
	"procman/test/fake"
)

// story is what a person types in two directories, and what comes of it. What the program prints is compared as a
// whole, so that there is no sentence of it that nobody has compared with the truth.
type story struct {
	t       *testing.T
	program string
	env     []string
	text    strings.Builder
}

func (y *story) command(s *site, args ...string) *exec.Cmd {
	cmd := exec.Command(y.program, args...)
	cmd.Dir, cmd.Env = s.dir, append(append(os.Environ(), y.env...), "PWD="+s.dir)
	return cmd
}

// says types a command: what it prints must be this, or, if that begins with ^, match it.
func (y *story) says(s *site, line string, code int, stdout, stderr string) {
	y.t.Helper()
	cmd := y.command(s, strings.Fields(line)...)
	var out, err bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &err
	_ = cmd.Run() // its code is what counts
	fmt.Fprintf(&y.text, "\n%s$ procman %s\n%s%s", s.dir, line, out.String(), err.String())
	if code != 0 {
		fmt.Fprintf(&y.text, "(exit code %d)\n", code)
	}
	require.Equal(y.t, code, cmd.ProcessState.ExitCode(), "%s: %s", line, err.String())
	for _, c := range [][2]string{{stdout, out.String()}, {stderr, err.String()}} {
		if strings.HasPrefix(c[0], "^") {
			require.Regexp(y.t, c[0]+"$", c[1], line)
			continue
		}
		require.Equal(y.t, c[0], c[1], line)
	}
}

// happens notes what is done to the program.
func (y *story) happens(what string) { fmt.Fprintf(&y.text, "\n# %s\n", what) }

// daemon starts a daemon, and returns when it listens.
func (y *story) daemon(s *site, socket string) *running {
	y.t.Helper()
	fmt.Fprintf(&y.text, "\n%s$ procman run &\n", s.dir)
	r := &running{site: s, cmd: y.command(s, "run"), log: &fake.Journal{}, done: make(chan struct{})}
	r.cmd.Stderr = r.log
	require.NoError(y.t, r.cmd.Start())
	go func() {
		_ = r.cmd.Wait() // its code is what counts
		close(r.done)
	}()
	y.t.Cleanup(func() {
		select {
		case <-r.done:
		default:
			_ = r.cmd.Process.Kill() // it may end this instant
			<-r.done
		}
		if y.t.Failed() {
			y.t.Log("the daemon's log:\n" + r.log.String())
		}
	})
	s.eventually("it listens", func() bool {
		c, err := net.Dial("unix", socket)
		return err == nil && c.Close() == nil
	})
	return r
}

// only returns the one process of a site's instances, and the port that it listens on: as the kernel tells.
func only(s *site) (pid, port int) {
	s.t.Helper()
	living := s.living()
	require.Len(s.t, living, 1)
	ports := health.ListensOn(living[0])
	require.Len(s.t, ports, 1)
	return living[0], ports[0]
}

// row is a line of a table below its head.
func row(head string, cells ...any) string {
	var line []string
	for _, c := range cells {
		line = append(line, fmt.Sprint(c))
	}
	return "^" + strings.Join(strings.Fields(head), " +") + " *\n" + strings.Join(line, " +") + " *\n"
}

// keptSince returns when the configuration came into force that is kept.
func keptSince(t *testing.T, state string) string {
	t.Helper()
	g, err := keptGood(state)
	require.NoError(t, err)
	return g.At.Format(time.RFC3339)
}

func combined(t *testing.T, cmd *exec.Cmd) []byte {
	t.Helper()
	text, err := cmd.CombinedOutput()
	require.NoError(t, err, string(text))
	return text
}

const statusHead = "ID PHASE HEALTH PID PORT RESTARTS UPTIME REASON"

// Two projects of one user, a release that is moved, a socket that is removed, a file that is broken and a crash (F110,
// F111, F113, F114). With -v it is printed.
func TestInAWholeStoryEverySentenceIsTrueAndEveryAdviceHelps(t *testing.T) {
	t.Parallel()
	one, two := newSite(t, "", "a: serve"), newSite(t, "", "b: serve")
	release, point := releases(t, one, "bin/procman", "1", "2")
	point("../1/procman")
	state := filepath.Join(one.dir, "state")
	socket := filepath.Join(state, "procman.sock")
	y := &story{t: t, program: filepath.Join(one.dir, "bin/procman"), env: []string{"STATE_DIRECTORY=" + state}}
	defer func() { t.Log(y.text.String()) }()
	for _, s := range []*site{one, two} {
		text, err := os.ReadFile(s.config)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(s.config, bytes.Replace(text, []byte("state_dir: state\n"), nil, 1), 0o600))
	}

	d := y.daemon(one, socket)
	daemon := d.cmd.Process.Pid
	y.says(one, "wait", 0, `^a: it is running and healthy, run 1, port \d+\n`, "")
	a, port := only(one)
	y.says(one, "status", 0, row(statusHead, "a", "running", "healthy", a, port, 0, `\d+s`), "")

	y.happens("another project of the same user, and none of them says state_dir")
	y.says(two, "status", exitUnreachable, "", fmt.Sprintf("procman: the daemon that answers here, pid %d, runs by "+
		"%s, not by %s; nothing was asked of it. "+
		"Set state_dir in one of the two, or name the daemon that is meant: --socket %s\n", daemon, one.config,
		two.config, socket))
	y.says(two, "run", exitInUse, "", fmt.Sprintf("procman: another manager uses the state directory: %s is held by "+
		"process %d; it runs by %s. "+
		"Set state_dir in %s to a directory of its own\n", state, daemon, one.config, two.config))
	y.says(two, "status --socket "+socket, 0, row(statusHead, "a", "running", "healthy", a, port, 0, `\d+s`), "")
	two.write("", "b: serve")
	y.happens("state_dir: state is added there")
	e := y.daemon(two, filepath.Join(two.dir, "state/procman.sock"))
	y.says(two, "wait", 0, `^b: it is running and healthy, run 1, port \d+\n`, "")
	b, otherPort := only(two)
	y.says(two, "status b", 0, row(statusHead, "b", "running", "healthy", b, otherPort, 0, `\d+s`), "")

	y.happens("a new release; the old one is removed")
	point("../2/procman")
	require.NoError(t, os.RemoveAll(filepath.Dir(release("1"))))
	y.says(one, "upgrade", 0, fmt.Sprintf(`^the daemon, pid %d, was \S+ and is \S+; it executed %s\n`, daemon,
		regexp.QuoteMeta(release("2"))), "")
	require.Equal(t, release("2"), running1(t, daemon))
	require.Equal(t, []int{a}, one.living())

	y.happens("rm " + socket)
	require.NoError(t, os.Remove(socket))
	y.says(one, "status", 0, row(statusHead, "a", "running", "healthy", a, port, 0, `\d+s`), "")
	require.Contains(t, d.log.String(), `"msg":"the socket was removed or replaced; it is made again"`)

	text, err := os.ReadFile(one.config)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(one.config, []byte("instances:\n  - {id: a\n"), 0o600))
	y.happens("an edit breaks the file")
	fault := "procman.yaml:2:5: not YAML: could not find flow mapping end token '}'"
	shown, broken := "\n  - {id: a\n    ^\n", "procman: the configuration is broken, `procman validate` says where: "+
		fault+"\n"
	instead := fmt.Sprintf("procman: the configuration %s is not in force, the last good one is: %s/%s\n", one.config,
		one.dir, fault)
	y.says(one, "validate", exitFailed, "", fault+shown)
	y.says(one, "reload", exitFailed, "", broken+"procman: the configuration is broken, and the last good one stays "+
		"in force:\n"+one.dir+"/"+fault+shown)
	y.says(one, "status", 0, row(statusHead, "a", "running", "healthy", a, port, 0, `\d+s`), broken+instead)
	good := keptSince(t, state)

	y.happens(fmt.Sprintf("kill -9 %d", daemon))
	require.NoError(t, syscall.Kill(daemon, syscall.SIGKILL))
	<-d.done
	y.says(one, "status", exitUnreachable, row(statusHead, "a", "running", "unknown", a, port, 0,
		`\d+s`, "unsupervised: no daemon; the process runs on"),
		broken+"procman: no daemon answers; what is shown is from the records and the processes in /proc\n"+
			fmt.Sprintf("procman: the daemon cannot be reached at %s: connect: connection refused; `procman run` "+
				"starts one, by the last good configuration, of %s\n", socket, good))
	require.Equal(t, []int{a}, one.living())
	d = y.daemon(one, socket)
	daemon = d.cmd.Process.Pid
	y.says(one, "wait", 0, fmt.Sprintf("a: it is running and healthy, run 1, port %d\n", port), broken)
	require.Contains(t, d.log.String(), "the last good one, of "+good+", is in force")
	one.eventually("the file was asked, too", func() bool {
		return bytes.Contains(combined(t, y.command(one, "events")),
			[]byte("the last good one, of "+good+", is in force: "+fault))
	})
	require.Equal(t, []int{a}, one.living())
	require.NoError(t, os.WriteFile(one.config, text, 0o600))
	y.happens("the file is corrected")
	one.eventually("it is watched, and in force",
		func() bool { return !bytes.Contains(combined(t, y.command(one, "status")), []byte("not in force")) })
	y.says(one, "status a", 0, row(statusHead, "a", "running", "healthy", a, port, 0, `\d+s`), "")

	y.says(one, "shutdown", 0, fmt.Sprintf("the daemon, pid %d, has ended, every instance was stopped\n", daemon), "")
	require.Empty(t, one.living())
	require.Zero(t, d.ends())
	require.Equal(t, []int{b}, two.living(), "of the other project nothing has changed")
	y.says(two, "detach", 0, fmt.Sprintf("the daemon, pid %d, has ended, its instances run on\n", e.cmd.Process.Pid),
		"")
	require.Equal(t, []int{b}, two.living())
	require.Zero(t, e.ends())
}
