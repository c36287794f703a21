package fleet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// patience is for what takes no time on a host that has nothing else to do.
const patience = 2 * time.Minute

// world is a fleet: etcd, hosts, and what is between them.
type world struct {
	t      *testing.T
	dir    string
	ledger string
	ttl    time.Duration
	etcd   []*server
	hosts  []*host
	list   map[string]bool // whether it may move
	loose  map[string]bool // those that are not fenced: they may run twice
	room   *room           // nil: hosts and etcd share the loopback, and links are between them
}

// server is a member of etcd.
type server struct {
	w       *world
	n       int
	port    int
	process *process
	stopped bool
}

// host is a machine of the fleet.
type host struct {
	w      *world
	name   string
	dir    string
	links  []*link // to each member of etcd, without a room
	in     []string
	daemon *process
	wanted bool // a daemon is to live, and is started again when it was killed, as a service manager does
	froze  bool // the daemon is stopped
	leash  bool // the leash is stopped
	api    http.Client
}

func ttlOf(t *testing.T) time.Duration {
	text := os.Getenv("PROCMAN_FLEET_TTL")
	if text == "" {
		return 5 * time.Second
	}
	ttl, err := time.ParseDuration(text)
	require.NoError(t, err)
	return ttl
}

// setup is what a world is made of.
type setup struct {
	members int
	room    bool          // namespaces
	disks   bool          // of their own, for the hosts' state
	ttl     time.Duration // 0: that of all tests
}

// newWorld starts etcd, and the hosts a, b and c.
func newWorld(t *testing.T, of setup) *world {
	t.Helper()
	program(t, "procman")
	dir, err := os.MkdirTemp("", "pmf-")
	require.NoError(t, err)
	w := &world{t: t, dir: dir, ledger: filepath.Join(dir, "ledger"), ttl: ttlOf(t), list: map[string]bool{},
		loose: map[string]bool{}}
	if of.ttl != 0 {
		w.ttl = of.ttl
	}
	t.Cleanup(w.end)
	require.NoError(t, os.WriteFile(w.ledger, nil, 0o600))
	if of.room {
		w.room = newRoom(t)
	}
	base := freePorts(t, 2*of.members)
	for n := range of.members {
		w.etcd = append(w.etcd, &server{w: w, n: n, port: base + 2*n})
	}
	for _, s := range w.etcd {
		s.start()
	}
	for _, s := range w.etcd {
		s.ready()
	}
	for _, name := range []string{"a", "b", "c"} {
		h := w.newHost(name)
		if of.disks {
			h.mount()
		}
		h.start()
	}
	w.joined(w.hosts...)
	return w
}

// freePorts returns the first of so many that nobody listens at, below those that the kernel gives away.
func freePorts(t *testing.T, n int) int {
	for range 1000 {
		first := 10000 + rand.IntN(20000)
		free := true
		for port := first; port < first+n && free; port++ {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if free = err == nil; free {
				_ = l.Close()
			}
		}
		if free {
			return first
		}
	}
	t.Fatal("there are no free ports")
	return 0
}

func (w *world) etcdAddress() string {
	if w.room != nil {
		return w.room.etcd
	}
	return "127.0.0.1"
}

func (w *world) command(in []string, name string, args ...string) *exec.Cmd {
	line := append(append(append([]string{}, in...), name), args...)
	return exec.Command(line[0], line[1:]...)
}

func (s *server) start() {
	s.w.t.Helper()
	var in []string
	if s.w.room != nil {
		in = s.w.room.inside("etcd")
	}
	log := s.w.open(filepath.Join(s.w.dir, fmt.Sprintf("etcd%d.log", s.n)))
	defer log.Close()
	cmd := s.w.command(in, program(s.w.t, "etcd"), "-dir", filepath.Join(s.w.dir, "etcd"), "-host", s.w.etcdAddress(),
		"-port", strconv.Itoa(s.w.etcd[0].port), "-members", strconv.Itoa(len(s.w.etcd)), "-only", strconv.Itoa(s.n+1))
	cmd.Stdout, cmd.Stderr = log, log
	p, err := ours.start(cmd)
	require.NoError(s.w.t, err)
	s.process, s.stopped = p, false
}

// ready returns when it has answered.
func (s *server) ready() {
	s.w.t.Helper()
	log := filepath.Join(s.w.dir, fmt.Sprintf("etcd%d.log", s.n))
	s.w.until("etcd serves", func() bool {
		text, _ := os.ReadFile(log)
		return bytes.Contains(text, []byte("http://")) || !s.process.alive()
	})
	require.True(s.w.t, s.process.alive(), "a member of etcd has ended, see %s", log)
}

