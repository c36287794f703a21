package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"iter"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
	"procman/supervisor/api"
)

// fleetHost is a host of a fleet as its API shows it: a fleet that does what it is told, and what runs on the host.
type fleetHost struct {
	api.Supervisor // only what is asked for is there
	name           string
	statuses       []messages.Status
	fleet          *sharedFleet
	done           chan struct{}
}

// sharedFleet is what all hosts see.
type sharedFleet struct {
	mu        sync.Mutex
	hosts     []messages.FleetHost
	instances []messages.FleetInstance
	applied   map[messages.InstanceID]json.RawMessage
	pruned    bool
	slow      chan struct{} // an apply waits until it is closed; nil: it does not
	calls     []string
}

func (h *fleetHost) Status(context.Context) ([]messages.Status, error) { return h.statuses, nil }
func (h *fleetHost) App(messages.InstanceID) *messages.AppInstance     { return nil }
func (h *fleetHost) Ready() <-chan struct{}                            { return h.done }
func (h *fleetHost) Done() <-chan struct{}                             { return h.done }
func (h *fleetHost) Lookup(id messages.InstanceID) (messages.Status, bool) {
	for _, s := range h.statuses {
		if s.ID == id {
			return s, true
		}
	}
	return messages.Status{}, false
}
func (h *fleetHost) Explain(id messages.InstanceID) (messages.Explanation, bool) {
	s, known := h.Lookup(id)
	return messages.Explanation{Status: s, Verdict: messages.Verdict{Summary: "is running on " + h.name}}, known
}

// ofHost is the fleet as a host has it.
type ofHost struct {
	*sharedFleet
	host string
}

func (f ofHost) Standing() messages.FleetStanding {
	return messages.FleetStanding{Fleet: "default", Host: f.host, Phase: "in", Deadline: 8 * time.Second,
		Assigned: 2, Fenced: 1}
}
func (f ofHost) Hosts(context.Context) ([]messages.FleetHost, error) { return f.hosts, nil }
func (f ofHost) Instances(_ context.Context, ids ...messages.InstanceID) (some []messages.FleetInstance, err error) {
	for _, i := range f.instances {
		if len(ids) == 0 || slices.Contains(ids, i.ID) {
			some = append(some, i)
		}
	}
	if len(some) < len(ids) {
		return nil, messages.ErrUnknownInstance{ID: ids[0]}
	}
	return some, nil
}
func (f ofHost) Apply(_ context.Context, specs map[messages.InstanceID]json.RawMessage,
	prune bool) (changes []messages.FleetChange, err error) {
	if f.slow != nil {
		<-f.slow
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.applied, f.pruned = specs, prune
	for id := range specs {
		changes = append(changes, messages.FleetChange{ID: id, Do: "add"})
	}
	slices.SortFunc(changes, func(a, b messages.FleetChange) int { return cmp.Compare(a.ID, b.ID) })
	return append(changes, messages.FleetChange{ID: "old", Do: "delete"}, messages.FleetChange{ID: "kept", Do: "same"}),
		nil
}
func (f ofHost) Delete(_ context.Context, ids ...messages.InstanceID) ([]messages.FleetChange, error) {
	return []messages.FleetChange{{ID: ids[0], Do: "delete"}}, f.did("delete " + string(ids[0]))
}
func (f ofHost) Drain(_ context.Context, host string, drain bool) error {
	return f.did(map[bool]string{true: "drain ", false: "undrain "}[drain] + host)
}
func (f ofHost) Rebalance(context.Context) error { return f.did("rebalance") }
func (f *sharedFleet) did(what string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, what)
	return nil
}

const fleetToken = "0123456789abcdef"

