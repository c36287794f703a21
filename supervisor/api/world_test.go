package api

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"procman/messages"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a supervisor that does what it is told, and a daemon's output.
type world struct {
	mu           sync.Mutex
	statuses     map[messages.InstanceID]messages.Status
	calls        []string
	upgradeFails error
	fail         error
	block        chan struct{} // commands wait for it
	ready        chan struct{}
	done         chan struct{}
	ended        chan Mode
	by           string // who ended it
	app          *messages.AppInstance
	events       func(ctx context.Context, q messages.EventQuery) iter.Seq2[messages.LoggedEvent, error]
	queries      chan messages.OutputQuery
	logs         func(ctx context.Context, q messages.OutputQuery) iter.Seq2[messages.OutputLine, error]
}

func newWorld(ids ...messages.InstanceID) *world {
	w := &world{statuses: map[messages.InstanceID]messages.Status{}, ready: make(chan struct{}),
		done:  make(chan struct{}),
		ended: make(chan Mode, 1), queries: make(chan messages.OutputQuery, 1)}
	for _, id := range ids {
		w.statuses[id] = messages.Status{ID: id, Phase: messages.Running, Health: messages.Healthy, Run: 1}
	}
	w.events = func(context.Context, messages.EventQuery) iter.Seq2[messages.LoggedEvent, error] {
		return func(func(messages.LoggedEvent, error) bool) {}
	}
	w.logs = func(context.Context, messages.OutputQuery) iter.Seq2[messages.OutputLine, error] {
		return func(func(messages.OutputLine, error) bool) {}
	}
	return w
}

func (w *world) Lookup(id messages.InstanceID) (messages.Status, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s, known := w.statuses[id]
	return s, known
}

func (w *world) Desired() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.statuses)
}

func (w *world) Explain(id messages.InstanceID) (messages.Explanation, bool) {
	s, known := w.Lookup(id)
	return messages.Explanation{Status: s, Desired: &messages.AppInstance{InstanceID: id}}, known
}

func (w *world) Status(context.Context) ([]messages.Status, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []messages.Status
	for _, s := range w.statuses {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b messages.Status) int { return int(a.ID[0]) - int(b.ID[0]) })
	return all, nil
}

func (w *world) do(ctx context.Context, what string, id messages.InstanceID, phase messages.Phase) error {
	if w.block != nil {
		select {
		case <-w.block:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = append(w.calls, what+" "+string(id))
	if w.fail != nil {
		return w.fail
	}
	s, known := w.statuses[id]
	if !known {
		return messages.ErrUnknownInstance{ID: id}
	}
	s.Phase = phase
	w.statuses[id] = s
	return nil
}

func (w *world) Start(ctx context.Context, id messages.InstanceID) error {
	return w.do(ctx, "start", id, messages.Starting)
}
func (w *world) Stop(ctx context.Context, id messages.InstanceID) error {
	return w.do(ctx, "stop", id, messages.Stopping)
}
func (w *world) Restart(ctx context.Context, id messages.InstanceID) error {
	return w.do(ctx, "restart", id, messages.Stopping)
}
func (w *world) App(messages.InstanceID) *messages.AppInstance { return w.app }
func (w *world) Signal(ctx context.Context, id messages.InstanceID, signal messages.SignalName) error {
	return w.do(ctx, "signal "+string(signal), id, messages.Running)
}
func (w *world) Prune(context.Context) ([]messages.Pruned, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = append(w.calls, "prune")
	return []messages.Pruned{{ID: "gone"}, {ID: "busy", Kept: "pid 7 (sleep) lives"}}, w.fail
}

func (w *world) Reload(context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = append(w.calls, "reload")
	return w.fail
}
func (w *world) Ready() <-chan struct{} { return w.ready }
func (w *world) Done() <-chan struct{}  { return w.done }

func (w *world) said() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.calls)
}

func (w *world) options() Options {
	return Options{
		Supervisor: w,
		Manager:    Manager{PID: 42, Version: "v1", StartedAt: time.Unix(1000, 0).UTC(), StateDir: "/state"},
		Logs: func(ctx context.Context, q messages.OutputQuery) iter.Seq2[messages.OutputLine, error] {
			select {
			case w.queries <- q:
			default:
			}
			return w.logs(ctx, q)
		},
		Events:   w.events,
		Shutdown: func(m Mode, by string) { w.by = by; w.ended <- m },
		Plan: func(_ context.Context, p *Proposal) (Plan, error) {
			plan := Plan{Config: "/own.yaml", Changes: []messages.Change{}, Daemon: []string{}}
			if p != nil {
				plan.Config = p.Config
			}
			return plan, w.fail
		},
		Upgrade: func(context.Context) (string, error) { return "/new/procman", w.upgradeFails },
	}
}

// serve serves the world on a socket until the test ends.
func (w *world) serve(t *testing.T, change func(*Options)) (socket string, s *Server, c *Client) {
	t.Helper()
	o := w.options()
	if change != nil {
		change(&o)
	}
	s, err := New(o)
	require.NoError(t, err)
	socket = filepath.Join(shortDir(t), "s")
	l, err := Listen(socket)
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	c = NewClient(socket)
	t.Cleanup(func() {
		c.Close()
		require.NoError(t, s.Close())
		require.NoError(t, <-served)
	})
	return socket, s, c
}

// shortDir is a directory whose path leaves room for a socket.
func shortDir(t *testing.T) string {
	dir, err := os.MkdirTemp("", "api")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return dir
}

// counting gives lines until nobody wants more.
func counting(text string) func(context.Context, messages.OutputQuery) iter.Seq2[messages.OutputLine, error] {
	return func(ctx context.Context, q messages.OutputQuery) iter.Seq2[messages.OutputLine, error] {
		return func(yield func(messages.OutputLine, error) bool) {
			for ctx.Err() == nil {
				if !yield(messages.OutputLine{ID: q.ID, Stream: messages.Stdout, Text: text}, nil) {
					return
				}
			}
		}
	}
}

// waiting gives one line and then waits for the end of the context.
func waiting(ctx context.Context, q messages.OutputQuery) iter.Seq2[messages.OutputLine, error] {
	return func(yield func(messages.OutputLine, error) bool) {
		if yield(messages.OutputLine{ID: q.ID, Stream: messages.Stderr, Text: "one"}, nil) {
			<-ctx.Done()
		}
	}
}

var errDisk = errors.New("no space left on device")

func httpGet(t *testing.T, c *Client, path string) *http.Response {
	t.Helper()
	response, err := c.http.Get("http://procman" + path)
	require.NoError(t, err)
	t.Cleanup(func() { _ = response.Body.Close() })
	return response
}
