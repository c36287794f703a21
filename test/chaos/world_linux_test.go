package chaos

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// world is a state directory, a configuration, a ledger, and at most one daemon.
type world struct {
	testing.TB
	ends                               bool // nothing is left by policy: what is left is a fault
	dir, config, socket, state, ledger string
	program                            string // procman
	ports                              [2]int
	global                             string // more lines for the configuration
	apps                               []app  // the configuration as it is meant to be
	watcher                            *watcher
	daemon                             *daemon
	managers                           int // daemons so far
	bystanders                         []*exec.Cmd
	stderr                             *os.File                 // of the daemons, in place of a file; nil: a file
	parsed                             []map[string][]Forwarded // what dead daemons forwarded
	// takes paths of file systems that must not outlive the tests
	guarded io.Writer
}

// app is one instance of the configuration.
type app struct {
	id      string
	spec    string
	control string // its file; empty: the one named like the instance
	db      string
	policy  string // more lines for the instance
}

// The ports of all worlds. They are given out one after the other, and again from the first on when all were: by then
// the first are free.
const (
	firstPort = 26000
	lastPort  = 29999
	portsEach = 40
)

var (
	worlds  atomic.Int32
	portsMu sync.Mutex
	portsAt = firstPort
)

func takePorts(n int) [2]int {
	portsMu.Lock()
	defer portsMu.Unlock()
	if portsAt+n-1 > lastPort {
		portsAt = firstPort
	}
	first := portsAt
	portsAt += n
	return [2]int{first, first + n - 1}
}

// newWorld makes a world and cleans it up whatever becomes of the test.
func newWorld(t testing.TB) *world {
	t.Helper()
	dir := t.TempDir()
	n := int(worlds.Add(1))
	w := &world{
		TB: t, dir: dir, config: filepath.Join(dir, "procman.yaml"), state: filepath.Join(dir, "state"),
		ledger: filepath.Join(dir, "ledger"),
		// Not in dir: a socket's path must be short.
		socket: filepath.Join(bin.dir, fmt.Sprintf("%d.sock", n)), program: procmanProgram(t),
		ports: takePorts(portsEach),
	}
	w.watcher = watch(w.ledger)
	t.Cleanup(w.close)
	return w
}