func (s *server) stop(stopped bool) {
	ours.signal(s.process, map[bool]syscall.Signal{true: syscall.SIGSTOP, false: syscall.SIGCONT}[stopped])
	s.stopped = stopped
}

func (w *world) open(path string) *os.File {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(w.t, err)
	return f
}

func (w *world) newHost(name string) *host {
	h := &host{w: w, name: name, dir: filepath.Join(w.dir, name)}
	require.NoError(w.t, os.Mkdir(h.dir, 0o700))
	require.NoError(w.t, os.Mkdir(filepath.Join(h.dir, "state"), 0o700))
	w.hosts = append(w.hosts, h)
	var endpoints []string
	for _, s := range w.etcd {
		at := net.JoinHostPort(w.etcdAddress(), strconv.Itoa(s.port))
		if w.room == nil {
			k := newLink(w.t, at)
			h.links = append(h.links, k)
			at = k.address()
		}
		endpoints = append(endpoints, strconv.Quote("http://"+at))
	}
	if w.room != nil {
		h.in = w.room.inside(name)
	}
	ports := freePorts(w.t, 40)
	self, err := os.Executable()
	require.NoError(w.t, err)
	text := fmt.Sprintf(`executable: %q
state_dir: state
ports: {range: %d-%d}
health: {interval: 2s, timeout: 2s}
instances: []
fleet: {endpoints: [%s], name: t, host: %s, ttl: %v, grace: 500ms}
`, self, ports, ports+39, strings.Join(endpoints, ", "), name, w.ttl)
	require.NoError(w.t, os.WriteFile(filepath.Join(h.dir, "procman.yaml"), []byte(text), 0o600))
	h.api.Transport = &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(h.dir, "state", "procman.sock"))
		}}
	return h
}

// start starts the daemon.
func (h *host) start() {
	h.w.t.Helper()
	log := h.w.open(filepath.Join(h.dir, "log"))
	defer log.Close()
	cmd := h.w.command(h.in, program(h.w.t, "procman"), "-c", filepath.Join(h.dir, "procman.yaml"), "run")
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, h.dir
	p, err := ours.start(cmd)
	require.NoError(h.w.t, err)
	h.daemon, h.froze, h.wanted = p, false, true
}

// keep starts a daemon in the place of one that the leash has killed, because a start was under way at the deadline.
// One that ends by itself is a fault.
func (h *host) keep() {
	h.w.t.Helper()
	if !h.wanted || h.alive() {
		return
	}
	require.Equal(h.w.t, unix.SIGKILL, h.daemon.status.Signal(), "the daemon of %s has ended, %v, see %s", h.name,
		h.daemon.status, h.dir)
	h.w.t.Logf("%v %s: the daemon was killed by the leash; another is started", now().Round(time.Millisecond), h.name)
	h.start()
}

// kill kills the daemon.
func (h *host) kill() {
	h.wanted = false
	h.daemon.kill()
}

func (h *host) alive() bool { return h.daemon.alive() }

func (h *host) freeze(on bool) {
	ours.signal(h.daemon, map[bool]syscall.Signal{true: syscall.SIGSTOP, false: syscall.SIGCONT}[on])
	h.froze = on
}

// leashPID returns 0 if there is none that lives.
func (h *host) leashPID() int {
	text, err := os.ReadFile(filepath.Join(h.dir, "state", "leash.lock"))
	if err != nil {
		return 0
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || !bytes.Contains(line, []byte("\x00leash\x00")) || !bytes.Contains(line, []byte(h.dir)) {
		return 0
	}
	return pid
}

func (h *host) signalLeash(s syscall.Signal) {
	if pid := h.leashPID(); pid != 0 {
		_ = syscall.Kill(pid, s)
	}
	h.leash = s == syscall.SIGSTOP
}

// processes returns the pids of the instances that live on the host.
func (h *host) processes() (pids []int) {
	entries, err := os.ReadDir("/proc")
	require.NoError(h.w.t, err)
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil || !bytes.Contains(line, []byte("\x00"+payloadWord+"\x00"+h.w.ledger+"\x00")) {
			continue
		}
		if dir, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)); err == nil && dir == h.dir {
			pids = append(pids, pid)
		}
	}
	return pids
}

// crash ends all of the host in one moment: the daemon first, which would start a leash and instances again.
func (h *host) crash() {
	h.kill()
	h.signalLeash(syscall.SIGKILL)
	for pids := h.processes(); len(pids) > 0; pids = h.processes() {
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		time.Sleep(time.Millisecond)
	}
	h.leash = false
}

// fault sets what is wrong with the host's links.
func (h *host) fault(f fault) {
	for _, k := range h.links {
		k.set(f)
	}
}