// serve serves the host on a socket and over TCP until the test ends, and returns where.
func (h *fleetHost) serve(t *testing.T) (socket, address string) {
	t.Helper()
	h.done = make(chan struct{})
	o := api.Options{
		Supervisor: h, Manager: api.Manager{PID: os.Getpid()}, Shutdown: func(api.Mode, string) {},
		Logs: func(context.Context, messages.OutputQuery) iter.Seq2[messages.OutputLine, error] {
			return func(func(messages.OutputLine, error) bool) {}
		},
		Events: func(context.Context, messages.EventQuery) iter.Seq2[messages.LoggedEvent, error] {
			return func(func(messages.LoggedEvent, error) bool) {}
		},
		Upgrade: func(context.Context) (string, error) { return "", errors.New("no") },
		Plan:    func(context.Context, *api.Proposal) (api.Plan, error) { return api.Plan{}, nil },
	}
	if h.fleet != nil {
		o.Fleet = ofHost{h.fleet, h.name}
	}
	s, err := api.New(o)
	require.NoError(t, err)
	dir, err := os.MkdirTemp("", "pmf")
	require.NoError(t, err)
	socket = filepath.Join(dir, "s")
	local, err := api.Listen(socket)
	require.NoError(t, err)
	remote, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var work sync.WaitGroup
	work.Go(func() { _ = s.Serve(local) })
	work.Go(func() { _ = s.ServeTCP(remote, "", api.Tokens{Full: fleetToken}) })
	t.Cleanup(func() {
		require.NoError(t, s.Close())
		work.Wait()
		require.NoError(t, os.RemoveAll(dir))
	})
	return socket, remote.Addr().String()
}

// fleetOfTwo are hosts h1, which is asked, and h2, and a member h3 that does not answer.
func fleetOfTwo(t *testing.T) (f *sharedFleet, socket string) {
	f = &sharedFleet{instances: []messages.FleetInstance{
		{ID: "a", State: "assigned", Host: "h1", Epoch: 11, Why: "runs at h1 since epoch 11",
			Spec: json.RawMessage(`{"id":"a","labels":{"app":"x"},"env":{"API_KEY":"hunter2"}}`)},
		{ID: "b", State: "assigned", Host: "h2", Epoch: 12, Movable: true, Fence: "leash",
			Hosts: map[string]string{"disk": "ssd"}, Why: "runs at h2 since epoch 12",
			Spec: json.RawMessage(`{"id":"b"}`)},
		{ID: "c", State: "assigned", Host: "h3", Epoch: 13, Why: "runs at h3 since epoch 13"},
		{ID: "d", State: "waits", Host: "h4", Epoch: 14,
			Why: "waits for host h4: it may not move (movable: false), and h4 is not a member now"},
		{ID: "e", State: "no room", Why: "no member that matches has room: raise fleet.capacity, or add a host"},
	}}
	started := time.Now().Add(-time.Hour)
	running := func(id messages.InstanceID) messages.Status {
		return messages.Status{ID: id, Phase: messages.Running, Health: messages.Healthy, PID: 77, Port: 31000,
			Run: 1, StartedAt: &started}
	}
	h1 := &fleetHost{name: "h1", fleet: f, statuses: []messages.Status{running("a"), running("own")}}
	h2 := &fleetHost{name: "h2", fleet: f, statuses: []messages.Status{running("b")}}
	socket, _ = h1.serve(t)
	_, at2 := h2.serve(t)
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, gone.Close())
	f.hosts = []messages.FleetHost{{Name: "h1", Live: true, Assigned: 1, Joined: started, Capacity: 9,
		Labels: map[string]string{"disk": "hdd"}}, {Name: "h2", Live: true, Assigned: 1, API: at2},
		{Name: "h3", Live: true, Draining: true, Assigned: 1, API: gone.Addr().String()}, {Name: "h4"}}
	return f, socket
}

// fleetCall runs a command of the fleet.
func fleetCall(t *testing.T, socket string, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := Main(append([]string{"--socket", socket, "fleet"}, args...), &stdout, &stderr,
		func(string) string { return "" }, nil)
	return result{code, stdout.String(), stderr.String()}
}

func tokenFile(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(path, []byte(fleetToken+"\n"), 0o600))
	return path
}

func fields(text string) (lines []string) {
	for line := range strings.Lines(text) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	return lines
}