func (w *world) close() {
	if w.daemon != nil {
		w.daemon.kill()
	}
	for _, b := range w.bystanders {
		_ = b.Process.Kill()
		_ = ours.wait(b)
	}
	// Again, until nobody is left: somebody may have been starting somebody.
	deadline := time.Now().Add(time.Minute)
	for {
		left := w.everyone()
		if len(left) == 0 {
			break
		}
		for p := range left {
			signalProcess(p, unix.SIGKILL)
		}
		ours.reap()
		if time.Now().After(deadline) {
			w.Errorf("processes are left that KILL does not end: %v", left)
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	w.watcher.close()
	if w.Failed() {
		w.Logf("the daemons' log: %s", w.keepLog())
	}
}

// keepLog saves the log of the daemons from the end of the test.
func (w *world) keepLog() string {
	f, err := os.CreateTemp("", "procman-chaos-*.log")
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	for n := 1; n <= w.managers; n++ {
		text, err := os.ReadFile(w.logOf(n))
		if err == nil {
			_, err = fmt.Fprintf(f, "--- manager %d ---\n%s", n, text)
		}
		if err != nil {
			return err.Error()
		}
	}
	ledger, err := os.ReadFile(w.ledger)
	if err == nil {
		_, err = fmt.Fprintf(f, "--- ledger ---\n%s", ledger)
	}
	if err != nil {
		return err.Error()
	}
	return f.Name()
}

// everyone returns the processes that this world has brought about: those that show it, and those of the ledger, which
// may show nothing any more.
func (w *world) everyone() map[Process]string {
	all := tagged("PROCMAN_INSTANCE_ID", "PROCMAN_STATE_DIR="+w.state, EnvLedger+"="+w.ledger)
	for _, e := range w.watcher.ledger() {
		if now, err := readStat(e.Process.PID); err == nil && now.Start == e.Process.Start && now.State != 'Z' {
			all[e.Process] = e.Instance
		}
	}
	return all
}

// managed returns the processes that carry the tags of this world's state directory.
func (w *world) managed() map[Process]string {
	return tagged("PROCMAN_INSTANCE_ID", "PROCMAN_STATE_DIR="+w.state)
}

func (w *world) logOf(manager int) string {
	return filepath.Join(w.dir, fmt.Sprintf("log.%d", manager))
}

func (w *world) controlOf(a app) string {
	if a.control != "" {
		return a.control
	}
	return filepath.Join(w.dir, a.id+".json")
}

// control writes the control file of an instance.
func (w *world) control(id string, c Control) {
	w.Helper()
	text, err := json.Marshal(c)
	require.NoError(w, err)
	w.replace(filepath.Join(w.dir, id+".json"), text)
}

func (w *world) replace(path string, text []byte) {
	w.Helper()
	require.NoError(w, os.WriteFile(path+".new", text, 0o600))
	require.NoError(w, os.Rename(path+".new", path))
}

// declare puts an instance into the configuration, in place of one of its id. It is not written before write.
func (w *world) declare(a app, c Control) {
	w.Helper()
	w.control(a.id, c)
	for i := range w.apps {
		if w.apps[i].id == a.id {
			w.apps[i] = a
			return
		}
	}
	w.apps = append(w.apps, a)
}

func (w *world) undeclare(id string) {
	for i := range w.apps {
		if w.apps[i].id == id {
			w.apps = append(w.apps[:i:i], w.apps[i+1:]...)
			return
		}
	}
}

// yaml returns the configuration.
func (w *world) yaml() string {
	var b strings.Builder
	fmt.Fprintf(&b, "executable: %s\nstate_dir: %s\nsocket: %s\n", faultchildProgram(w), w.state, w.socket)
	fmt.Fprintf(&b, "ports: {range: %d-%d}\n", w.ports[0], w.ports[1])
	b.WriteString("log: {level: debug}\n")
	global := w.global
	for _, line := range []string{
		"start: {deadline: 20s}", "health: {interval: 300ms, timeout: 3s, failures: 3}",
		"restart: {initial: 50ms, max: 400ms, multiplier: 2, stable_after: 100ms}", "stop: {grace: 2s}",
	} {
		if key, _, _ := strings.Cut(line, " "); !strings.Contains("\n"+global, "\n"+key) {
			b.WriteString(line + "\n")
		}
	}
	b.WriteString(global + "\ninstances:\n")
	if len(w.apps) == 0 {
		b.WriteString("  []\n")
	}
	for _, a := range w.apps {
		db := a.db
		if db == "" {
			db = filepath.Join(w.dir, a.id+".db")
		}
		fmt.Fprintf(&b,
			"  - id: %s\n    wasm_path: %s\n    db_name: %s\n    env: {%s: %q, %s: %q, GOMAXPROCS: \"1\"}\n",
			a.id, w.controlOf(a), db, EnvLedger, w.ledger, EnvSpec, a.spec)
		for line := range strings.SplitSeq(a.policy, "\n") {
			if line != "" {
				fmt.Fprintf(&b, "    %s\n", line)
			}
		}
	}
	return b.String()
}

// write makes the configuration what was declared.
func (w *world) write() {
	w.Helper()
	w.replace(w.config, []byte(w.yaml()))
}

// wanted returns what Converged needs.
func (w *world) wanted(held map[string]bool) (out []Wanted) {
	for _, a := range w.apps {
		out = append(out, Wanted{ID: a.id, Spec: a.spec, Held: held[a.id]})
	}
	return out
}

// bystander starts a servicehost by hand, on the given port.
func (w *world) bystander(port int, db string) Process {
	w.Helper()
	control := filepath.Join(w.dir, fmt.Sprintf("bystander-%d.json", port))
	require.NoError(w, os.WriteFile(control, nil, 0o600))
	cmd := exec.Command(faultchildProgram(w), "-wasm", control, "-dbPath", db, "-port", fmt.Sprint(port))
	cmd.Env = append(os.Environ(), EnvLedger+"="+w.ledger)
	require.NoError(w, ours.start(cmd))
	w.bystanders = append(w.bystanders, cmd)
	s, err := readStat(cmd.Process.Pid)
	require.NoError(w, err)
	p := Process{cmd.Process.Pid, s.Start}
	w.eventually(5*time.Second, "the bystander listens", func() bool {
		l, known := w.life(p)
		return known && l.Listening != 0
	})
	return p
}

func (w *world) lives() []Life {
	w.Helper()
	lives, err := w.watcher.lives()
	require.NoError(w, err)
	return lives
}

// life returns what is known of a process.
func (w *world) life(p Process) (Life, bool) {
	w.Helper()
	for _, l := range w.lives() {
		if l.Process == p {
			return l, true
		}
	}
	return Life{}, false
}

// newest returns the newest life of an instance.
func (w *world) newest(id string) (Life, bool) {
	w.Helper()
	lives := Of(w.lives(), id)
	if len(lives) == 0 {
		return Life{}, false
	}
	return lives[len(lives)-1], true
}

// eventually waits for something that comes without an event.
func (w *world) eventually(within time.Duration, what string, holds func() bool) {
	w.Helper()
	deadline := time.Now().Add(inTime(within))
	for !holds() {
		if time.Now().After(deadline) {
			w.Fatalf("not within %v: %s%s", inTime(within), what, w.situation())
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// situation is what a person wants to see of a failed test.
func (w *world) situation() string {
	if w.daemon == nil {
		return ""
	}
	s, err := w.daemon.status()
	if err != nil {
		return "\n" + err.Error()
	}
	text, err := json.MarshalIndent(s.Instances, "", " ")
	if err != nil || len(text) > 4000 {
		return ""
	}
	return "\n" + string(text)
}