// ask asks the host's API.
func (h *host) ask(ctx context.Context, method, path string, body, into any) error {
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		content = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://procman"+path, content)
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := h.api.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	switch {
	case err != nil:
		return err
	case answer.StatusCode >= 300:
		return errors.New(answer.Status + ": " + string(text))
	case into == nil:
		return nil
	}
	return json.Unmarshal(text, into)
}

// report is how a host says that it stands.
type report struct {
	Phase, Reason, Incarnation string
	Assigned, Takeovers        int
	Leash, Suspect             bool
	Deadline                   float64 `json:"deadline_seconds"`
}

func (h *host) report() (r report, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return r, h.ask(ctx, "GET", "/v1/fleet", nil, &r)
}

// until waits for what must become so.
func (w *world) until(what string, is func() bool) {
	w.t.Helper()
	for began := time.Now(); !is(); time.Sleep(50 * time.Millisecond) {
		for _, h := range w.hosts {
			h.keep()
		}
		if time.Since(began) > patience {
			w.t.Fatalf("within %v it has not become true that %s\n%s", patience, what, w.story())
		}
	}
}

// joined waits until the hosts are members.
func (w *world) joined(hosts ...*host) {
	w.t.Helper()
	for _, h := range hosts {
		w.until(h.name+" is a member", func() bool {
			r, err := h.report()
			return err == nil && r.Phase == "in"
		})
	}
}

// story says how all stands, for whoever has to find out why.
func (w *world) story() string {
	var s strings.Builder
	for _, h := range w.hosts {
		r, err := h.report()
		fmt.Fprintf(&s, "%s: %+v %v, %d processes, leash %d\n", h.name, r, err, len(h.processes()), h.leashPID())
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		var list any
		_ = h.ask(ctx, "GET", "/v1/fleet/instances?spec=false", nil, &list) // the end of the log says why not
		cancel()
		text, _ := json.Marshal(list)
		log, _ := os.ReadFile(filepath.Join(h.dir, "log"))
		fmt.Fprintf(&s, "%s\n%s\n", text, log[max(0, len(log)-4000):])
	}
	return s.String()
}

// apply puts instances on the list: so many that may move, and that may not.
func (w *world) apply(movable, bound int) {
	w.t.Helper()
	self, err := os.Executable()
	require.NoError(w.t, err)
	specs := map[string]any{}
	for id := range w.loose {
		specs[id] = w.spec(self, id, true)
		specs[id].(map[string]any)["fence"] = "none"
	}
	for n := range movable + bound {
		id := fmt.Sprintf("m%d", n)
		if n >= movable {
			id = fmt.Sprintf("s%d", n-movable)
		}
		w.list[id] = n < movable
		specs[id] = w.spec(self, id, n < movable)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(w.t, w.hosts[0].ask(ctx, "PUT", "/v1/fleet/instances", map[string]any{"instances": specs}, nil))
	w.allRun()
}

func (w *world) spec(self, id string, movable bool) map[string]any {
	return map[string]any{"id": id, "executable": self, "args": []string{payloadWord, w.ledger, "{id}", "{port}"},
		"movable": movable,
		"restart": map[string]any{"initial": "100ms", "max": "1s"}}
}

// allRun waits until every instance has lived after now, and on a host that says so.
func (w *world) allRun() {
	w.t.Helper()
	since := now()
	missing := ""
	defer func() {
		if w.t.Failed() {
			w.t.Log("missing is", missing)
		}
	}()
	w.until("every instance runs", func() bool {
		lives := w.read()
		for id := range w.list {
			of := lives[id]
			if missing = id; len(of) == 0 || of[len(of)-1].Last <= since {
				return false
			}
		}
		return true
	})
}

// on returns the processes of the instances of which the newest is on that host.
func (w *world) on(h *host) (list []*life) {
	for _, of := range w.read() {
		if l := of[len(of)-1]; l.Host == h.name {
			list = append(list, l)
		}
	}
	return list
}

// end ends everything, and judges by the ledger.
func (w *world) end() {
	for _, h := range w.hosts {
		if h.daemon != nil {
			h.crash()
		}
		h.unmount()
	}
	for _, s := range w.etcd {
		if s.process != nil {
			s.process.kill()
		}
	}
	lives := w.read()
	maps.DeleteFunc(lives, func(id string, _ []*life) bool { return w.loose[id] })
	for _, wrong := range overlaps(lives, func(id string) bool { return w.list[id] }) {
		w.t.Error(wrong)
	}
	if w.t.Failed() {
		w.t.Log("what is left of it lies in", w.dir)
		return
	}
	_ = os.RemoveAll(w.dir)
}