func TestTheStatusOfAFleetIsWhatEachHostSaysAndMarksWhoDoesNotAnswer(t *testing.T) {
	t.Parallel()
	_, socket := fleetOfTwo(t)
	r := fleetCall(t, socket, "status", "--token-file", tokenFile(t))
	require.Zero(t, r.code, r.stderr)
	lines := fields(r.stdout)
	require.Equal(t, "ID STATE HOST EPOCH PHASE HEALTH RESTARTS UPTIME REASON", lines[0])
	require.Equal(t, "a assigned h1 11 running healthy 0 1h00m", lines[1])
	require.Equal(t, "b assigned h2 12 running healthy 0 1h00m", lines[2])
	require.Regexp(t, "^c assigned h3 13 unknown - - - host h3 does not answer: ", lines[3])
	require.Regexp(t, "^d waits h4 14 unknown - - - host h4 is not a member", lines[4])
	require.Regexp(t, "^e no room - - - - - - no member that matches has room", lines[5])
	require.Contains(t, r.stderr, "procman: host h3 does not answer: the daemon cannot be reached at http://127.0.0.1:")

	r = fleetCall(t, socket, "status", "a")
	require.Zero(t, r.code)
	require.Empty(t, r.stderr)
	require.Equal(t, exitNotHealthy, fleetCall(t, socket, "status", "a", "c").code)
	require.Zero(t, fleetCall(t, socket, "status", "-l", "app=x").code)
	require.Equal(t, exitUnknown, fleetCall(t, socket, "status", "-l", "app=y").code)
	r = fleetCall(t, socket, "status", "aa")
	require.Equal(t, exitUnknown, r.code)
	require.Equal(t, "procman: no such instance: \"aa\"; did you mean \"a\"?\n", r.stderr)

	r = fleetCall(t, socket, "status")
	require.Contains(t, r.stdout, "unknown")
	require.Contains(t, r.stderr, "other hosts want a token: --token-file or $PROCMAN_TOKEN_FILE name the file")
	var doc struct{ Instances []fleetRow }
	require.NoError(t, json.Unmarshal([]byte(fleetCall(t, socket, "status", "-o", "json").stdout), &doc))
	require.Equal(t, 77, doc.Instances[0].Status.PID)
	require.Nil(t, doc.Instances[1].Status)
	require.NotEmpty(t, doc.Instances[1].Unknown)
	require.Len(t, strings.Split(strings.TrimSpace(fleetCall(t, socket, "status", "-o", "jsonl").stdout), "\n"), 5)
}

func TestTheStatusOfAHostSaysInALineHowItStandsWithItsFleet(t *testing.T) {
	t.Parallel()
	_, socket := fleetOfTwo(t)
	status := func(socket string, args ...string) string {
		var stdout, stderr bytes.Buffer
		require.Zero(t, Main(append([]string{"--socket", socket, "status"}, args...), &stdout, &stderr,
			func(string) string { return "" }, nil), stderr.String())
		return stdout.String()
	}
	lines := fields(status(socket))
	require.Equal(t, "h1 is a member of fleet default, with 2 instances; 1 of them ends with its lease, in 8s unless "+
		"it is renewed", lines[0])
	require.Regexp(t, "^ID ", lines[1])
	var d api.Document
	require.NoError(t, json.Unmarshal([]byte(status(socket, "-o", "json")), &d))
	require.Equal(t, "in", d.Manager.Fleet.Phase)
	require.InDelta(t, 8, d.Manager.Fleet.DeadlineSeconds, 0)

	alone := &fleetHost{name: "h1"}
	socket, _ = alone.serve(t)
	require.Regexp(t, "^ID ", status(socket))
	require.NotContains(t, status(socket, "-o", "json"), "fleet")
}

