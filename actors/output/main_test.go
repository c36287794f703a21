package output

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"procman/messages"
)

const roleVar = "OUTPUT_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(roleVar) {
	case "writer":
		os.Exit(writerMain())
	case "follower":
		os.Exit(followerMain())
	}
	goleak.VerifyTestMain(m)
}

// role prepares this test binary as another program.
func role(t testing.TB, name string, env ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(append(os.Environ(), roleVar+"="+name, "GORACE=atexit_sleep_ms=0"), env...)
	cmd.Stderr = os.Stderr
	return cmd
}

// line is a record that was forwarded.
type line struct {
	Stream, Text    string
	Run, PID        int
	Partial, Quoted bool
}

// recorder is a slog.Handler that keeps what it gets.
type recorder struct {
	shared *recorded
	attrs  []slog.Attr
}

type recorded struct {
	mu      sync.Mutex
	lines   []line
	others  []string // every other record, as "msg key=value …"
	changed chan struct{}
}

func newRecorder() *recorder { return &recorder{shared: &recorded{changed: make(chan struct{})}} }

func (r *recorder) Enabled(context.Context, slog.Level) bool { return true }
func (r *recorder) WithGroup(string) slog.Handler            { return r }
func (r *recorder) WithAttrs(a []slog.Attr) slog.Handler {
	return &recorder{r.shared, append(append([]slog.Attr(nil), r.attrs...), a...)}
}

func (r *recorder) Handle(_ context.Context, rec slog.Record) error {
	var l line
	var b strings.Builder
	b.WriteString(rec.Message)
	each := func(a slog.Attr) bool {
		switch a.Key {
		case "stream":
			l.Stream = a.Value.String()
		case "line":
			l.Text = a.Value.String()
		case "run":
			l.Run = int(a.Value.Int64())
		case "pid":
			l.PID = int(a.Value.Int64())
		case "partial":
			l.Partial = a.Value.Bool()
		case "quoted":
			l.Quoted = a.Value.Bool()
		}
		fmt.Fprintf(&b, " %s=%v", a.Key, a.Value)
		return true
	}
	for _, a := range r.attrs {
		each(a)
	}
	rec.Attrs(each)
	r.shared.mu.Lock()
	defer r.shared.mu.Unlock()
	if rec.Message == "output" {
		r.shared.lines = append(r.shared.lines, l)
	} else {
		r.shared.others = append(r.shared.others, b.String())
	}
	close(r.shared.changed)
	r.shared.changed = make(chan struct{})
	return nil
}

func (r *recorder) lines() []line {
	r.shared.mu.Lock()
	defer r.shared.mu.Unlock()
	return append([]line(nil), r.shared.lines...)
}

func (r *recorder) texts(stream string) (out []string) {
	for _, l := range r.lines() {
		if l.Stream == stream {
			out = append(out, l.Text)
		}
	}
	return out
}

func (r *recorder) others() []string {
	r.shared.mu.Lock()
	defer r.shared.mu.Unlock()
	return append([]string(nil), r.shared.others...)
}

// await waits until so many records of either kind are there.
func (r *recorder) await(t testing.TB, lines, others int) {
	t.Helper()
	late := time.After(time.Minute)
	for {
		r.shared.mu.Lock()
		n, o, changed := len(r.shared.lines), len(r.shared.others), r.shared.changed
		r.shared.mu.Unlock()
		if n >= lines && o >= others {
			return
		}
		select {
		case <-changed:
		case <-late:
			require.FailNow(t, "records are missing", "%d of %d lines, %d of %d others: %v", n, lines,
				o, others, r.others())
		}
	}
}

const web = messages.InstanceID("web")

// house is a state directory with one instance, and Outputs on it.
type house struct {
	t   testing.TB
	dir messages.StateDir
	rec *recorder
	out *Outputs
}

func newHouse(t testing.TB, root string, o Options) *house {
	t.Helper()
	h := &house{t: t, dir: messages.StateDir(root)}
	require.NoError(t, os.MkdirAll(h.dir.Instance(web), 0o700))
	h.open(o)
	t.Cleanup(func() { h.close() })
	return h
}

// open starts a manager's Outputs with a new log.
func (h *house) open(o Options) {
	h.t.Helper()
	h.rec = newRecorder()
	if o.Logger == nil {
		o.Logger = slog.New(h.rec)
	}
	out, err := New(h.dir, o)
	require.NoError(h.t, err)
	h.out = out
}

func (h *house) close() { require.NoError(h.t, h.out.Close()) }

func (h *house) write(path, text string) {
	h.t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	require.NoError(h.t, err)
	_, err = f.WriteString(text)
	require.NoError(h.t, err)
	require.NoError(h.t, f.Close())
}

func (h *house) stdout(text string) { h.t.Helper(); h.write(h.dir.Stdout(web), text) }
func (h *house) stderr(text string) { h.t.Helper(); h.write(h.dir.Stderr(web), text) }

func (h *house) read(q messages.OutputQuery) (out []messages.OutputLine) {
	h.t.Helper()
	q.ID = web
	for l, err := range h.out.Read(context.Background(), q) {
		require.NoError(h.t, err)
		out = append(out, l)
	}
	return out
}

func (h *house) readTexts(q messages.OutputQuery) (out []string) {
	h.t.Helper()
	for _, l := range h.read(q) {
		out = append(out, l.Text)
	}
	return out
}

// gonePID returns the id of a process that has ended.
func gonePID(t testing.TB) int {
	t.Helper()
	cmd := exec.Command("true") // which begins much faster than this program
	require.NoError(t, cmd.Run())
	return cmd.Process.Pid
}

// onEveryDisk runs a test on a file system that can collapse, and on one that can only punch holes.
func onEveryDisk(t *testing.T, test func(t *testing.T, root string)) {
	t.Run("disk", func(t *testing.T) { test(t, t.TempDir()) })
	t.Run("shm", func(t *testing.T) {
		root, err := os.MkdirTemp("/dev/shm", "output")
		if err != nil {
			t.Skipf("no tmpfs: %v", err)
		}
		t.Cleanup(func() { require.NoError(t, os.RemoveAll(root)) })
		test(t, root)
	})
}

func readLines(t testing.TB, path string) (out []string) {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	s := bufio.NewScanner(f)
	for s.Scan() {
		out = append(out, s.Text())
	}
	require.NoError(t, s.Err())
	return out
}