func TestWhyAnInstanceOfAFleetIsAsItIsIsAskedOfItsHost(t *testing.T) {
	t.Parallel()
	_, socket := fleetOfTwo(t)
	r := fleetCall(t, socket, "why", "a")
	require.Zero(t, r.code)
	require.Contains(t, r.stdout, "a runs at h1 since epoch 11\n")
	require.Contains(t, r.stdout, "a is running on h1\n", "its host is this one")
	require.Contains(t, fleetCall(t, socket, "why", "b", "--token-file", tokenFile(t)).stdout, "b is running on h2\n")
	r = fleetCall(t, socket, "why", "b")
	require.Zero(t, r.code)
	require.Contains(t, r.stdout, "not to be had: how it is there: other hosts want a token")
	require.Contains(t, r.stdout, "may move     yes; it ends with the lease of its host\n  asks for     disk=ssd\n")
	require.Contains(t, fleetCall(t, socket, "why", "d").stdout, "d waits for host h4: it may not move")
	r = fleetCall(t, socket, "why", "nobody")
	require.Equal(t, exitUnknown, r.code)
	require.Contains(t, r.stderr, "`procman fleet get` lists those that there are")
	require.Equal(t, exitUnknown, fleetCall(t, socket, "why", "../x").code)

	var stdout, stderr bytes.Buffer
	env := func(string) string { return "" }
	require.Zero(t, Main([]string{"--socket", socket, "why", "a"}, &stdout, &stderr, env, nil))
	require.Contains(t, stdout.String(), "fleet        runs at h1 since epoch 11\n")
	require.Equal(t, exitUnknown, Main([]string{"--socket", socket, "why", "b"}, &stdout, &stderr, env, nil))
	require.Contains(t, stderr.String(), "it is one of the fleet's, and runs at h2 since epoch 12: `procman fleet "+
		"why b --socket")
}

func TestTheListOfAFleetIsAppliedAsItsFileSays(t *testing.T) {
	t.Parallel()
	f, socket := fleetOfTwo(t)
	file := filepath.Join(t.TempDir(), "fleet.yaml")
	require.NoError(t, os.WriteFile(file, []byte("defaults: {stop: {grace: 90s}}\ninstances:\n  - {id: x, wasm_path: "+
		"apps/x.wasm, db_name: x.db}\n  - {id: y, args: [\"{port}\"], executable: ./y}\n"), 0o600))
	r := fleetCall(t, socket, "apply", "-f", file)
	require.Zero(t, r.code, r.stderr)
	require.Equal(t, "x: added\ny: added\nold: taken off the list\n1 instance as it was\n", r.stdout)
	require.False(t, f.pruned)
	require.Equal(t, `{"id":"x","wasm_path":"apps/x.wasm","db_name":"x.db","stop":{"grace":"1m30s"}}`,
		string(f.applied["x"]))
	require.Equal(t, `{"id":"y","executable":"./y","args":["{port}"],"stop":{"grace":"1m30s"}}`, string(f.applied["y"]))
	require.Empty(t, fleetCall(t, socket, "apply", "-f", file, "--prune", "-q").stdout)
	require.True(t, f.pruned)
	require.Contains(t, fleetCall(t, socket, "apply", "-f", file, "-o", "jsonl").stdout, `{"id":"x","do":"add"}`)

	f.applied = nil
	require.NoError(t, os.WriteFile(file, []byte("instances:\n  - {id: x, args: [a], stop: {grace: 5}}\n"), 0o600))
	r = fleetCall(t, socket, "apply", "-f", file)
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.stderr, file+":2:38: stop.grace is 5 without a unit")
	require.Contains(t, r.stderr, "^")
	require.Nil(t, f.applied, "nothing was asked for")
	require.Equal(t, exitUsage, fleetCall(t, socket, "apply").code)
	require.Equal(t, exitFailed, fleetCall(t, socket, "apply", "-f", file+".none").code)
}

func TestTheListOfAFleetIsShownAndTakenFrom(t *testing.T) {
	t.Parallel()
	f, socket := fleetOfTwo(t)
	lines := fields(fleetCall(t, socket, "get").stdout)
	require.Equal(t, "ID MOVABLE FENCE HOSTS STATE HOST", lines[0])
	require.Equal(t, "b yes leash disk=ssd assigned h2", lines[2])
	r := fleetCall(t, socket, "get", "a", "-o", "json")
	require.Contains(t, r.stdout, `"API_KEY": "***"`)
	require.NotContains(t, r.stdout, "hunter2")
	require.Contains(t, fleetCall(t, socket, "get", "-o", "wide", "-l", "app").stdout, `{"id":"a",`)

	require.Equal(t, exitUnknown, fleetCall(t, socket, "delete", "a", "nobody").code)
	require.Empty(t, f.calls, "if one is not there, nothing is done")
	require.Equal(t, "a: taken off the list\nb: taken off the list\n", fleetCall(t, socket, "delete", "b", "a").stdout)
	require.Equal(t, "a: taken off the list\n", fleetCall(t, socket, "delete", "-l", "app=x").stdout)
	require.Equal(t, exitUsage, fleetCall(t, socket, "delete").code)
	require.Equal(t, exitUsage, fleetCall(t, socket, "delete", "-l", "app=x", "a").code)
	require.Equal(t, []string{"delete a", "delete b", "delete a"}, f.calls)
}

func TestHostsOfAFleetAreShownAndSteered(t *testing.T) {
	t.Parallel()
	f, socket := fleetOfTwo(t)
	r := fleetCall(t, socket, "hosts")
	lines := fields(r.stdout)
	require.Equal(t, "h1* member 1 9 disk=hdd - 1h00m", lines[1])
	require.Regexp(t, `^h3 draining 1 - - 127.0.0.1:`, lines[3])
	require.Equal(t, "h4 absent 0 - - -", lines[4])
	require.Equal(t, "h1 is a member of fleet default, with 2 instances; 1 of them ends with its lease, in 8s unless "+
		"it is renewed", lines[6])
	require.Contains(t, fleetCall(t, socket, "hosts", "-o", "json").stdout, `"deadline_seconds": 8`)

	require.Equal(t, "h2: drained from now on\n", fleetCall(t, socket, "drain", "h2").stdout)
	require.Equal(t, "h2: drained no more\n", fleetCall(t, socket, "undrain", "h2").stdout)
	r = fleetCall(t, socket, "drain", "h9")
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.stderr, `no host of the fleet is "h9"; there are h1, h2, h3, h4`)
	require.Zero(t, fleetCall(t, socket, "rebalance").code)
	require.Equal(t, []string{"drain h2", "undrain h2", "rebalance"}, f.calls)
	require.Equal(t, exitUsage, fleetCall(t, socket, "drain").code)
	require.Equal(t, exitUsage, fleetCall(t, socket, "frobnicate").code)
}

func TestWithoutAFleetOrADaemonItsCommandsSaySo(t *testing.T) {
	t.Parallel()
	socket, _ := (&fleetHost{name: "alone"}).serve(t)
	for _, command := range []string{"status", "get", "hosts", "rebalance", "why a", "drain h", "delete a"} {
		r := fleetCall(t, socket, strings.Fields(command)...)
		require.Equal(t, exitFailed, r.code, command)
		require.Contains(t, r.stderr, "this daemon is a host of no fleet; a section fleet in its configuration")
		require.Equal(t, exitUnreachable, fleetCall(t, socket+"-none", strings.Fields(command)...).code, command)
	}
}

func TestNamesOfTheFleetAreCompleted(t *testing.T) {
	t.Parallel()
	_, socket := fleetOfTwo(t)
	for line, want := range map[string]string{"why ": "a\nb\nc\nd\ne\n:4\n", "drain ": "h1\nh2\nh3\nh4\n:4\n",
		"get b": "b\n:4\n"} {
		var stdout, stderr bytes.Buffer
		args := append([]string{"__complete", "--socket", socket, "fleet"}, strings.SplitN(line, " ", 2)...)
		require.Zero(t, Main(args, &stdout, &stderr, func(string) string { return "" }, nil))
		require.Equal(t, want, stdout.String(), line)
	}
}
